//! `cargo xtask torture`.

use anyhow::Result;
use bakehouse_testservers::prepare_tools;
use clap::Args;

use crate::workspace::{cargo, finish, interruption, target};

/// How, and where.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on: `--minutes 60 --seed 7 --world servers|embedded`, `--teeth`; see
    /// `cargo xtask torture -- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let interruption = interruption()?;
    // With places to end at, and bugs to plant: a build for tests.
    let feature = "bakehouse-pipeline/torture";
    let build = [
        "build",
        "--quiet",
        "--workspace",
        "--bins",
        "--features",
        feature,
    ];
    prepare_tools();
    eprintln!("torture: building");
    finish(cargo(&build), &interruption).await?;
    let mut torture = tokio::process::Command::new(target("debug/bakehouse-torture"));
    torture.args(options.arguments);
    finish(torture, &interruption).await
}
