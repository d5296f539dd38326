//! `cargo xtask`: what people and the build server run, by the same commands.

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
    /// Runs all tests, on real servers that it gets and starts by itself.
    Test(test::Options),
    /// The same servers for development.
    Services {
        #[command(subcommand)]
        command: services::Command,
    },
    /// Measures the whole system beside what its database could do at most.
    Bench(bench::Options),
    /// Measures what hostile clients can cost the released programs; fails above a bound.
    Limits(limits::Options),
    /// Plants bugs in a copy of the code, one after the other; fails if a test misses one.
    Mutants(mutants::Options),
    /// Checks licences, sources and known vulnerabilities of what is built in.
    Deny,
    /// Runs the engine in virtual time with everything going wrong, seed by seed.
    Simulate(simulate::Options),
    /// Kills, pauses, cuts and fills everything under load, and checks every promise.
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
