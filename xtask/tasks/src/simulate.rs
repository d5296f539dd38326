//! `cargo xtask simulate`.

use anyhow::Result;
use clap::Args;

use crate::workspace::{cargo, finish, interruption};

/// Options of the simulation.
#[derive(Args)]
pub(crate) struct Options {
    /// Passed on to the simulation: `--seeds 10000 --from 0 --bug no-fence`.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) async fn run(options: Options) -> Result<()> {
    let package = "bakehouse-simulation";
    let mut simulate = cargo(&["run", "--quiet", "--release", "--package", package, "--"]);
    simulate.args(options.arguments);
    finish(simulate, &interruption()?).await
}
