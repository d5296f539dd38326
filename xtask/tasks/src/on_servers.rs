//! Execution of a command with real servers.

use anyhow::Result;
use bakehouse_dev_servers::shared::Shared;
use tokio::process::Command;

use crate::workspace::{cargo, finish, interruption, target};

/// Runs cargo with the `build` arguments, starts the servers in the folder `NAME-servers`, runs the
/// command, and always stops the servers.
///
/// # Errors
/// When any of these steps fails or is interrupted.
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
