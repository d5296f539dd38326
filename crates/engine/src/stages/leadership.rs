//! Leader election: one of several instances works, the others are standbys.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::Shutdown;
use crate::backoff::Backoff;
use crate::ports::{Lease, Leases};

/// A candidate for the leadership of a stage.
pub(crate) struct LeaderElection {
    pub(crate) leases: Arc<dyn Leases>,
    /// Name of the lease: the service's name.
    pub(crate) name: String,
    /// Name of this instance.
    pub(crate) holder: String,
    /// Time after which the lease expires unless it is renewed.
    pub(crate) time_to_live: Duration,
}

/// A period during which this instance holds the lease.
pub(crate) struct Leadership {
    lease: Lease,
    ended: Shutdown,
}

impl Leadership {
    /// Returns the signal that the work must end: the lease is lost, or the service shuts down.
    pub(crate) fn ended(&self) -> Shutdown {
        self.ended.clone()
    }
}

impl LeaderElection {
    /// Waits until this instance holds the lease. Returns `None` at shutdown.
    pub(crate) async fn acquire(&self, shutdown: &Shutdown) -> Option<Leadership> {
        let mut backoff = Backoff::default();
        let mut is_standby = false;
        while !shutdown.is_cancelled() {
            match self.try_acquire().await {
                Ok(Some(lease)) => return Some(self.start(lease, shutdown)),
                Ok(None) => {
                    if !is_standby {
                        tracing::info!(stage = %self.name, "standby: another instance leads");
                    }
                    is_standby = true;
                    pause_until(Instant::now() + self.time_to_live / 6, shutdown).await;
                }
                Err(error) => {
                    tracing::warn!(stage = %self.name, "lease not acquired: {error}");
                    backoff.wait(shutdown).await;
                }
            }
        }
        None
    }

    async fn try_acquire(&self) -> Result<Option<Lease>, crate::ports::StoreError> {
        let leases = &self.leases;
        leases
            .acquire(&self.name, &self.holder, self.time_to_live)
            .await
    }

    fn start(&self, lease: Lease, shutdown: &Shutdown) -> Leadership {
        tracing::info!(stage = %self.name, epoch = lease.epoch, "leading");
        Leadership {
            lease,
            ended: shutdown.child_token(),
        }
    }

    /// Renews the lease until it is lost or the service shuts down, then ends the leadership.
    pub(crate) async fn keep_alive(&self, leadership: &Leadership, shutdown: &Shutdown) {
        let mut valid_until = Instant::now() + self.time_to_live;
        while !shutdown.is_cancelled() && Instant::now() < valid_until {
            let next = Instant::now() + self.time_to_live / 3;
            pause_until(next.min(valid_until), shutdown).await;
            // Counted from before the request, because the answer may be slow.
            let requested_at = Instant::now();
            match self.renew(&leadership.lease, valid_until).await {
                Some(true) => valid_until = requested_at + self.time_to_live,
                Some(false) => break,
                None => {}
            }
        }
        leadership.ended.cancel();
        if shutdown.is_cancelled() {
            // Best effort: a lease that is not released expires.
            let _ = self.leases.release(&self.name, &leadership.lease).await;
        } else {
            tracing::warn!(
                stage = %self.name,
                epoch = leadership.lease.epoch,
                "lost the lease; stopping after this batch"
            );
        }
    }

    /// Renews the lease. Returns `Some(false)` if another instance holds it, and `None` without an
    /// answer before `valid_until` or after an error.
    async fn renew(&self, lease: &Lease, valid_until: Instant) -> Option<bool> {
        let renewal = self.leases.renew(&self.name, lease, self.time_to_live);
        match tokio::time::timeout_at(valid_until, renewal).await {
            Ok(Ok(is_held)) => Some(is_held),
            Ok(Err(error)) => {
                tracing::warn!(stage = %self.name, "lease not renewed: {error}");
                let retry_at = Instant::now() + self.time_to_live / 12;
                sleep_until(retry_at.min(valid_until)).await;
                None
            }
            Err(_) => None,
        }
    }
}

