//! `cargo xtask test`.

use anyhow::{Context, Result};
use bakehouse_dev_servers::prepare_tools;
use bakehouse_dev_servers::skipped::Report;
use clap::Args;

use crate::on_servers;
use crate::workspace::{cargo, target};

/// Options of the tests.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to the test runner: names of tests, or its options.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    // The end-to-end tests run the real programs, which are built together with the tests so that
    // both share their dependencies.
    let build = ["build", "--quiet", "--workspace", "--all-targets"];
    let mut tests = cargo(runner().await);
    tests.arg("--workspace").args(options.arguments);
    prepare_tools();
    let file = target("test-skipped");
    let report = Report::begin(&file);
    let (variable, path) = report.variable();
    tests.env(variable, path);
    let outcome = on_servers::run("test", &build, tests).await;
    eprintln!("test: {}", report.summary());
    outcome.context("the tests failed")
}

/// Returns cargo-nextest if it is installed, which runs each test in its own process with a timeout.
async fn runner() -> &'static [&'static str] {
    let mut version = cargo(&["nextest", "--version"]);
    let answer = version.output().await;
    if answer.is_ok_and(|output| output.status.success()) {
        return &["nextest", "run"];
    }
    &["test"]
}
