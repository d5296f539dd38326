//! `cargo xtask`: the tasks that developers and the build server run.

mod bench;
mod deny;
mod limits;
mod mutants;
mod on_servers;
mod services;
mod simulate;
mod test;
mod torture;
mod workspace;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tests, servers and benchmarks of this workspace.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs all tests, on real servers that it downloads and starts.
    Test(test::Options),
    /// Starts and stops the same servers for development.
    Services {
        #[command(subcommand)]
        command: services::Command,
    },
    /// Measures the whole system and the limit of its database.
    Bench(bench::Options),
    /// Measures the costs of hostile clients for the release programs; fails above a bound.
    Limits(limits::Options),
    /// Plants bugs in a copy of the code, one after the other; fails if a test does not catch one.
    Mutants(mutants::Options),
    /// Checks licences, sources and known vulnerabilities of dependencies.
    Deny,
    /// Runs the engine with injected faults in virtual time, seed by seed.
    Simulate(simulate::Options),
    /// Injects faults into the real programs and servers under load, and checks every guarantee.
    Torture(torture::Options),
}

#[tokio::main]
async fn main() -> Result<()> {
    match Arguments::parse().command {
        Command::Test(options) => test::run(options).await,
        Command::Services { command } => services::run(command).await,
        Command::Bench(options) => bench::run(options).await,
        Command::Limits(options) => limits::run(options).await,
        Command::Mutants(options) => mutants::execute(options).await,
        Command::Deny => deny::run().await,
        Command::Simulate(options) => simulate::run(options).await,
        Command::Torture(options) => torture::run(options).await,
    }
}
