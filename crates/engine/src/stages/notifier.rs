//! notifier: records notifications of the feed's frames.
//!
//! It follows the feed with a checkpoint of its own; no other stage waits for it. Notifications are
//! recorded together with the checkpoint, so that each frame is handled exactly once. Delivery
//! workers send them ([`crate::stages::delivery`]).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::fault_injection::failpoint;
use crate::handlers::FeedEvent;
use crate::model::notification::{NotificationRules, RetryPolicy};
use crate::ports::{
    EventLog, Leases, Notices, Notifications, PresentationReader, Recording, SourceStore,
    StoreError, Topic, contiguous,
};
use crate::stages::leadership::LeaderElection;
use crate::stages::runner::{Stage, Wake, lead};
use crate::{Frame, Notification, Position, Shutdown, Timestamp};

/// Dependencies of notifier.
#[derive(Clone)]
pub struct NotifierDeps {
    /// Log, for its identity.
    pub log: Arc<dyn EventLog>,
    /// Source state, whose checkpoint is the start position of the first start.
    pub source: Arc<dyn SourceStore>,
    /// Store of the frames.
    pub presentation: Arc<dyn PresentationReader>,
    /// Store of the notifications.
    pub notifications: Arc<dyn Notifications>,
    /// Leases of the leader election, in the source database.
    pub leases: Arc<dyn Leases>,
    /// Notices from data-baker.
    pub notices: Arc<dyn Notices>,
}

/// Settings of notifier.
#[derive(Clone, Debug)]
pub struct NotifierSettings {
    /// Name of this instance.
    pub instance: String,
    /// Interval at which it polls without a notice.
    pub poll_interval: Duration,
    /// Maximum number of frames in one batch.
    pub max_batch: usize,
    /// Time after which its lease expires unless it is renewed.
    pub lease_ttl: Duration,
    /// Retry policy, which limits the age of events to notify of.
    pub retry_policy: RetryPolicy,
}

/// Determines the position after which notifications are sent. The first start stores it: events
/// that were executed before are never notified. Retries until the stores answer. Returns `false`
/// if shutdown comes first.
pub async fn prepare(deps: &NotifierDeps, shutdown: &Shutdown) -> bool {
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match open(deps).await {
            Ok(position) => {
                tracing::info!(
                    stage = "notifier",
                    position,
                    "notifications enabled for events after this position"
                );
                return true;
            }
            Err(error) => tracing::warn!(stage = "notifier", "waiting: {error}"),
        }
        backoff.wait(shutdown).await;
    }
    false
}

/// Opens the checkpoint.
async fn open(deps: &NotifierDeps) -> Result<Position, StoreError> {
    let epoch = deps.log.epoch().await?;
    let start = deps.source.checkpoint().await?.position;
    deps.notifications.open(&epoch, start).await
}

/// Runs notifier until shutdown. Sends the position to `recorded` whenever there are notifications
/// to deliver.
pub async fn run(
    deps: NotifierDeps,
    rules: Arc<dyn NotificationRules>,
    settings: NotifierSettings,
    recorded: watch::Sender<Position>,
    shutdown: Shutdown,
) {
    let election = LeaderElection {
        leases: deps.leases.clone(),
        name: Notifier::NAME.to_owned(),
        holder: settings.instance.clone(),
        time_to_live: settings.lease_ttl,
    };
    let notices = deps.notices.clone();
    let wake = Wake {
        notices: notices.as_ref(),
        topic: Topic::Baked,
        interval: settings.poll_interval,
        wake_signal: None,
    };
    let mut notifier = Notifier {
        deps,
        rules,
        settings,
        recorded,
        checkpoint: None,
    };
    lead(&mut notifier, &wake, &election, &shutdown).await;
}

struct Notifier {
    deps: NotifierDeps,
    rules: Arc<dyn NotificationRules>,
    settings: NotifierSettings,
    recorded: watch::Sender<Position>,
    /// Checkpoint as last committed by this instance; `None`: must be read from the store.
    checkpoint: Option<Position>,
}

#[async_trait]
impl Stage for Notifier {
    const NAME: &'static str = "notifier";

    async fn batch(&mut self) -> Result<bool, StoreError> {
        let from = match self.checkpoint.take() {
            Some(checkpoint) => checkpoint,
            None => open(&self.deps).await?,
        };
        let limit = self.settings.max_batch;
        let frames = self.deps.presentation.frames(from, limit).await?;
        let frames = contiguous(from, frames)?;
        let Some(recording) = self.recording(from, &frames)? else {
            self.checkpoint = Some(from);
            return Ok(false);
        };
        self.deps.notifications.record(&recording).await?;
        failpoint("notifier.recorded");
        let (to, count) = (recording.to, recording.notifications.len());
        self.checkpoint = Some(to);
        if count > 0 {
            tracing::debug!(
                stage = Self::NAME,
                notifications = count,
                position = to,
                "notifications requested"
            );
            self.recorded.send_replace(to);
        }
        Ok(true)
    }
}

impl Notifier {
    /// Creates the notifications of the frames; `None` if there are no frames.
    fn recording(&self, from: Position, frames: &[Frame]) -> Result<Option<Recording>, StoreError> {
        let mut recording = Recording {
            from,
            to: from,
            notifications: Vec::new(),
        };
        for frame in frames {
            recording.to = frame.position;
            recording.notifications.extend(self.notifications(frame)?);
        }
        Ok((recording.to > from).then_some(recording))
    }

    /// Creates the notifications of a frame.
    fn notifications(&self, frame: &Frame) -> Result<Vec<Notification>, StoreError> {
        let announcement = self.rules.announce(frame);
        let announcement = announcement.map_err(StoreError::corrupt)?;
        if announcement.requests.is_empty() {
            return Ok(Vec::new());
        }
        let event = FeedEvent::of(frame).map_err(StoreError::corrupt)?;
        let (at, now) = (announcement.at, Timestamp::now());
        let retry_policy = &self.settings.retry_policy;
        let requests = announcement.requests.into_iter().map(|request| {
            let notification = Notification::requested(event.operation_id, frame, at, request, now);
            if retry_policy.is_over(at, now) {
                // The event is too old after an outage or a pause.
                return notification.abandoned("expired before it could be sent".into(), now);
            }
            notification
        });
        Ok(requests.collect())
    }
}
