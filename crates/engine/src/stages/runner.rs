//! Loop of a stage that follows the log: runs batches while there is something to do, then waits
//! for a notice or the poll interval.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use futures_util::FutureExt;
use metrics::{counter, histogram};

use crate::Shutdown;
use crate::backoff::Backoff;
use crate::fault_injection::is_on;
use crate::handlers::WakeSignal;
use crate::ports::{Notice, NoticeStream, Notices, StoreError, Topic};
use crate::stages::leadership::LeaderElection;

/// A stage that follows the log.
#[async_trait]
pub(crate) trait Stage: Send {
    /// Name of the stage's service, used in log lines and metrics.
    const NAME: &'static str;

    /// Runs one batch. Returns `false` if there is nothing to do.
    ///
    /// After an error the stage discards its cached values: the next call reads the checkpoint from
    /// the store.
    async fn batch(&mut self) -> Result<bool, StoreError>;

    /// Handles a notice. A notice is a hint where to read, never a source of truth.
    fn on_notice(&mut self, _: &Notice) {}
}

/// Events that wake a stage.
pub(crate) struct Wake<'a> {
    /// Notices of the previous stage.
    pub(crate) notices: &'a dyn Notices,
    pub(crate) topic: Topic,
    /// Interval at which the stage polls without a notice.
    pub(crate) interval: Duration,
    /// Additional wake signal, if there is one.
    pub(crate) wake_signal: Option<WakeSignal>,
}

/// Runs a stage while this instance holds the lease, until shutdown.
pub(crate) async fn lead<S: Stage>(
    stage: &mut S,
    wake: &Wake<'_>,
    election: &LeaderElection,
    shutdown: &Shutdown,
) {
    while let Some(leadership) = election.acquire(shutdown).await {
        // A standby needs no notices: it reads the stores when it takes over.
        let mut stream = wake.notices.subscribe(wake.topic).await;
        let ended = leadership.ended();
        tokio::join!(
            election.keep_alive(&leadership, shutdown),
            run_batches(stage, stream.as_mut(), wake, &ended),
        );
    }
}

async fn run_batches<S: Stage>(
    stage: &mut S,
    stream: &mut dyn NoticeStream,
    wake: &Wake<'_>,
    ended: &Shutdown,
) {
    let mut wake_signal = wake.wake_signal.clone();
    let mut backoff = Backoff::default();
    while !ended.is_cancelled() {
        drain_notices(stage, stream);
        match stage.batch().await {
            Ok(true) => {
                backoff.reset();
                note_success(S::NAME);
            }
            Ok(false) => {
                backoff.reset();
                note_success(S::NAME);
                sleep(stage, stream, (wake.interval, &mut wake_signal), ended).await;
            }
            Err(error) => {
                count_error(S::NAME);
                note_error(S::NAME, &error);
                log_error(S::NAME, &error);
                backoff.wait(ended).await;
            }
        }
    }
}

/// Logs an error of a batch. Being fenced is expected after another instance has taken over.
fn log_error(stage: &str, error: &StoreError) {
    match error {
        StoreError::Fenced => tracing::info!(stage, "{error}"),
        StoreError::Unavailable(_) | StoreError::NotYet(_) => {
            tracing::warn!(stage, "waiting: {error}")
        }
        StoreError::Hole { .. } | StoreError::Corrupt(_) => {
            tracing::error!(stage, "stage blocked: {error}");
        }
    }
}

/// Waits for a notice, the wake signal, the poll interval or the end of the leadership.
async fn sleep<S: Stage>(
    stage: &mut S,
    stream: &mut dyn NoticeStream,
    (interval, wake_signal): (Duration, &mut Option<WakeSignal>),
    ended: &Shutdown,
) {
    let interval = if is_on("lost-wake-up") {
        Duration::MAX
    } else {
        interval
    };
    let notice = tokio::select! {
        biased;
        () = ended.cancelled() => None,
        notice = stream.next() => notice,
        () = wait_for_signal(wake_signal) => None,
        () = tokio::time::sleep(interval) => None,
    };
    if let Some(notice) = notice {
        stage.on_notice(&notice);
    }
}

/// Waits for the wake signal. Never returns if there is none, or if its sender is gone.
async fn wait_for_signal(wake_signal: &mut Option<WakeSignal>) {
    if let Some(wake_signal) = wake_signal
        && wake_signal.changed().await.is_ok()
    {
        return;
    }
    std::future::pending().await
}

/// Handles all notices that have arrived, so that one batch covers them.
fn drain_notices<S: Stage>(stage: &mut S, stream: &mut dyn NoticeStream) {
    while let Some(notice) = stream.next().now_or_never() {
        if let Some(notice) = notice {
            stage.on_notice(&notice);
        }
    }
}

/// Latest error of each stage of this process that has not completed a batch since.
static ERRORS: Mutex<BTreeMap<&'static str, String>> = Mutex::new(BTreeMap::new());

/// Records the error that blocks a stage, for readiness.
pub(crate) fn note_error(stage: &'static str, error: &StoreError) {
    let mut errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
    errors.insert(stage, error.to_string());
}

/// Removes the recorded error of a stage.
pub(crate) fn note_success(stage: &'static str) {
    let mut errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
    errors.remove(stage);
}

/// Returns the error that blocks a stage of this process, if there is one.
#[must_use]
pub fn last_error(stage: &str) -> Option<String> {
    let errors = ERRORS.lock().unwrap_or_else(PoisonError::into_inner);
    errors.get(stage).cloned()
}

/// Records duration and size of a completed batch.
pub(crate) fn measure(stage: &'static str, events: usize, started: Instant) {
    let seconds = started.elapsed().as_secs_f64();
    histogram!("bakehouse_stage_batch_seconds", "stage" => stage).record(seconds);
    let events = u32::try_from(events).unwrap_or(u32::MAX);
    histogram!("bakehouse_stage_batch_events", "stage" => stage).record(f64::from(events));
}

/// Counts a batch that failed and will be repeated.
pub(crate) fn count_error(stage: &'static str) {
    counter!("bakehouse_stage_errors_total", "stage" => stage).increment(1);
}

/// Counts the outcomes of a batch, with the label `outcome`.
pub(crate) fn count_outcomes<const N: usize>(
    name: &'static str,
    outcomes: [(&'static str, usize); N],
) {
    for (outcome, count) in outcomes {
        counter!(name, "outcome" => outcome).increment(count as u64);
    }
}
