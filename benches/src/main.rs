//! Measures the whole system from outside, beside what its database could do at
//! most, in the same run on the same machine. The load generator is included:
//! it runs on the same cores.

mod client;
mod crowd;
mod fanout;
mod flood;
mod latency;
mod limit;
mod raw;

use anyhow::Result;
use bakehouse_e2e::{Kind, World};
use clap::Parser;

/// Orders/s end to end and POST → websocket, beside the raw MongoDB limit.
#[derive(Parser)]
struct Arguments {
    /// Orders in a flood
    #[arg(long, default_value_t = 20_000)]
    orders: u64,
    /// Seconds at each rate
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Connections of the flood
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Only these; all of them where none is named
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Be the raw limit of a fan-out, for another process of this program
    #[arg(long, hide = true)]
    raw_broadcast: bool,
}

/// What can be measured.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    Flood,
    Latency,
    Fanout,
}

/// Orders/s at which latency is measured.
const RATES: [u64; 3] = [50, 200, 1_000];

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if arguments.raw_broadcast {
        return raw::serve().await;
    }
    let is_wanted = |part| arguments.only.is_empty() || arguments.only.contains(&part);
    if is_wanted(Part::Flood) {
        flood(&arguments).await?;
    }
    if is_wanted(Part::Latency) {
        latency(&arguments).await?;
    }
    if is_wanted(Part::Fanout) {
        fanout::measure().await?;
    }
    Ok(())
}

async fn flood(arguments: &Arguments) -> Result<()> {
    let orders = arguments.orders;
    println!("flood of {orders} orders, until the last one is on the websocket:");
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
        // Connections, caches and code are warm in a running system.
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
