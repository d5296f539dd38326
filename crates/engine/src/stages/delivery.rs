//! Delivery worker: claims the due notifications of one channel, sends them, and records the
//! results.
//!
//! Every receiver (a mail server, a gateway, a webhook endpoint) has a channel with a delivery
//! worker of its own, so that an unavailable receiver delays only its own notifications. Deliveries
//! of a channel run concurrently, at most `concurrency` of them. A finished delivery is replaced by the
//! next one immediately, and its result is recorded while the others continue. Any number of
//! processes may run workers of one channel: a claimed notification is not given to another worker
//! before the claim expires.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::fault_injection::failpoint;
use crate::model::notification::{Attempt, RetryPolicy};
use crate::ports::{Channel, Claim, Notifications, SendError, Settled, StoreError};
use crate::{Notification, Position, Shutdown, Timestamp};

/// Duration of a claim, in multiples of the timeout of an attempt. The rest of the time is for
/// recording the result.
const CLAIM_TIMEOUTS: u32 = 4;
/// Interval between two polls of the store while more notifications are due: deliveries that end at
/// about the same time are replaced by one poll.
const REFILL_INTERVAL: Duration = Duration::from_millis(5);

/// Settings of a delivery worker.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// Interval at which it polls without a signal.
    pub poll_interval: Duration,
    /// Timeout of an attempt.
    pub timeout: Duration,
    /// Maximum number of concurrent deliveries.
    pub concurrency: usize,
    /// Retry policy.
    pub retry_policy: RetryPolicy,
}

/// Runs a delivery worker until shutdown. Deliveries in progress are completed.
pub async fn run(
    channel: Arc<dyn Channel>,
    notifications: Arc<dyn Notifications>,
    settings: DeliverySettings,
    mut recorded: watch::Receiver<Position>,
    shutdown: Shutdown,
) {
    let worker = DeliveryWorker {
        channel,
        notifications,
        settings,
        shutdown,
    };
    let mut deliveries = Deliveries::new(&worker);
    loop {
        deliveries.start_recording();
        if worker.shutdown.is_cancelled() {
            if deliveries.tasks.is_empty() {
                return;
            }
            deliveries.finish_one().await;
            continue;
        }
        let has_capacity = deliveries.has_capacity();
        if has_capacity && deliveries.next_poll <= Instant::now() {
            recorded.mark_unchanged();
            deliveries.start_claiming();
        }
        let has_capacity = deliveries.has_capacity();
        let mut poll = pin!(tokio::time::sleep_until(deliveries.next_poll));
        tokio::select! {
            biased;
            () = worker.shutdown.cancelled() => {}
            Some(done) = deliveries.tasks.next(), if !deliveries.tasks.is_empty() => {
                deliveries.on_done(done);
            }
            // The sender lives as long as the process.
            _ = recorded.changed(), if has_capacity => deliveries.poll_soon(),
            () = &mut poll, if has_capacity => {}
        }
    }
}

struct DeliveryWorker {
    channel: Arc<dyn Channel>,
    notifications: Arc<dyn Notifications>,
    settings: DeliverySettings,
    shutdown: Shutdown,
}

/// Deliveries in progress of a worker.
struct Deliveries<'a> {
    worker: &'a DeliveryWorker,
    /// Running tasks: claims, attempts, recordings.
    tasks: FuturesUnordered<BoxFuture<'a, Done>>,
    /// Number of running attempts.
    sending: usize,
    /// Results that are not recorded yet.
    results: Vec<Settled>,
    /// Number of results that are being recorded.
    recording: usize,
    is_claiming: bool,
    /// Time of the next poll of the store.
    next_poll: Instant,
    backoff: Backoff,
}

/// Result of a task.
enum Done {
    /// Notifications that were claimed, and the limit of the claim.
    Claimed(usize, Result<Vec<Notification>, StoreError>),
    Attempted(Settled),
    Recorded,
}

impl<'a> Deliveries<'a> {
    fn new(worker: &'a DeliveryWorker) -> Self {
        Self {
            worker,
            tasks: FuturesUnordered::new(),
            sending: 0,
            results: Vec::new(),
            recording: 0,
            is_claiming: false,
            next_poll: Instant::now(),
            backoff: Backoff::default(),
        }
    }

    /// Returns the number of deliveries that may be started.
    fn capacity(&self) -> usize {
        let in_progress = self.sending + self.results.len() + self.recording;
        self.worker.settings.concurrency.saturating_sub(in_progress)
    }

    fn has_capacity(&self) -> bool {
        !self.is_claiming && self.capacity() > 0
    }

    /// Schedules a poll after notifications have been recorded.
    fn poll_soon(&mut self) {
        let pause = match self.tasks.is_empty() {
            true => Duration::ZERO,
            false => REFILL_INTERVAL,
        };
        self.next_poll = self.next_poll.min(Instant::now() + pause);
    }

