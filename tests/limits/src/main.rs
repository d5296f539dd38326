//! Command line of the limits: runs each attack against the real programs and compares its costs
//! with its bounds.

mod attack;
mod attacks;
mod bounds;
mod bystander;
mod measure;
mod report;
mod target;

use std::process::ExitCode;

use anyhow::{Result, bail};
use bakehouse_e2e::Kind;
use clap::{Parser, ValueEnum};

use crate::attack::Attack;

/// Measures the costs of hostile clients for the server. Exits with 1 if a bound is exceeded.
#[derive(Parser)]
struct Arguments {
    /// Runs only attacks whose name contains this text.
    #[arg(long)]
    only: Option<String>,
    /// One process with an embedded store, or four services over MongoDB and RabbitMQ.
    #[arg(long, value_enum, default_value_t = World::Embedded)]
    world: World,
    /// Prints the figures as JSON instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum World {
    Servers,
    Embedded,
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    let kind = match arguments.world {
        World::Embedded => Kind::Embedded,
        World::Servers => Kind::Servers,
    };
    let is_selected = |attack: &Attack| {
        let only = arguments.only.as_deref();
        only.is_none_or(|part| attack.name.contains(part))
    };
    let attacks: Vec<Attack> = attacks::all().into_iter().filter(is_selected).collect();
    if attacks.is_empty() {
        bail!("--only: no attack's name contains this text");
    }
    let mut results = Vec::new();
    for attack in attacks {
        eprintln!("limits: {}", attack.name);
        results.push(attack.measure(kind).await);
    }
    print!("{}", report::render(&results, arguments.json)?);
    let is_within = results.iter().all(report::Outcome::is_within);
    Ok(ExitCode::from(u8::from(!is_within)))
}
