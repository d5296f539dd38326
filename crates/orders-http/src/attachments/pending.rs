//! Uploads whose operation is accepted and not executed yet. When the feed reports that the
//! operation was rejected, the bytes are deleted. Rejections that this process misses because it
//! stops before are found in the log by the sweep at its next start.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bakehouse_engine::feed::{Feed, FeedItem};
use bakehouse_engine::ports::{Blobs, EventLog, StoreError};
use bakehouse_engine::stages::step::read_command;
use bakehouse_engine::{Frame, Shutdown};
use bakehouse_orders::{Command, Orders, blob_name};
use uuid::Uuid;

use super::uploads::{Account, Uploads};
use super::verdict::{FileKey, Verdict, sent_operation_id};

/// Interval between attempts to subscribe to the feed.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Upload whose operation is not executed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Upload {
    pub(super) attachment_id: String,
    pub(super) sha256: String,
    /// Bytes counted against the account's quota.
    pub(super) counted: u64,
    pub(super) account: Account,
    /// Id of the operation that attaches the file, if known.
    pub(super) operation_id: Option<Uuid>,
}

impl Upload {
    fn key(&self) -> FileKey<'_> {
        FileKey {
            attachment_id: &self.attachment_id,
            sha256: &self.sha256,
        }
    }
}

/// All pending uploads, and the stores needed to delete the bytes of rejected ones.
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

    /// Registers an upload whose operation may be executed from now on.
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

    /// Deletes or keeps an upload's bytes according to the log; does nothing while the log has no
    /// verdict.
    pub(super) async fn apply_verdict(&self, order_id: &str, upload: &Upload) {
        let Some(operation_id) = upload.operation_id else {
            return;
        };
        let key = upload.key();
        let verdict = key.verdict_of_operation(self.log.as_ref(), operation_id);
        let applied = match verdict.await {
            Ok(Verdict::Keep) => Ok(()),
            Ok(Verdict::Remove) => self.remove(order_id, upload).await,
            Ok(Verdict::Undecided | Verdict::Unknown) => return,
            Err(error) => Err(error),
        };
        match applied {
            Ok(()) => self.forget(order_id, upload),
            // The next sweep deletes them.
            Err(error) => {
                tracing::warn!(order_id, "bytes of a rejected file not deleted: {error}");
            }
        }
    }

    async fn remove(&self, order_id: &str, upload: &Upload) -> Result<(), StoreError> {
        let name = blob_name(order_id, &upload.attachment_id, &upload.sha256);
        self.blobs.remove(&name).await?;
        self.uploads.removed(name, &upload.account, upload.counted);
        metrics::counter!("bakehouse_attachments_removed_total").increment(1);
        tracing::debug!(order_id, "deleted the bytes of a rejected file");
        Ok(())
    }

    /// Follows the feed until shutdown.
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

    /// Follows the feed until the subscription ends.
    async fn follow(&self, feed: &Arc<Feed>) {
        let Ok(mut subscription) = feed.subscribe(None, None) else {
            return;
        };
        // Operations executed before this subscription, or between two subscriptions.
        let pending = self.by_order().clone();
        for (order_id, uploads) in &pending {
            for upload in uploads {
                self.apply_verdict(order_id, upload).await;
            }
        }
        while let Ok(item) = subscription.next().await {
            let FeedItem::Frames(frames) = item else {
                continue;
            };
            for frame in frames {
                if let Err(error) = self.on_frame(&frame).await {
                    tracing::warn!("bytes of a rejected file may remain: {error}");
                }
            }
        }
    }

    async fn on_frame(&self, frame: &Frame) -> Result<(), StoreError> {
        let order_id = &frame.entity_id;
        let uploads = self.of_order(order_id);
        if uploads.is_empty() {
            return Ok(());
        }
        let position = frame.position;
        let entries = self.log.history(order_id, position - 1, position).await?;
        let Some(entry) = entries.last() else {
            return Ok(());
        };
        // A resolution concerns a parked operation, which is found by its operation id.
        let is_resolution = entry.operation.operation.is_resolution();
        let attached = match read_command::<Orders>(&entry.operation) {
            Ok(Command::Attach(file)) if !is_resolution => Some(file.id),
            _ => None,
        };
        for mut upload in uploads {
            if attached.as_deref() == Some(upload.attachment_id.as_str()) {
                let known = upload.clone();
                upload.operation_id = upload.operation_id.or(Some(sent_operation_id(entry)));
                if upload != known {
                    self.add(order_id, upload.clone());
                }
            } else if !is_resolution {
                continue;
            }
            self.apply_verdict(order_id, &upload).await;
        }
        Ok(())
    }
}
