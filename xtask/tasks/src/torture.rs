//! `cargo xtask torture`.

use anyhow::Result;
use bakehouse_dev_servers::prepare_tools;
use clap::Args;

use crate::workspace::{cargo, finish, interruption, target};

/// Options of a torture run.
#[derive(Args)]
pub(crate) struct Options {
    /// Tests the release programs, which have no failpoints.
    #[arg(long)]
    release: bool,
    /// Passed on: `--minutes 60 --seed 7 --world servers|embedded`, `--mutation-check`; see
    /// `cargo xtask torture -- --help`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Programs to build in release mode.
const PROGRAMS: [&str; 6] = [
    "api-server",
    "bakehouse",
    "data-baker",
    "events-writer",
    "notifier",
    "orders-manager",
];
/// Environment variable with the folder of the programs to test.
const BIN_DIR: &str = "BAKEHOUSE_TEST_BIN_DIR";

pub(crate) async fn run(options: Options) -> Result<()> {
    let interruption = interruption()?;
    if options.release {
        eprintln!("torture: building the release programs");
        finish(
            cargo(&["build", "--quiet", "-p", "bakehouse-torture"]),
            &interruption,
        )
        .await?;
        for program in PROGRAMS {
            // One by one, so that no other package adds a feature.
            let build = ["build", "--quiet", "--release", "--locked", "-p", program];
            finish(cargo(&build), &interruption).await?;
        }
        let mut torture = tokio::process::Command::new(target("debug/bakehouse-torture"));
        torture.arg("--release").args(options.arguments);
        torture.env(BIN_DIR, target("release"));
        return finish(torture, &interruption).await;
    }
    // With failpoints and plantable bugs.
    let feature = "bakehouse-host/fault-injection";
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