    /// Starts to claim due notifications.
    fn start_claiming(&mut self) {
        let (worker, limit) = (self.worker, self.capacity());
        self.is_claiming = true;
        let claiming = async move { Done::Claimed(limit, worker.claim(limit).await) };
        self.tasks.push(Box::pin(claiming));
    }

    /// Starts to record results, unless a recording is already running.
    fn start_recording(&mut self) {
        if self.recording > 0 || self.results.is_empty() {
            return;
        }
        let results = std::mem::take(&mut self.results);
        self.recording = results.len();
        let worker = self.worker;
        let recording = async move {
            failpoint("delivery.sent");
            worker.record(&results).await;
            Done::Recorded
        };
        self.tasks.push(Box::pin(recording));
    }

    async fn finish_one(&mut self) {
        if let Some(done) = self.tasks.next().await {
            self.on_done(done);
        }
    }

    fn on_done(&mut self, done: Done) {
        match done {
            Done::Claimed(limit, Ok(claimed)) => {
                self.is_claiming = false;
                self.backoff.reset();
                let pause = match claimed.len() < limit {
                    true => self.worker.settings.poll_interval,
                    false => REFILL_INTERVAL,
                };
                // Notifications may have been recorded since the poll.
                self.next_poll = self.next_poll.max(Instant::now() + pause);
                self.send(claimed);
            }
            Done::Claimed(_, Err(error)) => {
                self.is_claiming = false;
                let lane = self.worker.channel.name();
                tracing::warn!(lane, "waiting: {error}");
                self.next_poll = Instant::now() + self.backoff.step();
            }
            Done::Attempted(result) => {
                self.sending -= 1;
                self.results.push(result);
            }
            Done::Recorded => self.recording = 0,
        }
    }

    /// Starts one attempt for each notification.
    fn send(&mut self, claimed: Vec<Notification>) {
        if claimed.is_empty() {
            return;
        }
        failpoint("delivery.taken");
        self.sending += claimed.len();
        let worker = self.worker;
        for notification in claimed {
            let attempt = async move { Done::Attempted(worker.attempt(&notification).await) };
            self.tasks.push(Box::pin(attempt));
        }
    }
}

impl DeliveryWorker {
    /// Claims due notifications.
    async fn claim(&self, limit: usize) -> Result<Vec<Notification>, StoreError> {
        let now = Timestamp::now();
        let claim = Claim {
            now,
            until: now.after(self.settings.timeout * CLAIM_TIMEOUTS),
            limit,
        };
        self.notifications.take(self.channel.name(), claim).await
    }

    /// Sends a notification once.
    async fn attempt(&self, notification: &Notification) -> Settled {
        let sending = self.channel.send(notification);
        let result = match tokio::time::timeout(self.settings.timeout, sending).await {
            Ok(result) => result,
            Err(_) => Err(SendError::unavailable(format!(
                "no answer within {} s",
                self.settings.timeout.as_secs_f32()
            ))),
        };
        Settled {
            id: notification.id,
            attempt: notification.attempts,
            outcome: self.outcome(notification, result),
        }
    }

    /// Decides whether a failed attempt is repeated, and logs the result.
    fn outcome(&self, notification: &Notification, result: Result<(), SendError>) -> Attempt {
        let at = Timestamp::now();
        let (lane, id) = (&notification.lane, notification.id);
        let (reason, retry_after) = match result {
            Ok(()) => {
                tracing::info!(%lane, %id, attempt = notification.attempts, "sent");
                return Attempt::Sent { at };
            }
            Err(SendError::Refused(reason)) => {
                tracing::warn!(%lane, %id, "refused: {reason}");
                return Attempt::Failed { at, reason };
            }
            Err(SendError::Unavailable {
                reason,
                retry_after,
            }) => (reason, retry_after),
        };
        match self
            .settings
            .retry_policy
            .next(notification, retry_after, at)
        {
            Some(due_at) => {
                tracing::info!(%lane, %id, %due_at, "failed, will be retried: {reason}");
                Attempt::Postponed { due_at, reason }
            }
            None => {
                let attempts = notification.attempts;
                tracing::warn!(%lane, %id, attempts, "not delivered: {reason}");
                Attempt::Failed { at, reason }
            }
        }
    }

    /// Records the results. Retries until the claim expires; notifications whose result is not
    /// recorded by then are sent again.
    async fn record(&self, results: &[Settled]) {
        let mut backoff = Backoff::default();
        let limit = tokio::time::sleep(self.settings.timeout * (CLAIM_TIMEOUTS - 1));
        tokio::pin!(limit);
        loop {
            match self.notifications.settle(results).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(
                    lane = self.channel.name(),
                    "results not recorded, will be retried: {error}"
                ),
            }
            if self.shutdown.is_cancelled() {
                return;
            }
            tokio::select! {
                () = backoff.wait(&self.shutdown) => {}
                () = &mut limit => return,
            }
        }
    }
}
