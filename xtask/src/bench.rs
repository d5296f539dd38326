//! `cargo xtask bench`.

use anyhow::Result;
use bakehouse_testservers::shared::Shared;
use clap::Args;

use crate::workspace::{cargo, finish, interruption, target};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to the benchmark; see `cargo xtask bench -- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let interruption = interruption()?;
    eprintln!("bench: building");
    let build = cargo(&["build", "--quiet", "--release", "--workspace", "--bins"]);
    finish(build, &interruption).await?;
    let servers = Shared::start(&target("bench-servers")).await?;
    let mut command = cargo(&[
        "run",
        "--quiet",
        "--release",
        "--package",
        "bakehouse-bench",
        "--",
    ]);
    command
        .args(options.arguments)
        .envs(servers.environment().iter().cloned());
    let outcome = finish(command, &interruption).await;
    servers.end();
    outcome
}
