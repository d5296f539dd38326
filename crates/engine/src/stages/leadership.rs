//! Leading: one instance of several does the work, the others stand by.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use crate::Shutdown;
use crate::backoff::Backoff;
use crate::ports::{Lease, Leases};

/// An instance that would lead if it can.
pub(crate) struct LeaderElection {
    pub(crate) leases: Arc<dyn Leases>,
    /// Of the lease: the service's name.
    pub(crate) name: String,
    /// Of this instance.
    pub(crate) holder: String,
    pub(crate) time_to_live: Duration,
}

/// A time of leading.
pub(crate) struct Leadership {
    lease: Lease,
    ended: Shutdown,
}

impl Leadership {
    /// Cancelled when the work must end: the lease is lost, or the service shuts down.
    pub(crate) fn ended(&self) -> Shutdown {
        self.ended.clone()
    }
}

impl LeaderElection {
    /// Waits until the lease is ours; `None` at shutdown.
    pub(crate) async fn win(&self, shutdown: &Shutdown) -> Option<Leadership> {
        let mut backoff = Backoff::default();
        let mut standing_by = false;
        while !shutdown.is_cancelled() {
            match self.acquire().await {
                Ok(Some(lease)) => return Some(self.begin(lease, shutdown)),
                Ok(None) => {
                    if !standing_by {
                        tracing::info!(stage = %self.name, "standing by: another instance leads");
                    }
                    standing_by = true;
                    pause_until(Instant::now() + self.time_to_live / 6, shutdown).await;
                }
                Err(error) => {
                    tracing::warn!(stage = %self.name, "waiting for the lease: {error}");
                    backoff.wait(shutdown).await;
                }
            }
        }
        None
    }

    async fn acquire(&self) -> Result<Option<Lease>, crate::ports::StoreError> {
        let leases = &self.leases;
        leases
            .acquire(&self.name, &self.holder, self.time_to_live)
            .await
    }

    fn begin(&self, lease: Lease, shutdown: &Shutdown) -> Leadership {
        tracing::info!(stage = %self.name, epoch = lease.epoch, "leading");
        Leadership {
            lease,
            ended: shutdown.child_token(),
        }
    }

    /// Prolongs the lease until it is lost or the service shuts down, then ends the term.
    pub(crate) async fn hold(&self, term: &Leadership, shutdown: &Shutdown) {
        let mut valid_until = Instant::now() + self.time_to_live;
        while !shutdown.is_cancelled() && Instant::now() < valid_until {
            let next = Instant::now() + self.time_to_live / 3;
            pause_until(next.min(valid_until), shutdown).await;
            // Counted from before the question: the answer may take its time.
            let asked = Instant::now();
            match self.renew(&term.lease, valid_until).await {
                Some(true) => valid_until = asked + self.time_to_live,
                Some(false) => break,
                None => {}
            }
        }
        term.ended.cancel();
        if shutdown.is_cancelled() {
            // Best effort: a lease not given back runs out by itself.
            let _ = self.leases.release(&self.name, &term.lease).await;
        } else {
            tracing::warn!(
                stage = %self.name,
                epoch = term.lease.epoch,
                "lost the lease"
            );
        }
    }

    /// `None`: no answer, or an error, while it is still valid.
    async fn renew(&self, lease: &Lease, valid_until: Instant) -> Option<bool> {
        let question = self.leases.renew(&self.name, lease, self.time_to_live);
        match tokio::time::timeout_at(valid_until, question).await {
            Ok(Ok(ours)) => Some(ours),
            Ok(Err(error)) => {
                tracing::warn!(stage = %self.name, "renewing the lease: {error}");
                let again = Instant::now() + self.time_to_live / 12;
                sleep_until(again.min(valid_until)).await;
                None
            }
            Err(_) => None,
        }
    }
}

/// Waits until a time, or until shutdown.
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

    /// Leases whose answers to renewals are laid down: at first these, then only errors.
    struct Scripted {
        answers: Vec<bool>,
        latency: Duration,
        asked: AtomicUsize,
        released: AtomicUsize,
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
            let index = self.asked.fetch_add(1, Ordering::Relaxed);
            assert!(index < 1_000, "it asks without end");
            let Some(answer) = self.answers.get(index) else {
                return Err(StoreError::unavailable("no answer"));
            };
            sleep(self.latency).await;
            Ok(*answer)
        }

        async fn release(&self, _: &str, _: &Lease) -> Result<(), StoreError> {
            self.released.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }
    }

    /// The time until the term has ended, and how often the lease was given back.
    async fn hold(
        answers: &[bool],
        latency: Duration,
        shutdown_after: Option<Duration>,
    ) -> (Duration, usize) {
        let leases = Arc::new(Scripted {
            answers: answers.to_vec(),
            latency,
            asked: AtomicUsize::new(0),
            released: AtomicUsize::new(0),
        });
        let election = LeaderElection {
            leases: leases.clone(),
            name: "work".into(),
            holder: "one".into(),
            time_to_live: TIME_TO_LIVE,
        };
        let shutdown = Shutdown::new();
        let term = election.win(&shutdown).await.expect("it leads");
        let ended = term.ended();
        let began = Instant::now();
        if let Some(time) = shutdown_after {
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                sleep(time).await;
                shutdown.cancel();
            });
        }
        let work = async {
            ended.cancelled().await;
            began.elapsed()
        };
        let held = async { tokio::join!(election.hold(&term, &shutdown), work).1 };
        let time = tokio::time::timeout(TIME_TO_LIVE * 100, held).await;
        (
            time.expect("the term ends"),
            leases.released.load(Ordering::Relaxed),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_once_somebody_else_has_the_lease() {
        let (time, released) = hold(&[true, false], Duration::ZERO, None).await;
        assert!(time <= TIME_TO_LIVE, "{time:?}");
        assert_eq!(released, 0, "it is not ours to give back");
    }

    #[tokio::test(start_paused = true)]
    async fn a_term_ends_when_a_lease_that_cannot_be_renewed_runs_out() {
        let (time, released) = hold(&[], Duration::ZERO, None).await;
        assert!(
            time >= TIME_TO_LIVE && time <= TIME_TO_LIVE + TICK,
            "{time:?}"
        );
        assert_eq!(released, 0);
    }

    /// The lease may have been renewed as soon as it was asked for.
    #[tokio::test(start_paused = true)]
    async fn a_slow_answer_does_not_prolong_the_term() {
        let latency = TIME_TO_LIVE / 2;
        let (time, _) = hold(&[true], latency, None).await;
        // Asked for after a third of the time.
        let end = TIME_TO_LIVE / 3 + TIME_TO_LIVE;
        assert!(time >= end && time <= end + TICK, "{time:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn at_shutdown_the_lease_is_given_back() {
        let time = TIME_TO_LIVE / 3 * 4;
        let (ended, released) = hold(&[true; 100], Duration::ZERO, Some(time)).await;
        assert!(ended >= time && ended <= time + TICK, "{ended:?}");
        assert_eq!(released, 1);
    }
}