/// Waits until the given time, or until shutdown.
async fn pause_until(time: Instant, shutdown: &Shutdown) {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = sleep_until(time) => {}
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use async_trait::async_trait;
    use tokio::time::sleep;

    use super::*;
    use crate::ports::StoreError;

    const TIME_TO_LIVE: Duration = Duration::from_secs(3);
    /// Precision of tokio's timers.
    const TICK: Duration = Duration::from_millis(2);

    /// Leases with scripted answers to renewals. Further renewals fail.
    struct Scripted {
        answers: Vec<bool>,
        latency: Duration,
        renewals: AtomicUsize,
        releases: AtomicUsize,
    }

    #[async_trait]
    impl Leases for Scripted {
        async fn acquire(
            &self,
            _: &str,
            holder: &str,
            _: Duration,
        ) -> Result<Option<Lease>, StoreError> {
            let holder = holder.to_owned();
            Ok(Some(Lease { holder, epoch: 1 }))
        }

        async fn renew(&self, _: &str, _: &Lease, _: Duration) -> Result<bool, StoreError> {
            let index = self.renewals.fetch_add(1, Ordering::Relaxed);
            assert!(index < 1_000, "endless renewals");
            let Some(answer) = self.answers.get(index) else {
                return Err(StoreError::unavailable("no answer"));
            };
            sleep(self.latency).await;
            Ok(*answer)
        }

        async fn release(&self, _: &str, _: &Lease) -> Result<(), StoreError> {
            self.releases.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    /// Returns the time until the leadership has ended, and the number of releases.
    async fn keep_alive(
        answers: &[bool],
        latency: Duration,
        shutdown_after: Option<Duration>,
    ) -> (Duration, usize) {
        let leases = Arc::new(Scripted {
            answers: answers.to_vec(),
            latency,
            renewals: AtomicUsize::new(0),
            releases: AtomicUsize::new(0),
        });
        let election = LeaderElection {
            leases: leases.clone(),
            name: "work".into(),
            holder: "one".into(),
            time_to_live: TIME_TO_LIVE,
        };
        let shutdown = Shutdown::new();
        let leadership = election.acquire(&shutdown).await.expect("a lease");
        let ended = leadership.ended();
        let started = Instant::now();
        if let Some(time) = shutdown_after {
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                sleep(time).await;
                shutdown.cancel();
            });
        }
        let work = async {
            ended.cancelled().await;
            started.elapsed()
        };
        let run = async { tokio::join!(election.keep_alive(&leadership, &shutdown), work).1 };
        let time = tokio::time::timeout(TIME_TO_LIVE * 100, run).await;
        (
            time.expect("the leadership ends"),
            leases.releases.load(Ordering::Relaxed),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_once_another_instance_has_the_lease() {
        let (time, releases) = keep_alive(&[true, false], Duration::ZERO, None).await;
        assert!(time <= TIME_TO_LIVE, "{time:?}");
        assert_eq!(releases, 0, "the lease belongs to another instance");
    }

    #[tokio::test(start_paused = true)]
    async fn leadership_ends_when_a_lease_that_cannot_be_renewed_expires() {
        let (time, releases) = keep_alive(&[], Duration::ZERO, None).await;
        assert!(
            time >= TIME_TO_LIVE && time <= TIME_TO_LIVE + TICK,
            "{time:?}"
        );
        assert_eq!(releases, 0);
    }

    /// The store may have renewed the lease at any time after the request.
    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_does_not_extend_the_leadership() {
        let latency = TIME_TO_LIVE / 2;
        let (time, _) = keep_alive(&[true], latency, None).await;
        // The renewal is requested after a third of the time to live.
        let end = TIME_TO_LIVE / 3 + TIME_TO_LIVE;
        assert!(time >= end && time <= end + TICK, "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_is_released_at_shutdown() {
        let time = TIME_TO_LIVE / 3 * 4;
        let (ended, releases) = keep_alive(&[true; 100], Duration::ZERO, Some(time)).await;
        assert!(ended >= time && ended <= time + TICK, "{ended:?}");
        assert_eq!(releases, 1);
    }
}
