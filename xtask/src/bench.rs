//! `cargo xtask bench`.

use anyhow::Result;
use clap::Args;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {}

pub(crate) async fn run(_: Options) -> Result<()> {
    Ok(())
}
