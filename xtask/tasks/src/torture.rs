//! `cargo xtask torture`.

use anyhow::Result;
use bakehouse_dev_servers::prepare_tools;
use clap::Args;

use crate::workspace::{cargo, finish, interruption, target};

/// How, and where.
#[derive(Args)]
pub(crate) struct Options {
    /// Tortures the programs as they are released: without places to end at.
    #[arg(long)]
    release: bool,
    /// Passed on: `--minutes 60 --seed 7 --world servers|embedded`, `--teeth`; see
    /// `cargo xtask torture -- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Programs that are released.
const PROGRAMS: [&str; 6] = [
    "api-server",
    "bakehouse",
    "data-baker",
    "events-writer",
    "notifier",
    "orders-manager",
];
/// Says where the programs are that tests run.
const BIN_DIR: &str = "BAKEHOUSE_TEST_BIN_DIR";

pub(crate) async fn run(options: Options) -> Result<()> {
    let interruption = interruption()?;
    if options.release {
        eprintln!("torture: building what is released");
        finish(
            cargo(&["build", "--quiet", "-p", "bakehouse-torture"]),
            &interruption,
        )
        .await?;
        for program in PROGRAMS {
            // One by one, as users do: no other package adds a feature.
            let build = ["build", "--quiet", "--release", "--locked", "-p", program];
            finish(cargo(&build), &interruption).await?;
        }
        let mut torture = tokio::process::Command::new(target("debug/bakehouse-torture"));
        torture.arg("--release").args(options.arguments);
        torture.env(BIN_DIR, target("release"));
        return finish(torture, &interruption).await;
    }
    // With places to end at, and bugs to plant: a build for tests.
    let feature = "bakehouse-engine/torture";
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
