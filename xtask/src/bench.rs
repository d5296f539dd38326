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
    let build = ["build", "--quiet", "--release", "--workspace", "--bins"];
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
