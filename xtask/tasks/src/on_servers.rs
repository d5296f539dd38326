//! Running something of ours on real servers.

use anyhow::Result;
use bakehouse_dev_servers::shared::Shared;
use tokio::process::Command;

use crate::workspace::{cargo, finish, interruption, target};

/// Builds as `build` says, starts the servers in a folder called `NAME-servers`,
/// runs the command beside them, and ends them, whatever becomes of it.
///
/// # Errors
/// When anything of that fails or is interrupted.
pub(crate) async fn run(name: &str, build: &[&str], mut command: Command) -> Result<()> {
    let interruption = interruption()?;
    eprintln!("{name}: building");
    finish(cargo(build), &interruption).await?;
    let servers = Shared::start(&target(&format!("{name}-servers"))).await?;
    eprintln!("{name}: running");
    command.envs(servers.environment().iter().cloned());
    let outcome = finish(command, &interruption).await;
    servers.end();
    outcome
}
