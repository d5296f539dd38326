//! Feed hub: reads baked frames on behalf of all subscriptions of a process.

use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

use super::interest::{Interest, Interests};
use super::ring::{Ring, SharedFrame, fits_run};
use crate::backoff::{Backoff, Reminder};
use crate::ports::{
    EventLog, Head, Notice, Notices, PresentationReader, StoreError, Topic, contiguous,
};
use crate::{Frame, Position, Shutdown};

/// Number of frames per read of the store.
const PAGE_SIZE: usize = 256;

/// Maximum number of frames that a subscription reads from the store at once; their size is
/// limited as well ([`fits_run`]).
pub(super) const MAX_CATCH_UP_PAGE: usize = 64;

/// Maximum number of subscriptions that read from the store concurrently, so that thousands of
/// reconnecting subscribers do not overload it.
const MAX_CONCURRENT_CATCH_UPS: usize = 16;

/// Time before the first log line while the presentation is unavailable: data-baker may still
/// be starting.
const FIRST_WARNING_DELAY: Duration = Duration::from_millis(500);

/// Settings of the feed.
#[derive(Clone, Debug)]
pub struct FeedSettings {
    /// Maximum number of latest frames kept in memory.
    pub ring: usize,
    /// Interval at which the store is polled without a notice.
    pub poll_interval: Duration,
}

/// Feed of one process.
pub struct Feed {
    pub(super) reader: Arc<dyn PresentationReader>,
    log: Arc<dyn EventLog>,
    settings: FeedSettings,
    /// Set once the head of the feed is known.
    opened: OnceLock<Opened>,
    pub(super) head: watch::Sender<Position>,
    catch_up_permits: Semaphore,
    interests: Interests,
}

struct Opened {
    epoch: String,
    ring: RwLock<Ring>,
}

impl Feed {
    /// Creates an unopened feed; [`Feed::run`] opens and fills it.
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
            catch_up_permits: Semaphore::new(MAX_CONCURRENT_CATCH_UPS),
            interests: Interests::default(),
        })
    }

    /// Reads baked frames until shutdown.
    pub async fn run(self: Arc<Self>, notices: Arc<dyn Notices>, shutdown: Shutdown) {
        // Subscribe before reading the head, so that no notice is missed in between.
        let mut stream = notices.subscribe(Topic::Baked).await;
        self.open(&shutdown).await;
        let mut poll = tokio::time::interval(self.settings.poll_interval);
        poll.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !shutdown.is_cancelled() {
            let is_complete = tokio::select! {
                biased;
                () = shutdown.cancelled() => return,
                _ = poll.tick() => false,
                notice = stream.next() => self.on_notice(notice),
            };
            if !is_complete && let Err(error) = self.fetch().await {
                tracing::warn!(stage = "feed", "waiting: {error}");
            }
        }
    }

    async fn open(&self, shutdown: &Shutdown) {
        let mut backoff = Backoff::default();
        let mut reminder = Reminder::after(FIRST_WARNING_DELAY);
        while !shutdown.is_cancelled() {
            match self.read_head().await {
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

    /// Reads the head of the feed. Before the first frame is baked, it is position 0 and the
    /// epoch of the log.
    async fn read_head(&self) -> Result<Head, StoreError> {
        match self.reader.head().await {
            Err(StoreError::NotYet(_)) => Ok(Head {
                epoch: self.log.epoch().await?,
                position: 0,
            }),
            head => head,
        }
    }

    /// Adds the frames of a notice. Returns `false` if frames are missing and must be fetched.
    fn on_notice(&self, notice: Option<Notice>) -> bool {
        match notice {
            Some(Notice::Baked { from, frames }) => {
                let is_behind = self.head_position() < from;
                !is_behind && self.extend(frames)
            }
            Some(_) => true,
            None => false,
        }
    }

    /// Reads all frames after the head from the store.
    async fn fetch(&self) -> Result<(), StoreError> {
        loop {
            let frames = self.read_page(self.head_position()).await?;
            let is_last = frames.len() < PAGE_SIZE;
            self.extend(frames);
            if is_last {
                return Ok(());
            }
        }
    }

    /// Adds frames to the ring and wakes the waiting readers. Returns `false` at a gap.
    fn extend(&self, frames: Vec<Frame>) -> bool {
        let Some(opened) = self.opened.get() else {
            return true;
        };
        let matching = self.interests.matching(&frames);
        let mut ring = opened.ring.write().unwrap_or_else(PoisonError::into_inner);
        let is_complete = ring.extend(frames);
        let head = ring.head();
        drop(ring);
        self.head
            .send_if_modified(|seen| std::mem::replace(seen, head) != head);
        for interest in matching {
            interest.send_replace(());
        }
        is_complete
    }

    /// Returns the last position that subscribers of this process can have received.
    #[must_use]
    pub fn head_position(&self) -> Position {
        *self.head.borrow()
    }

    /// Waits until subscribers of this process can have received a position.
    pub async fn reached(&self, position: Position) {
        let mut head = self.head.subscribe();
        // The sender lives as long as this feed.
        let _ = head.wait_for(|head| *head >= position).await;
    }

    /// Registers an interest in one entity: only frames of this entity wake the waiting task.
    #[must_use]
    pub fn interest_in(&self, entity_id: &str) -> Interest {
        self.interests.register(entity_id)
    }

    /// Returns the epoch of the log; `None` until the presentation was first read.
    #[must_use]
    pub fn epoch(&self) -> Option<&str> {
        self.opened.get().map(|opened| opened.epoch.as_str())
    }

    /// Frames after a position from the ring; `None` if the ring does not reach back that far.
    pub(super) fn recent(&self, after: Position, limit: usize) -> Option<Vec<Arc<SharedFrame>>> {
        let ring = &self.opened.get()?.ring;
        let ring = ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.after(after, limit)
    }

    async fn read_page(&self, after: Position) -> Result<Vec<Frame>, StoreError> {
        contiguous(after, self.reader.frames(after, PAGE_SIZE).await?)
    }

    /// Reads at most `page` frames from the store and sets `page` to the number to read next.
    pub(super) async fn stored(
        &self,
        after: Position,
        page: &mut usize,
    ) -> Result<Vec<Frame>, StoreError> {
        // The semaphore is never closed.
        let _permit = self.catch_up_permits.acquire().await;
        let frames = self.reader.frames(after, *page).await?;
        let mut frames = contiguous(after, frames)?;
        let mut fits = fits_run();
        let count = frames.iter().take_while(|frame| fits(frame)).count();
        // Large frames: read as many as fit. Small frames: double the page.
        *page = match count < frames.len() {
            true => count,
            false => (*page * 2).min(MAX_CATCH_UP_PAGE),
        };
        frames.truncate(count);
        Ok(frames)
    }
}
