//! Leading: one instance of several does the work, the others stand by.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::Shutdown;
use crate::backoff::Backoff;
use crate::ports::{Leases, Tenure};

/// An instance that would lead if it can.
pub(crate) struct Candidacy {
    pub(crate) leases: Arc<dyn Leases>,
    /// Of the lease: the service's name.
    pub(crate) name: String,
    /// Of this instance.
    pub(crate) holder: String,
    pub(crate) time_to_live: Duration,
}

/// A time of leading.
pub(crate) struct Term {
    tenure: Tenure,
    ended: Shutdown,
}

impl Term {
    /// Cancelled when the work must end: the lease is lost, or the service shuts down.
    pub(crate) fn ended(&self) -> Shutdown {
        self.ended.clone()
    }
}

impl Candidacy {
    /// Waits until the lease is ours; `None` at shutdown.
    pub(crate) async fn win(&self, shutdown: &Shutdown) -> Option<Term> {
        let mut backoff = Backoff::default();
        let mut standing_by = false;
        while !shutdown.is_cancelled() {
            match self.acquire().await {
                Ok(Some(tenure)) => return Some(self.begin(tenure, shutdown)),
                Ok(None) => {
                    if !standing_by {
                        tracing::info!(stage = %self.name, "standing by: another instance leads");
                    }
                    standing_by = true;
                    pause(self.time_to_live / 6, shutdown).await;
                }
                Err(error) => {
                    tracing::warn!(stage = %self.name, "waiting for the lease: {error}");
                    backoff.wait(shutdown).await;
                }
            }
        }
        None
    }

    async fn acquire(&self) -> Result<Option<Tenure>, crate::ports::StoreError> {
        let leases = &self.leases;
        leases
            .acquire(&self.name, &self.holder, self.time_to_live)
            .await
    }

    fn begin(&self, tenure: Tenure, shutdown: &Shutdown) -> Term {
        tracing::info!(stage = %self.name, epoch = tenure.epoch, "leading");
        Term {
            tenure,
            ended: shutdown.child_token(),
        }
    }

    /// Prolongs the lease until it is lost or the service shuts down, then ends the term.
    pub(crate) async fn hold(&self, term: &Term, shutdown: &Shutdown) {
        let mut valid_until = Instant::now() + self.time_to_live;
        while !shutdown.is_cancelled() && Instant::now() < valid_until {
            pause(self.time_to_live / 3, shutdown).await;
            // Counted from before the question: the answer may take its time.
            let asked = Instant::now();
            match self.renew(&term.tenure, valid_until).await {
                Some(true) => valid_until = asked + self.time_to_live,
                Some(false) => break,
                None => {}
            }
        }
        term.ended.cancel();
        if shutdown.is_cancelled() {
            // Best effort: a lease not given back runs out by itself.
            let _ = self.leases.release(&self.name, &term.tenure).await;
        } else {
            tracing::warn!(
                stage = %self.name,
                epoch = term.tenure.epoch,
                "lost the lease"
            );
        }
    }

    /// `None`: no answer, or an error, while it is still valid.
    async fn renew(&self, tenure: &Tenure, valid_until: Instant) -> Option<bool> {
        let question = self.leases.renew(&self.name, tenure, self.time_to_live);
        match tokio::time::timeout_at(valid_until, question).await {
            Ok(Ok(ours)) => Some(ours),
            Ok(Err(error)) => {
                tracing::warn!(stage = %self.name, "renewing the lease: {error}");
                sleep(self.time_to_live / 12).await;
                None
            }
            Err(_) => None,
        }
    }
}

async fn pause(time: Duration, shutdown: &Shutdown) {
    tokio::select! {
        biased;
        () = shutdown.cancelled() => {}
        () = sleep(time) => {}
    }
}
