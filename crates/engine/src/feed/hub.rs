//! The hub: follows what has been baked, for all subscriptions of one process.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::interest::{Change, Interests};
use super::ring::{Ring, Shared, fits_run};
use super::{FeedError, Subscription};
use crate::backoff::{Backoff, Reminder};
use crate::fault_injection;
use crate::ports::{
    EventLog, Head, Notice, Notices, PresentationReader, StoreError, Topic, contiguous,
};
use crate::{Frame, Position, Shutdown};

/// Frames fetched from the store at once.
const PAGE: usize = 256;

/// Frames that a subscriber is given of the store at once, as far as they have no more than
/// a run of the ring.
pub(super) const CATCH_UP_PAGE: usize = 64;

/// Subscriptions that read from the store at the same time: thousands that come
/// back together must not take it away from everybody else.
const CATCHING_UP: usize = 16;

/// How long a subscriber is waited for who has seen more than this process has:
/// they come from another one, which was a moment faster.
const AHEAD: Duration = Duration::from_secs(3);

/// How long to wait without a word: data-baker may be starting as well.
const QUIET: Duration = Duration::from_millis(500);

/// How the feed works.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// How many of the latest frames are kept in memory.
    pub ring: usize,
    /// How often the store is looked at although nobody told it to.
    pub sweep_interval: Duration,
}

/// The feed of one process.
pub struct Feed {
    reader: Arc<dyn PresentationReader>,
    log: Arc<dyn EventLog>,
    settings: FeedSettings,
    /// Set once it is known where the feed stands.
    opened: OnceLock<Opened>,
    head: watch::Sender<Position>,
    catching_up: Semaphore,
    interests: Interests,
}

struct Opened {
    epoch: String,
    ring: RwLock<Ring>,
}

impl Feed {
    /// A feed that knows nothing yet; [`Feed::run`] fills it.
    #[must_use]
    pub fn new(
        reader: Arc<dyn PresentationReader>,
        log: Arc<dyn EventLog>,
        settings: FeedSettings,
    ) -> Arc<Self> {
        Arc::new(Self {
            reader,
            log,
            settings,
            opened: OnceLock::new(),
            head: watch::Sender::new(0),
            catching_up: Semaphore::new(CATCHING_UP),
            interests: Interests::default(),
        })
    }

