//! `cargo xtask bench`.

use anyhow::Result;
use clap::Args;

use crate::on_servers;
use crate::workspace::cargo;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to the benchmark; see `cargo xtask bench -- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    // What is released, and nothing that only tests ask for.
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
