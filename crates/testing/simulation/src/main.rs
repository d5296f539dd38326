//! Runs many seeds on all cores and names those that violate an invariant.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use bakehouse_simulation::Bug;
use bakehouse_simulation::run::run;
use clap::Parser;

/// Simulates the engine in virtual time, with injected faults.
#[derive(Parser)]
struct Arguments {
    /// Number of seeds.
    #[arg(long, default_value_t = 1_000)]
    seeds: u64,
    /// First seed; with `--seeds 1`, the seed to reproduce.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Planted bug, to check that it is detected.
    #[arg(long)]
    bug: Option<Bug>,
}

/// Maximum number of failing seeds that are printed.
const MAX_SHOWN: usize = 10;

fn main() -> ExitCode {
    let Arguments { seeds, from, bug } = Arguments::parse();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (next, events) = (AtomicU64::new(from), AtomicU64::new(0));
    let failed: Mutex<Vec<(u64, Vec<String>)>> = Mutex::default();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let faults = match run(seed, bug) {
                        Ok(outcome) => {
                            events.fetch_add(outcome.events as u64, Ordering::Relaxed);
                            outcome.faults
                        }
                        Err(error) => vec![error.to_string()],
                    };
                    if !faults.is_empty() {
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.push((seed, faults));
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    failed.sort_unstable();
    for (seed, faults) in failed.iter().take(MAX_SHOWN) {
        println!("seed {seed}: {}", faults.join("; "));
    }
    let (seconds, events) = (started.elapsed().as_secs_f64(), events.into_inner());
    let per_minute = seeds as f64 / seconds * 60.0;
    println!(
        "{seeds} seeds from {from}, {events} events, {} failed, {seconds:.1} s ({per_minute:.0} a minute)",
        failed.len()
    );
    // With a planted bug a run succeeds if the bug is detected.
    match failed.is_empty() == bug.is_none() {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}
