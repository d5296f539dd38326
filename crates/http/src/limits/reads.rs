//! Turns for reads of the log, which may be long: few at a time, and a short line.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::quota::{Exceeded, Permit, Quota};
use crate::auth::RateLimitKey;
use crate::response::problem::Problem;

/// Reads in line and under way, in all, for each that may be under way.
const LINE_FACTOR: usize = 8;
/// Reads in line for one client, as a multiple of those at the same time.
const LINE_FACTOR_PER_CLIENT: usize = 2;
/// Time that a read may stand in line.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// The turns of one process.
pub(super) struct Reads {
    line: Arc<Quota>,
    turns: Arc<Semaphore>,
}

/// A turn for a read; the next one's when it is dropped.
pub struct ReadTurn {
    _place: Permit,
    _turn: OwnedSemaphorePermit,
}

impl Reads {
    pub(super) fn new(max_reads: usize) -> Self {
        let max_reads = max_reads.clamp(1, Semaphore::MAX_PERMITS / LINE_FACTOR);
        Self {
            line: Quota::new(max_reads * LINE_FACTOR, max_reads * LINE_FACTOR_PER_CLIENT),
            turns: Arc::new(Semaphore::new(max_reads)),
        }
    }

    pub(super) async fn turn(&self, caller: RateLimitKey) -> Result<ReadTurn, Problem> {
        let busy = || Problem::unavailable("too many reads are in line; try again");
        let place = self.line.take(caller).map_err(|exceeded| match exceeded {
            Exceeded::All => busy(),
            Exceeded::Each(most) => Problem::too_many_reads(most),
        })?;
        let turn = self.turns.clone().acquire_owned();
        match tokio::time::timeout(TURN_TIMEOUT, turn).await {
            Ok(Ok(turn)) => Ok(ReadTurn {
                _place: place,
                _turn: turn,
            }),
            _ => Err(busy()),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn ada() -> RateLimitKey {
        RateLimitKey::Principal("ada".into())
    }

    #[tokio::test(start_paused = true)]
    async fn reads_take_turns_and_the_line_is_short() {
        let reads = Reads::new(1);
        let Ok(first) = reads.turn(ada()).await else {
            panic!("no turn");
        };
        let mut second = Box::pin(reads.turn(ada()));
        assert!((&mut second).now_or_never().is_none(), "it is in line");
        let refused = reads.turn(ada()).await.err().expect("no third");
        assert!(refused.to_string().starts_with("429"), "{refused}");
        drop(first);
        let Ok(second) = second.await else {
            panic!("not its turn");
        };
        let bob = RateLimitKey::Principal("bob".into());
        let refused = reads.turn(bob).await.err().expect("time is up");
        assert!(refused.to_string().starts_with("503"), "{refused}");
        drop(second);
    }
}
