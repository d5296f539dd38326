//! torture: a run in one of the two worlds, and its report.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::Kind;
use bakehouse_torture::run::{Order, run};
use bakehouse_torture::teeth::bite;
use clap::{Parser, ValueEnum};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

/// Everything goes wrong for a while; then every promise is checked.
#[derive(Parser)]
struct Arguments {
    /// How long things go wrong, in minutes.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// Leads to the same faults again; chosen by the clock if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// Four services on MongoDB and RabbitMQ, or one process.
    #[arg(long, value_enum, default_value_t = World::Servers)]
    world: World,
    /// Milliseconds between the requests of each of six clients, on average.
    #[arg(long, default_value_t = 40)]
    rest: u64,
    /// A bug that is planted, to see whether it is found.
    #[arg(long)]
    bug: Option<String>,
    /// Plants every bug there is, one after the other, and says which check found it; or
    /// that which `--bug` names, as often as it takes.
    #[arg(long)]
    teeth: bool,
    /// Where the figures go, as JSON.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Only faults whose names or details have this in them, such as "mongod killed" or
    /// "orders-manager.executed".
    #[arg(long)]
    only: Option<String>,
    /// The programs are those that are released: they have no places to end at, and no bugs to
    /// plant. `cargo xtask torture --release` builds them and says where they are.
    #[arg(long)]
    release: bool,
    /// Tells of every fault, and keeps the logs.
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
    // Dropped in the middle, everything that was started is ended.
    let mut end = signal(SignalKind::terminate())?;
    tokio::select! {
        done = torture(Arguments::parse()) => done,
        _ = tokio::signal::ctrl_c() => Ok(ExitCode::FAILURE),
        _ = end.recv() => Ok(ExitCode::FAILURE),
    }
}

async fn torture(arguments: Arguments) -> Result<ExitCode> {
    // A flood takes a connection for each of its requests.
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most)?;
    let by_clock = || bakehouse_torture::ledger::now().unsigned_abs() % 1_000_000;
    let order = Order {
        kind: match arguments.world {
            World::Servers => Kind::Servers,
            World::Embedded => Kind::Embedded,
        },
        seed: arguments.seed.unwrap_or_else(by_clock),
        time: Duration::from_secs_f64(arguments.minutes * 60.0),
        rest: arguments.rest,
        bug: arguments.bug.clone(),
        only: arguments.only,
        enough: &[],
        is_released: arguments.release,
        is_loud: arguments.loud,
    };
    if arguments.teeth {
        let all = bite(order.kind, order.seed, order.bug.as_deref()).await?;
        return Ok(if all {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    }
    let report = run(&order).await?;
    print!("{}", report.text());
    if let Some(file) = arguments.report {
        std::fs::write(file, serde_json::to_string_pretty(&report.json())?)?;
    }
    // With a bug it is the other way round.
    Ok(match report.is_clean() == arguments.bug.is_none() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
