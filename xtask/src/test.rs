//! `cargo xtask test`.

use anyhow::{Context, Result};
use bakehouse_testservers::shared::Shared;
use clap::Args;

use crate::workspace::{cargo, finish, target};

/// What to test.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to the test runner: names of tests, or its options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    eprintln!("test: building");
    // The end-to-end tests run the real programs.
    finish(cargo(&["build", "--quiet", "--workspace", "--bins"])).await?;
    let servers = Shared::start(&target("test-servers")).await?;
    eprintln!("test: running");
    let outcome = tests(&servers, &options.arguments).await;
    servers.end();
    outcome.context("the tests have not passed")
}

async fn tests(servers: &Shared, arguments: &[String]) -> Result<()> {
    let mut command = cargo(runner().await);
    command.arg("--workspace").args(arguments);
    command.envs(servers.environment().iter().cloned());
    finish(command).await
}

/// cargo-nextest where it is installed: each test in a process of its own, and
/// a limit on the time of each.
async fn runner() -> &'static [&'static str] {
    let mut version = cargo(&["nextest", "--version"]);
    let answer = version.output().await;
    if answer.is_ok_and(|output| output.status.success()) {
        return &["nextest", "run"];
    }
    &["test"]
}
