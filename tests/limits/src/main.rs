//! limits: runs each attack against the real programs and holds what it costs against its bounds.

mod attack;
mod attacks;
mod bystander;
mod measure;
mod report;
mod target;

use std::process::ExitCode;

use anyhow::{Result, bail};
use bakehouse_e2e::Kind;
use clap::{Parser, ValueEnum};

use crate::attack::Attack;

/// Measures what hostile clients can cost the server; exits 1 above a bound.
#[derive(Parser)]
struct Arguments {
    /// Only attacks whose names have this in them.
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
    let wanted = |attack: &Attack| {
        let only = arguments.only.as_deref();
        only.is_none_or(|part| attack.name.contains(part))
    };
    let attacks: Vec<Attack> = attacks::all().into_iter().filter(wanted).collect();
    if attacks.is_empty() {
        bail!("--only: no attack has that in its name");
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
