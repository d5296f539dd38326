//! `cargo xtask services`: the servers of the tests, for development.

use std::path::PathBuf;

use anyhow::Result;
use bakehouse_dev_servers::shared::{self, Shared};
use clap::Subcommand;

use crate::workspace::target;

/// Commands of `cargo xtask services`.
#[derive(Clone, Copy, Subcommand)]
pub(crate) enum Command {
    /// Starts MongoDB and RabbitMQ, and prints their environment variables.
    Up,
    /// Prints the environment variables of the running servers.
    Status,
    /// Stops the servers and removes their data.
    Down,
}

pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Up => up().await,
        Command::Status => {
            print!(
                "{}",
                std::fs::read_to_string(environment_file()).unwrap_or_else(|_| "down\n".into())
            );
            Ok(())
        }
        Command::Down => {
            shared::clean(&folder());
            Ok(())
        }
    }
}

async fn up() -> Result<()> {
    if !environment_file().exists() {
        let servers = Shared::start(&folder()).await?;
        let lines: Vec<String> = servers.environment().iter().map(export).collect();
        std::fs::write(environment_file(), lines.concat())?;
        servers.leave();
    }
    print!("{}", std::fs::read_to_string(environment_file())?);
    Ok(())
}

/// Formats a variable for the tests, and the corresponding ones for the services, as shell commands:
/// `eval "$(cargo xtask services up)"`.
fn export((name, value): &(String, String)) -> String {
    let mut text = format!("export {name}='{value}'\n");
    if name == shared::MONGODB {
        for (setting, database) in [("SOURCE", "source"), ("PRESENTATION", "presentation")] {
            let uri = shared::with_database(value, database);
            text += &format!("export BAKEHOUSE_MONGODB__{setting}_URI='{uri}'\n");
        }
    }
    if name == shared::AMQP {
        text += &format!("export BAKEHOUSE_AMQP__URI='{value}'\n");
    }
    text
}

fn folder() -> PathBuf {
    target("services")
}

/// Returns the file with the environment variables; it exists while the servers run.
fn environment_file() -> PathBuf {
    folder().join("environment")
}
