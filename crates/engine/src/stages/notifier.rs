//! notifier: the feed's frames into notifications on record.
//!
//! It follows the log at a position of its own, like any reader: nothing waits
//! for it. What is to be sent goes on record together with that position, so
//! that no event is forgotten and none leads to two notifications. Sending is
//! for the couriers ([`crate::stages::delivery`]).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::fault_injection::point;
use crate::handlers::FeedEvent;
use crate::model::notification::{NotificationRules, Patience};
use crate::ports::{
    EventLog, Leases, Notices, Notifications, PresentationReader, Recording, SourceStore,
    StoreError, Topic, contiguous,
};
use crate::stages::leadership::LeaderElection;
use crate::stages::runner::{Stage, Wake, lead};
use crate::{Frame, Notification, Position, Shutdown, Timestamp};

/// What notifier stands between.
#[derive(Clone)]
pub struct NotifierDeps {
    /// Which log it is.
    pub log: Arc<dyn EventLog>,
    /// How far that has been executed: where the first start of all begins.
    pub source: Arc<dyn SourceStore>,
    /// Where the frames are.
    pub presentation: Arc<dyn PresentationReader>,
    /// Where the notifications go.
    pub notifications: Arc<dyn Notifications>,
    /// Who leads; in the source database.
    pub leases: Arc<dyn Leases>,
    /// Who wakes it.
    pub notices: Arc<dyn Notices>,
}

/// How notifier works.
#[derive(Clone, Debug)]
pub struct NotifierSettings {
    /// Name of this instance.
    pub instance: String,
    /// How often it looks although nobody told it to.
    pub sweep_interval: Duration,
    /// Frames a batch at most.
    pub max_batch: usize,
    /// How long its lease lasts without being renewed.
    pub lease_ttl: Duration,
    /// Until when it is worth telling anybody.
    pub patience: Patience,
}

/// Settles from where on notifications are sent, which the first start of all
/// does for ever: what was executed before it is nobody's news. Waits for the
/// stores. `false`: shutdown came first.
pub async fn prepare(deps: &NotifierDeps, shutdown: &Shutdown) -> bool {
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        match open(deps).await {
            Ok(position) => {
                tracing::info!(
                    stage = "notifier",
                    position,
                    "notifying of what comes after"
                );
                return true;
            }
            Err(error) => tracing::warn!(stage = "notifier", "waiting: {error}"),
        }
        backoff.wait(shutdown).await;
    }
    false
}

/// The position to go on from.
async fn open(deps: &NotifierDeps) -> Result<Position, StoreError> {
    let epoch = deps.log.epoch().await?;
    let start = deps.source.checkpoint().await?.position;
    deps.notifications.open(&epoch, start).await
}

/// Runs until shutdown. Tells `recorded` whenever there is something to send.
pub async fn run(
    deps: NotifierDeps,
    announcer: Arc<dyn NotificationRules>,
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
        interval: settings.sweep_interval,
        news: None,
    };
    let mut notifier = Notifier {
        deps,
        announcer,
        settings,
        recorded,
        followed: None,
    };
    lead(&mut notifier, &wake, &election, &shutdown).await;
}

struct Notifier {
    deps: NotifierDeps,
    announcer: Arc<dyn NotificationRules>,
    settings: NotifierSettings,
    recorded: watch::Sender<Position>,
    /// How far the log was followed; `None`: to be read from the store.
    followed: Option<Position>,
}

#[async_trait]
impl Stage for Notifier {
    const NAME: &'static str = "notifier";

    async fn batch(&mut self) -> Result<bool, StoreError> {
        let from = match self.followed.take() {
            Some(followed) => followed,
            None => open(&self.deps).await?,
        };
        let most = self.settings.max_batch;
        let frames = self.deps.presentation.frames(from, most).await?;
        let frames = contiguous(from, frames)?;
        let Some(recording) = self.recording(from, &frames)? else {
            self.followed = Some(from);
            return Ok(false);
        };
        self.deps.notifications.record(&recording).await?;
        point("notifier.recorded");
        let (to, count) = (recording.to, recording.notifications.len());
        self.followed = Some(to);
        if count > 0 {
            tracing::info!(
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
    /// What the frames lead to; `None` where there are none.
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

    fn notifications(&self, frame: &Frame) -> Result<Vec<Notification>, StoreError> {
        let announcement = self.announcer.announce(frame);
        let announcement = announcement.map_err(StoreError::corrupt)?;
        if announcement.requests.is_empty() {
            return Ok(Vec::new());
        }
        let fact = FeedEvent::of(frame).map_err(StoreError::corrupt)?;
        let (at, now) = (announcement.at, Timestamp::now());
        let patience = &self.settings.patience;
        let requests = announcement.requests.into_iter().map(|request| {
            let notification = Notification::requested(fact.operation_id, frame, at, request, now);
            if patience.is_over(at, now) {
                // An outage, or a pause of the operator's, outlasted its worth.
                return notification.abandoned("too late when it could be sent".into(), now);
            }
            notification
        });
        Ok(requests.collect())
    }
}
