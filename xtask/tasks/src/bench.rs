//! `cargo xtask bench`.

use anyhow::Result;
use clap::Args;

use crate::on_servers;
use crate::workspace::cargo;

/// Options of the benchmarks.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to the benchmarks; see `cargo xtask bench -- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    // Only the release programs, without features of tests.
    let programs = [
        "api-server",
        "events-writer",
        "orders-manager",
        "data-baker",
        "bakehouse",
    ];
    let packages = programs.map(|name| format!("--package={name}"));
    let mut build = vec!["build", "--quiet", "--release"];
    build.extend(packages.iter().map(String::as_str));
    let run = [
        "run",
        "--quiet",
        "--release",
        "--package",
        "bakehouse-bench",
        "--",
    ];
    let mut bench = cargo(&run);
    bench.args(options.arguments);
    on_servers::run("bench", &build, bench).await
}
