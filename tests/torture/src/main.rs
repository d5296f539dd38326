//! Command line of the torture test: one run against one of the two deployments, and its report.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::Kind;
use bakehouse_torture::mutation_check;
use bakehouse_torture::run::{RunOptions, run};
use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Injects faults under load, then checks every guarantee.
#[derive(Parser)]
struct Arguments {
    /// Time for which faults are injected, in minutes.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Seed of the sequence of faults; taken from the clock by default.
    #[arg(long)]
    seed: Option<u64>,
    /// Four services on MongoDB and RabbitMQ, or one process.
    #[arg(long, value_enum, default_value_t = World::Servers)]
    world: World,
    /// Average time between two requests of each of the six clients, in milliseconds.
    #[arg(long, default_value_t = 40)]
    rest: u64,
    /// Bug to plant; the run fails if no check finds it.
    #[arg(long)]
    bug: Option<String>,
    /// Plants every known bug in turn and prints which check found it. With `--bug`, only that
    /// bug.
    #[arg(long, visible_alias = "teeth")]
    mutation_check: bool,
    /// File to write the results to, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Injects only faults whose name or details contain this text, such as "mongod killed" or
    /// "orders-manager.executed".
    #[arg(long)]
    only: Option<String>,
    /// Tests the release programs, which have no failpoints and cannot plant bugs.
    /// `cargo xtask torture --release` builds them and sets their location.
    #[arg(long)]
    release: bool,
    /// Prints every fault and keeps the logs.
    #[arg(long)]
    loud: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum World {
    Servers,
    Embedded,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    // Dropping the run ends every process that it started.
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        exit_code = execute(Arguments::parse()) => exit_code,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::FAILURE),
        _ = terminate.recv() => Ok(ExitCode::FAILURE),
    }
}

async fn execute(arguments: Arguments) -> Result<ExitCode> {
    // A flood opens one connection per request.
    let (_, hard_limit) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard_limit, hard_limit)?;
    let seed_of_clock = || bakehouse_torture::ledger::now().unsigned_abs() % 1_000_000;
    let options = RunOptions {
        kind: match arguments.world {
            World::Servers => Kind::Servers,
            World::Embedded => Kind::Embedded,
        },
        seed: arguments.seed.unwrap_or_else(seed_of_clock),
        duration: Duration::from_secs_f64(arguments.minutes * 60.0),
        pause_ms: arguments.rest,
        bug: arguments.bug.clone(),
        only: arguments.only,
        stop_at: &[],
        is_released: arguments.release,
        is_loud: arguments.loud,
    };
    if arguments.mutation_check {
        let bug = options.bug.as_deref();
        let all_found = mutation_check::run_all(options.kind, options.seed, bug).await?;
        return Ok(if all_found {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let report = run(&options).await?;
    print!("{}", report.text());
    if let Some(file) = arguments.report {
        std::fs::write(file, serde_json::to_string_pretty(&report.json())?)?;
    }
    // A run with a planted bug succeeds if something was found.
    Ok(match report.is_clean() == arguments.bug.is_none() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