    /// Follows what is baked, until shutdown.
    pub async fn run(self: Arc<Self>, notices: Arc<dyn Notices>, shutdown: Shutdown) {
        // Subscribed before the head is read: nothing falls in between.
        let mut stream = notices.subscribe(Topic::Baked).await;
        self.open(&shutdown).await;
        let mut sweep = tokio::time::interval(self.settings.sweep_interval);
        sweep.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !shutdown.is_cancelled() {
            let complete = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                _ = sweep.tick() => false,
                notice = stream.next() => self.take(notice),
            };
            if !complete && let Err(error) = self.fetch().await {
                tracing::warn!(stage = "feed", "waiting: {error}");
            }
        }
    }

    async fn open(&self, shutdown: &Shutdown) {
        let mut backoff = Backoff::default();
        let mut reminder = Reminder::after(QUIET);
        while !shutdown.is_cancelled() {
            match self.stand().await {
                Ok(head) => {
                    let ring = RwLock::new(Ring::new(head.position, self.settings.ring));
                    let epoch = head.epoch;
                    self.head.send_replace(head.position);
                    self.opened.get_or_init(|| Opened { epoch, ring });
                    return;
                }
                Err(error) if reminder.is_due() => {
                    tracing::warn!(stage = "feed", "waiting for the presentation: {error}");
                }
                Err(_) => {}
            }
            backoff.wait(shutdown).await;
        }
    }

    /// Standing of the feed. Before anything has been baked that is the beginning of the
    /// log, whose identity the first baking takes over.
    async fn stand(&self) -> Result<Head, StoreError> {
        match self.reader.head().await {
            Err(StoreError::NotYet(_)) => Ok(Head {
                epoch: self.log.epoch().await?,
                position: 0,
            }),
            head => head,
        }
    }

    /// `false`: frames are missing and must be fetched.
    fn take(&self, notice: Option<Notice>) -> bool {
        match notice {
            Some(Notice::Baked { from, frames }) => {
                let is_behind = self.head_position() < from;
                !is_behind && self.extend(frames)
            }
            Some(_) => true,
            None => false,
        }
    }

    async fn fetch(&self) -> Result<(), StoreError> {
        loop {
            let frames = self.page(self.head_position()).await?;
            let is_last = frames.len() < PAGE;
            self.extend(frames);
            if is_last {
                return Ok(());
            }
        }
    }

    fn extend(&self, frames: Vec<Frame>) -> bool {
        let Some(opened) = self.opened.get() else {
            return true;
        };
        let concerned = self.interests.concerned(&frames);
        let mut ring = opened.ring.write().unwrap_or_else(PoisonError::into_inner);
        let complete = ring.extend(frames);
        let head = ring.head();
        drop(ring);
        self.head
            .send_if_modified(|seen| std::mem::replace(seen, head) != head);
        for interest in concerned {
            interest.send_replace(());
        }
        complete
    }

    /// The last position that subscribers of this process can have seen.
    #[must_use]
    pub fn head_position(&self) -> Position {
        *self.head.borrow()
    }

    /// Waits until subscribers of this process can have seen a position.
    pub async fn reached(&self, position: Position) {
        let mut head = self.head.subscribe();
        // The sender lives as long as this feed.
        let _ = head.wait_for(|head| *head >= position).await;
    }

    /// Registers an interest in one entity: whoever waits for it is woken by its frames
    /// alone, however many others there are.
    #[must_use]
    pub fn change_of(&self, entity_id: &str) -> Change {
        self.interests.register(entity_id)
    }

    /// The log's identity; `None` while the presentation has not been reached.
    #[must_use]
    pub fn epoch(&self) -> Option<&str> {
        self.opened.get().map(|opened| opened.epoch.as_str())
    }

    /// A subscription to all frames after `since`, or from now on.
    ///
    /// # Errors
    /// [`FeedError::Unavailable`] while the presentation has not been reached;
    /// [`FeedError::OtherEpoch`] and [`FeedError::Ahead`] when the subscriber's
    /// position means nothing here.
    pub fn subscribe(
        self: &Arc<Self>,
        since: Option<Position>,
        epoch: Option<&str>,
    ) -> Result<Subscription, FeedError> {
        let ours = self.epoch().ok_or(FeedError::Unavailable)?;
        if epoch.is_some_and(|theirs| theirs != ours) {
            return Err(FeedError::OtherEpoch);
        }
        let seen = self.head.subscribe();
        let head = *seen.borrow();
        let since = since.unwrap_or(head);
        if since > head {
            return Err(FeedError::Ahead { head });
        }
        let since = fault_injection::since(since);
        Ok(Subscription::new(self.clone(), seen, since))
    }

    /// The same for a position that another process may have handed out.
    ///
    /// # Errors
    /// As [`Feed::subscribe`]; [`FeedError::Ahead`] only after a while, and only if the store
    /// has no such position either: this process may be behind for longer.
    pub async fn join(
        self: &Arc<Self>,
        since: Option<Position>,
        epoch: Option<&str>,
    ) -> Result<Subscription, FeedError> {
        match (self.subscribe(since, epoch), since) {
            (Err(FeedError::Ahead { .. }), Some(since)) => {
                let _ = tokio::time::timeout(AHEAD, self.reached(since)).await;
                match self.subscribe(Some(since), epoch) {
                    Err(FeedError::Ahead { .. }) if self.reader.head().await?.position >= since => {
                        Err(FeedError::Unavailable)
                    }
                    joined => joined,
                }
            }
            (joined, _) => joined,
        }
    }

    pub(super) fn recent(&self, after: Position, limit: usize) -> Option<Vec<Arc<Shared>>> {
        let ring = &self.opened.get()?.ring;
        let ring = ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.after(after, limit)
    }

    async fn page(&self, after: Position) -> Result<Vec<Frame>, StoreError> {
        contiguous(after, self.reader.frames(after, PAGE).await?)
    }

    /// Reads at most `page` frames, and says in its place how many to read next.
    pub(super) async fn stored(
        &self,
        after: Position,
        page: &mut usize,
    ) -> Result<Vec<Frame>, StoreError> {
        // Never closed; and without a permit one would only be in the others' way.
        let _permit = self.catching_up.acquire().await;
        let frames = self.reader.frames(after, *page).await?;
        let mut frames = contiguous(after, frames)?;
        let mut fits = fits_run();
        let count = frames.iter().take_while(|frame| fits(frame)).count();
        // Of large frames so many are read as are handed out, and of small ones more again.
        *page = match count < frames.len() {
            true => count,
            false => (*page * 2).min(CATCH_UP_PAGE),
        };
        frames.truncate(count);
        Ok(frames)
    }
}
