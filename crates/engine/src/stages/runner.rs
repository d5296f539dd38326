//! How a stage that follows the log works: batch after batch while there is
//! something to do, then asleep until a notice or the timer.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use metrics::{counter, histogram};

use crate::Shutdown;
use crate::backoff::Backoff;
use crate::fault_injection;
use crate::handlers::WakeSignal;
use crate::ports::{Notice, NoticeStream, Notices, StoreError, Topic};
use crate::stages::leadership::LeaderElection;

/// A stage that follows the log.
#[async_trait]
pub(crate) trait Stage: Send {
    /// Its service's name, for the log.
    const NAME: &'static str;

    /// Does one batch. `false`: there is nothing to do.
    ///
    /// After an error nothing that the stage remembers may be relied upon: the
    /// next call reads its checkpoint anew.
    async fn batch(&mut self) -> Result<bool, StoreError>;

    /// Takes note of what a notice says. It may steer where the stage looks,
    /// never what it concludes.
    fn hear(&mut self, _: &Notice) {}
}

/// What wakes a stage.
pub(crate) struct Wake<'a> {
    /// The notices of the stage before.
    pub(crate) notices: &'a dyn Notices,
    pub(crate) topic: Topic,
    /// How often it looks although nobody told it to.
    pub(crate) interval: Duration,
    /// What else wakes it, if anything does.
    pub(crate) news: Option<WakeSignal>,
}

/// Runs a stage whenever this instance holds the lease, until shutdown.
pub(crate) async fn lead<S: Stage>(
    stage: &mut S,
    wake: &Wake<'_>,
    election: &LeaderElection,
    shutdown: &Shutdown,
) {
    while let Some(term) = election.win(shutdown).await {
        // Only now: what came before is in the stores, and would be kept for nobody.
        let mut stream = wake.notices.subscribe(wake.topic).await;
        let ended = term.ended();
        tokio::join!(
            election.hold(&term, shutdown),
            follow(stage, stream.as_mut(), wake, &ended),
        );
    }
}

async fn follow<S: Stage>(
    stage: &mut S,
    stream: &mut dyn NoticeStream,
    wake: &Wake<'_>,
    ended: &Shutdown,
) {
    let mut news = wake.news.clone();
    let mut backoff = Backoff::default();
    while !ended.is_cancelled() {
        hear_all(stage, stream);
        match stage.batch().await {
            Ok(true) => {
                backoff.reset();
                note_success(S::NAME);
            }
            Ok(false) => {
                backoff.reset();
                note_success(S::NAME);
                sleep(stage, stream, (wake.interval, &mut news), ended).await;
            }
            Err(error) => {
                count_error(S::NAME);
                note_error(S::NAME, &error);
                report(S::NAME, &error);
                backoff.wait(ended).await;
            }
        }
    }
}

/// Being fenced is how a standby learns that it is one; all else is news.
fn report(stage: &str, error: &StoreError) {
    match error {
        StoreError::Fenced => tracing::info!(stage, "{error}"),
        StoreError::Unavailable(_) | StoreError::NotYet(_) => {
            tracing::warn!(stage, "waiting: {error}")
        }
        StoreError::Hole { .. } | StoreError::Corrupt(_) => {
            tracing::error!(stage, "cannot go on: {error}");
        }
    }
}

async fn sleep<S: Stage>(
    stage: &mut S,
    stream: &mut dyn NoticeStream,
    (interval, news): (Duration, &mut Option<WakeSignal>),
    ended: &Shutdown,
) {
    let woken_by = tokio::select! {
        biased;
        () = ended.cancelled() => None,
        notice = stream.next() => notice,
        () = changed(news) => None,
        () = tokio::time::sleep(fault_injection::interval(interval)) => None,
    };
    if let Some(notice) = woken_by {
        stage.hear(&notice);
    }
}

/// Waits for ever where there is nobody to tell.
async fn changed(news: &mut Option<WakeSignal>) {
    if let Some(news) = news
        && news.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// One look answers all notices that have gathered meanwhile.
fn hear_all<S: Stage>(stage: &mut S, stream: &mut dyn NoticeStream) {
    while let Some(notice) = stream.next().now_or_never() {
        if let Some(notice) = notice {
            stage.hear(&notice);
        }
    }
}

/// Latest error of each stage of this process that has not done a batch since.
static ERRORS: Mutex<BTreeMap<&'static str, String>> = Mutex::new(BTreeMap::new());

/// Remembers why a stage does not get on, for readiness.
pub(crate) fn note_error(stage: &'static str, error: &StoreError) {
    let mut errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
    errors.insert(stage, error.to_string());
}

/// Forgets it.
pub(crate) fn note_success(stage: &'static str) {
    let mut errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
    errors.remove(stage);
}

/// Why a stage of this process does not get on, if it does not.
#[must_use]
pub fn last_error(stage: &str) -> Option<String> {
    let errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
    errors.get(stage).cloned()
}

/// Counts a batch that has been done.
pub(crate) fn measure(stage: &'static str, events: usize, began: Instant) {
    let seconds = began.elapsed().as_secs_f64();
    histogram!("bakehouse_stage_batch_seconds", "stage" => stage).record(seconds);
    let events = u32::try_from(events).unwrap_or(u32::MAX);
    histogram!("bakehouse_stage_batch_events", "stage" => stage).record(f64::from(events));
}

/// Counts a batch that has to be done again.
pub(crate) fn count_error(stage: &'static str) {
    counter!("bakehouse_stage_errors_total", "stage" => stage).increment(1);
}

/// Counts what became of the operations of a batch.
pub(crate) fn count_outcomes<const N: usize>(
    name: &'static str,
    outcomes: [(&'static str, usize); N],
) {
    for (outcome, count) in outcomes {
        counter!(name, "outcome" => outcome).increment(count as u64);
    }
}
