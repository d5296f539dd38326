//! `cargo xtask limits`.

use anyhow::Result;
use clap::Args;

use crate::on_servers;
use crate::workspace::{cargo, target};

/// Options of the limits.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on: `--only NAME`, `--world embedded|servers`, `--json`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    // Only the release programs, without features of tests.
    let programs = [
        "--package=api-server",
        "--package=events-writer",
        "--package=orders-manager",
        "--package=data-baker",
        "--package=bakehouse",
    ];
    let mut build = vec!["build", "--quiet", "--release"];
    build.extend(programs);
    let package = "bakehouse-limits";
    let mut limits = cargo(&["run", "--quiet", "--release", "--package", package, "--"]);
    limits.args(options.arguments);
    limits.env("BAKEHOUSE_TEST_BIN_DIR", target("release"));
    on_servers::run("limits", &build, limits).await
}
