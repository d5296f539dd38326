//! `cargo xtask services`: the servers that tests use, for a developer.

use std::path::PathBuf;

use anyhow::Result;
use bakehouse_dev_servers::shared::{self, Shared};
use clap::Subcommand;

use crate::workspace::target;

/// What to do with them.
#[derive(Clone, Copy, Subcommand)]
pub(crate) enum Command {
    /// Starts MongoDB and RabbitMQ, and prints where they are.
    Up,
    /// Prints where they are.
    Status,
    /// Ends them and removes their data.
    Down,
}

pub(crate) async fn run(command: Command) -> Result<()> {
    match command {
        Command::Up => up().await,
        Command::Status => {
            print!(
                "{}",
                std::fs::read_to_string(notes()).unwrap_or_else(|_| "down\n".into())
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
    if !notes().exists() {
        let servers = Shared::start(&folder()).await?;
        let lines: Vec<String> = servers.environment().iter().map(export).collect();
        std::fs::write(notes(), lines.concat())?;
        servers.leave();
    }
    print!("{}", std::fs::read_to_string(notes())?);
    Ok(())
}

/// As a shell takes it: `eval "$(cargo xtask services up)"`. For the services
/// as well as for the tests.
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

fn notes() -> PathBuf {
    folder().join("environment")
}
