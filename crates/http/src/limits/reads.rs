//! Queue of reads of the log, which may be long: few run at a time, and the queue is short.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::quota::{Exceeded, Permit, Quota};
use crate::auth::RateLimitKey;
use crate::response::problem::Problem;

/// Maximum number of queued and running reads in total, as a multiple of the concurrent ones.
const QUEUE_FACTOR: usize = 8;
/// Maximum number of queued and running reads per client, as a multiple of the concurrent ones.
const QUEUE_FACTOR_PER_CLIENT: usize = 2;
/// Maximum time that a read is queued.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(5);

/// Queue of one process.
pub(super) struct Reads {
    queue: Arc<Quota>,
    running: Arc<Semaphore>,
}

/// Permit for a read; released when it is dropped.
pub struct ReadPermit {
    _queued: Permit,
    _running: OwnedSemaphorePermit,
}

impl Reads {
    pub(super) fn new(max_reads: usize) -> Self {
        let max_reads = max_reads.clamp(1, Semaphore::MAX_PERMITS / QUEUE_FACTOR);
        let max_queued = max_reads * QUEUE_FACTOR;
        Self {
            queue: Quota::new(max_queued, max_reads * QUEUE_FACTOR_PER_CLIENT),
            running: Arc::new(Semaphore::new(max_reads)),
        }
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// 429 if the client has too many reads queued; 503 if the queue is full or the wait times
    /// out.
    pub(super) async fn acquire(&self, key: RateLimitKey) -> Result<ReadPermit, Problem> {
        let busy = || Problem::unavailable("too many reads are queued; try again later");
        let queued = self.queue.take(key).map_err(|exceeded| match exceeded {
            Exceeded::Total => busy(),
            Exceeded::PerClient(max) => Problem::too_many_reads(max),
        })?;
        let running = self.running.clone().acquire_owned();
        match tokio::time::timeout(QUEUE_TIMEOUT, running).await {
            Ok(Ok(running)) => Ok(ReadPermit {
                _queued: queued,
                _running: running,
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
    async fn reads_are_queued_and_the_queue_is_bounded() {
        let reads = Reads::new(1);
        let Ok(first) = reads.acquire(ada()).await else {
            panic!("no permit");
        };
        let mut second = Box::pin(reads.acquire(ada()));
        assert!((&mut second).now_or_never().is_none(), "it is queued");
        let refused = reads.acquire(ada()).await.err().expect("no third");
        assert!(refused.to_string().starts_with("429"), "{refused}");
        drop(first);
        let Ok(second) = second.await else {
            panic!("no second permit");
        };
        let bob = RateLimitKey::Principal("bob".into());
        let refused = reads.acquire(bob).await.err().expect("timed out");
        assert!(refused.to_string().starts_with("503"), "{refused}");
        drop(second);
    }
}
