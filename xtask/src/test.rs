//! `cargo xtask test`.

use anyhow::{Context, Result};
use bakehouse_testservers::shared::Shared;
use clap::Args;

use crate::workspace::{cargo, finish, interruption, target};

/// What to test.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to the test runner: names of tests, or its options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let interruption = interruption()?;
    eprintln!("test: building");
    // The end-to-end tests run the real programs. Built together with the tests,
    // so that both share what they are made of.
    let build = cargo(&["build", "--quiet", "--workspace", "--all-targets"]);
    finish(build, &interruption).await?;
    let servers = Shared::start(&target("test-servers")).await?;
    eprintln!("test: running");
    let mut command = cargo(runner().await);
    command.arg("--workspace").args(options.arguments);
    command.envs(servers.environment().iter().cloned());
    let outcome = finish(command, &interruption).await;
    servers.end();
    outcome.context("the tests have not passed")
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
