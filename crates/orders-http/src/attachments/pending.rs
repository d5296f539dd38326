//! Uploads that are accepted and not decided yet. As soon as the feed tells of a refusal, the
//! bytes go. What this process does not hear of, because it ended before, the sweep at its next
//! start finds in the log.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bakehouse_engine::feed::{Feed, Step};
use bakehouse_engine::ports::{Blobs, EventLog, StoreError};
use bakehouse_engine::stages::step::read_command;
use bakehouse_engine::{Frame, Shutdown};
use bakehouse_orders::{Command, Orders};
use uuid::Uuid;

use super::blob_name;
use super::uploads::{Account, Uploads};
use super::verdict::{Bytes, Verdict, sent_as};

/// Interval between attempts to follow a feed that is not there.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// An upload whose operation is not decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) attachment_id: String,
    pub(super) sha256: String,
    /// Bytes that count for the account.
    pub(super) counted: u64,
    pub(super) account: Account,
    /// The operation's identity, where it is known.
    pub(super) operation_id: Option<Uuid>,
}

impl Upload {
    fn bytes(&self) -> Bytes<'_> {
        Bytes {
            attachment_id: &self.attachment_id,
            sha256: &self.sha256,
        }
    }
}

/// All of them, and what it takes to remove the bytes of those that are refused.
pub(crate) struct Pending {
    by_order: Mutex<HashMap<String, Vec<Upload>>>,
    pub(super) blobs: Arc<dyn Blobs>,
    pub(super) log: Arc<dyn EventLog>,
    pub(super) uploads: Arc<Uploads>,
}

impl Pending {
    pub(crate) fn new(
        blobs: Arc<dyn Blobs>,
        log: Arc<dyn EventLog>,
        uploads: Arc<Uploads>,
    ) -> Arc<Self> {
        Arc::new(Self {
            by_order: Mutex::default(),
            blobs,
            log,
            uploads,
        })
    }

    fn by_order(&self) -> MutexGuard<'_, HashMap<String, Vec<Upload>>> {
        self.by_order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an upload that may be decided from now on.
    pub(super) fn add(&self, order_id: &str, upload: Upload) {
        let mut by_order = self.by_order();
        let of_order = by_order.entry(order_id.to_owned()).or_default();
        let is_same = |known: &Upload| {
            known.attachment_id == upload.attachment_id && known.sha256 == upload.sha256
        };
        match of_order.iter_mut().find(|known| is_same(known)) {
            Some(known) => known.operation_id = known.operation_id.or(upload.operation_id),
            None => of_order.push(upload),
        }
    }

    fn forget(&self, order_id: &str, upload: &Upload) {
        let mut by_order = self.by_order();
        if let Some(of_order) = by_order.get_mut(order_id) {
            of_order.retain(|known| known != upload);
            if of_order.is_empty() {
                by_order.remove(order_id);
            }
        }
    }

    fn of_order(&self, order_id: &str) -> Vec<Upload> {
        self.by_order().get(order_id).cloned().unwrap_or_default()
    }

    /// Acts on what the log says of an upload, if it says anything.
    pub(super) async fn settle(&self, order_id: &str, upload: &Upload) {
        let Some(operation_id) = upload.operation_id else {
            return;
        };
        let bytes = upload.bytes();
        let verdict = bytes.of_operation(self.log.as_ref(), operation_id);
        let settled = match verdict.await {
            Ok(Verdict::Keep) => Ok(()),
            Ok(Verdict::Remove) => self.remove(order_id, upload).await,
            Ok(Verdict::Undecided | Verdict::Unknown) => return,
            Err(error) => Err(error),
        };
        match settled {
            Ok(()) => self.forget(order_id, upload),
            // The sweep will.
            Err(error) => tracing::warn!(order_id, "a refused file's bytes stay: {error}"),
        }
    }

    async fn remove(&self, order_id: &str, upload: &Upload) -> Result<(), StoreError> {
        let name = blob_name(order_id, &upload.attachment_id, &upload.sha256);
        self.blobs.remove(&name).await?;
        self.uploads.removed(name, &upload.account, upload.counted);
        metrics::counter!("bakehouse_attachments_removed_total").increment(1);
        tracing::debug!(order_id, "removed the bytes of a refused file");
        Ok(())
    }

    /// Follows the feed, until shutdown.
    pub(crate) async fn run(self: Arc<Self>, feed: Arc<Feed>, shutdown: Shutdown) {
        while !shutdown.is_cancelled() {
            tokio::select! {
                () = self.follow(&feed) => {}
                () = shutdown.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(RETRY_INTERVAL) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Returns where the feed cannot be followed further from where it was.
    async fn follow(&self, feed: &Arc<Feed>) {
        let Ok(mut subscription) = feed.subscribe(None, None) else {
            return;
        };
        // What was decided before the subscription began, or missed between two.
        let known = self.by_order().clone();
        for (order_id, uploads) in &known {
            for upload in uploads {
                self.settle(order_id, upload).await;
            }
        }
        while let Ok(step) = subscription.next().await {
            let Step::Frames(frames) = step else { continue };
            for frame in frames {
                if let Err(error) = self.hear(&frame).await {
                    tracing::warn!("a refused file's bytes may stay: {error}");
                }
            }
        }
    }

    async fn hear(&self, frame: &Frame) -> Result<(), StoreError> {
        let order_id = &frame.entity_id;
        let uploads = self.of_order(order_id);
        if uploads.is_empty() {
            return Ok(());
        }
        let position = frame.position;
        let events = self.log.history(order_id, position - 1, position).await?;
        let Some(event) = events.last() else {
            return Ok(());
        };
        // A remedy settles what had been parked, which is found by its identity.
        let is_resolution = event.operation.operation.is_resolution();
        let about = match read_command::<Orders>(&event.operation) {
            Ok(Command::Attach(file)) if !is_resolution => Some(file.id),
            _ => None,
        };
        for mut upload in uploads {
            if about.as_deref() == Some(upload.attachment_id.as_str()) {
                let known = upload.clone();
                upload.operation_id = upload.operation_id.or(Some(sent_as(event)));
                if upload != known {
                    self.add(order_id, upload.clone());
                }
            } else if !is_resolution {
                continue;
            }
            self.settle(order_id, &upload).await;
        }
        Ok(())
    }
}
