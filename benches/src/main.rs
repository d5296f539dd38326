//! Command line of the benchmarks: measures the whole system from outside and the limit of its
//! database in the same run on the same machine. The load generator runs on the same cores.

mod client;
mod fanout;
mod flood;
mod latency;
mod limit;
mod raw;
mod subscribers;

use anyhow::Result;
use bakehouse_e2e::{Kind, World};
use clap::Parser;

/// Measures throughput and latency end to end, and the raw limit of MongoDB.
#[derive(Parser)]
struct Arguments {
    /// Number of orders of the throughput measurement
    #[arg(long, default_value_t = 20_000)]
    orders: u64,
    /// Duration of the latency measurement at each rate, in seconds
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Number of connections of the throughput measurement
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Measurements to run; all by default
    #[arg(long, value_enum)]
    only: Vec<Measurement>,
    /// Serve as the raw limit of the fan-out for another process of this program
    #[arg(long, hide = true)]
    raw_broadcast: bool,
}

/// A measurement.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Measurement {
    Flood,
    Latency,
    Fanout,
}

/// Rates at which latency is measured, in orders per second.
const RATES: [u64; 3] = [50, 200, 1_000];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.raw_broadcast {
        return raw::serve().await;
    }
    let is_selected =
        |measurement| arguments.only.is_empty() || arguments.only.contains(&measurement);
    if is_selected(Measurement::Flood) {
        flood(&arguments).await?;
    }
    if is_selected(Measurement::Latency) {
        latency(&arguments).await?;
    }
    if is_selected(Measurement::Fanout) {
        fanout::measure().await?;
    }
    Ok(())
}

async fn flood(arguments: &Arguments) -> Result<()> {
    let orders = arguments.orders;
    println!("{orders} orders at full load, until the last one is on the websocket:");
    let limit = limit::measure(orders).await?;
    println!("  raw MongoDB, the same writes   {limit:>8.0} orders/s");
    for kind in [Kind::Servers, Kind::Embedded] {
        let world = World::start(kind).await?;
        let rate = flood::measure(&world, orders, arguments.connections).await?;
        let ratio = rate / limit;
        println!(
            "  {:<30} {rate:>8.0} orders/s   {ratio:.2} of the limit",
            name(kind)
        );
    }
    Ok(())
}

async fn latency(arguments: &Arguments) -> Result<()> {
    let seconds = arguments.seconds;
    println!("POST → websocket, for {seconds} s at each rate:");
    for kind in [Kind::Servers, Kind::Embedded] {
        let world = World::start(kind).await?;
        // Warms up connections, caches and code.
        latency::measure(&world, 200, 2).await?;
        for rate in RATES {
            let times = latency::measure(&world, rate, seconds).await?;
            let p = |quantile: f64| times.value_at_quantile(quantile) as f64 / 1_000.0;
            println!(
                "  {:<30} {rate:>5}/s   p50 {:>6.2} ms   p99 {:>6.2} ms   max {:>6.2} ms",
                name(kind),
                p(0.5),
                p(0.99),
                p(1.0),
            );
        }
    }
    Ok(())
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Servers => "four services, real servers",
        Kind::Embedded => "one process, embedded store",
    }
}
