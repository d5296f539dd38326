//! Sweep of the blob store: deletes bytes that no order refers to, now or later, and sums up the
//! bytes that remain. Such bytes are left behind when a process is killed during an upload,
//! between an upload and its operation, before it learns that the operation was rejected, or
//! between detaching a file and deleting its bytes.
//!
//! A document that lists a file is a reason to keep the bytes. A missing document is no reason to
//! delete them: documents may be missing during a rebuild. Only the log decides on deletion: the
//! operation was rejected, or the file was detached.
//!
//! The log also says nothing about an operation that is still in the queue, however long that
//! takes. Bytes without any entry in the log are therefore deleted only once the log contains an
//! operation that was accepted later than the bytes were stored, by at least the grace period:
//! the queue is ordered, so every operation accepted earlier is in the log by then. If the queue
//! does not move, or nothing is ordered, the bytes remain. The grace period must exceed both the
//! difference between clocks and the time from an operation's acceptance into the queue.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::{BlobEntry, PresentationReader, StoreError, StoredDocument};
use bakehouse_engine::{LogEntry, Position, Shutdown, Timestamp};
use bakehouse_orders::File;
use futures_util::TryStreamExt;

use super::blob_names::{UPLOADS_FOLDER, parse_blob_name};
use super::document::files;
use super::pending::{Pending, Upload};
use super::uploads::{Account, Usage};
use super::verdict::{FileKey, Verdict};

/// Time without a write after which an unfinished upload counts as abandoned.
const UPLOAD_IDLE_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// Maximum lag of a file's modification time behind the clock on file systems with coarse times.
const FILE_TIME_RESOLUTION: Duration = Duration::from_millis(10);

/// Settings of the sweep.
#[derive(Clone, Debug)]
pub struct SweepSettings {
    /// Interval between two sweeps; the first one runs at the start.
    pub interval: Duration,
    /// Age from which bytes without any entry in the log may be deleted.
    pub grace: Duration,
    /// True if no other process uploads to the same store; unfinished uploads from before the
    /// start of this process are then abandoned.
    pub is_only_process: bool,
}

/// Sweeps at each interval until shutdown. Several processes may sweep at the same time.
pub(crate) async fn run(
    pending: Arc<Pending>,
    presentation: Arc<dyn PresentationReader>,
    settings: SweepSettings,
    shutdown: Shutdown,
) {
    let sweep = Sweep {
        pending,
        presentation,
        started_at: before(Timestamp::now(), FILE_TIME_RESOLUTION),
        settings,
    };
    while !shutdown.is_cancelled() {
        match sweep.once().await {
            Ok(0) => {}
            Ok(count) => tracing::info!("deleted {count} files that no order refers to"),
            Err(error) => tracing::warn!(
                "sweep of attachments failed; retrying at the next interval: {error}"
            ),
        }
        tokio::select! {
            () = tokio::time::sleep(sweep.settings.interval) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

struct Sweep {
    pending: Arc<Pending>,
    presentation: Arc<dyn PresentationReader>,
    started_at: Timestamp,
    settings: SweepSettings,
}

/// Order whose blobs are being listed: a store lists all blobs of a folder in a row.
struct CurrentOrder {
    id: String,
    account: Account,
    /// Files that its document lists.
    files: Vec<File>,
    /// History of the order; loaded only for files that the document does not list.
    entries: Option<Vec<LogEntry>>,
}

impl Sweep {
    /// Sweeps once and returns the number of deleted blobs.
    ///
    /// # Errors
    /// Returns the error of the first store that fails.
    async fn once(&self) -> Result<usize, StoreError> {
        let now = Timestamp::now();
        let idle_timeout = self.settings.grace.min(UPLOAD_IDLE_TIMEOUT);
        let idle_since = before(now, idle_timeout);
        let abandoned_before = match self.settings.is_only_process {
            true => idle_since.max(self.started_at),
            false => idle_since,
        };
        let blobs = &self.pending.blobs;
        let mut removed = blobs.remove_unfinished(abandoned_before).await?;
        self.pending.uploads.begin_sweep();
        // Read before any file's history, so that operations before the horizon are in it.
        let horizon = self.horizon(now).await?;
        let mut usage = Usage::default();
        let mut order: Option<CurrentOrder> = None;
        let mut entries = blobs.list();
        while let Some(entry) = entries.try_next().await? {
            let account = match entry.name.split('/').next() {
                Some(UPLOADS_FOLDER) if entry.since < abandoned_before => None,
                Some(UPLOADS_FOLDER) => continue,
                _ => match parse_blob_name(&entry.name) {
                    // Blobs of other kinds are left alone.
                    None => continue,
                    Some((order_id, key)) => {
                        let order = self.order(&mut order, order_id).await?;
                        self.account_to_keep(&entry, key, order, horizon).await?
                    }
                },
            };
            match account {
                Some(account) => usage.add(&account, entry.size),
                None => {
                    blobs.remove(&entry.name).await?;
                    metrics::counter!("bakehouse_attachments_removed_total").increment(1);
                    removed += 1;
                }
            }
        }
        self.pending.uploads.finish_sweep(usage);
        Ok(removed)
    }

    /// Returns the time before which every accepted operation is in the log, minus the grace
    /// period.
    async fn horizon(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let log = &self.pending.log;
        let head = log.head().await?;
        let last = match head {
            0 => None,
            head => log.read(head - 1, 1).await?.pop(),
        };
        Ok(horizon(now, last.as_ref(), self.settings.grace))
    }

    /// Returns the order with the given id, which is loaded if it is not the current one.
    async fn order<'a>(
        &self,
        current: &'a mut Option<CurrentOrder>,
        id: &str,
    ) -> Result<&'a mut CurrentOrder, StoreError> {
        let is_current = current.as_ref().is_some_and(|order| order.id == id);
        let order = match current.take() {
            Some(order) if is_current => order,
            _ => {
                let document = self.presentation.document(id).await?;
                CurrentOrder {
                    id: id.to_owned(),
                    account: account_of(document.as_ref()),
                    files: document.as_ref().map(files).unwrap_or_default(),
                    entries: None,
                }
            }
        };
        Ok(current.insert(order))
    }

    /// Returns the account whose quota a blob counts against; `None` if the blob is to be deleted.
    async fn account_to_keep(
        &self,
        blob: &BlobEntry,
        key: FileKey<'_>,
        order: &mut CurrentOrder,
        horizon: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        let account = order.account.clone();
        let mut files = order.files.iter();
        let is_same = |file: &File| file.id == key.attachment_id && file.sha256 == key.sha256;
        if files.any(is_same) {
            return Ok(Some(account));
        }
        let entries = match &mut order.entries {
            Some(entries) => entries,
            none => {
                let history = self.pending.log.history(&order.id, 0, Position::MAX);
                none.insert(history.await?)
            }
        };
        let verdict = key.verdict_of_history(entries);
        // An order exists before its files: without any entry it belongs to another log.
        let is_in_this_log = !entries.is_empty();
        Ok(match verdict {
            Verdict::Keep => Some(account),
            Verdict::Remove => None,
            Verdict::Unknown if !is_in_this_log => Some(account),
            Verdict::Unknown if blob.since < horizon => None,
            Verdict::Unknown | Verdict::Undecided => {
                self.add_pending(blob, key, order, account.clone());
                Some(account)
            }
        })
    }

    /// Registers the upload as pending: its operation may be rejected at any time, and may have
    /// been accepted by an earlier process.
    fn add_pending(
        &self,
        blob: &BlobEntry,
        key: FileKey<'_>,
        order: &CurrentOrder,
        account: Account,
    ) {
        let entries = order.entries.as_deref().unwrap_or_default();
        let is_undecided = |entry: &&LogEntry| {
            let history = std::slice::from_ref(*entry);
            key.verdict_of_history(history) == Verdict::Undecided
        };
        let entry = entries.iter().find(is_undecided);
        let upload = Upload {
            attachment_id: key.attachment_id.to_owned(),
            sha256: key.sha256.to_owned(),
            counted: blob.size,
            account,
            operation_id: entry.map(|entry| entry.operation.operation_id),
        };
        self.pending.add(&order.id, upload);
    }
}

/// Returns the account whose quota an order's files count against.
fn account_of(document: Option<&StoredDocument>) -> Account {
    let owner = document.and_then(|document| document.owner.clone());
    owner.map_or(Account::Unknown, Account::Owner)
}

/// Returns `time` minus `by`, but not before the epoch.
fn before(time: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    let millis = time.millis().saturating_sub(by).max(0);
    Timestamp::from_millis(millis).unwrap_or(time)
}

/// Returns the time such that no operation is still in the queue for a file stored before it.
fn horizon(now: Timestamp, last: Option<&LogEntry>, grace: Duration) -> Timestamp {
    let accepted = last.map_or(0, |entry| entry.operation.accepted_at.millis());
    let accepted = Timestamp::from_millis(accepted).unwrap_or(now);
    before(accepted.min(now), grace)
}

#[cfg(test)]
mod tests {
    use bakehouse_engine::model::ids;
    use bakehouse_engine::{Operation, Terms, Verb, to_json};

    use super::*;

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000).expect("in range")
    }

    fn accepted_at(at: Timestamp) -> LogEntry {
        let operation = Operation {
            operation_id: ids::fresh(),
            service_name: "order".into(),
            operation: Verb::Insert,
            entity_id: "o".into(),
            payload: to_json(&()).expect("JSON"),
            schema_version: 1,
            correlation_id: ids::fresh(),
            terms: Terms::default(),
            causation_id: None,
            conflicts_with: None,
            fingerprint: String::new(),
            accepted_at: at,
        };
        LogEntry::stored(1, at, operation)
    }

    /// The horizon depends on the last operation in the log, not on the wall clock.
    #[test]
    fn files_of_queued_operations_are_kept() {
        let grace = Duration::from_secs(60);
        let week = 7 * 24 * 60 * 60;
        let last = accepted_at(time(100));
        assert_eq!(horizon(time(week), Some(&last), grace), time(40));
        assert_eq!(horizon(time(110), Some(&last), grace), time(40));
        // An acceptance time in the future does not move the horizon past the local clock.
        let ahead = accepted_at(time(week));
        assert_eq!(horizon(time(100), Some(&ahead), grace), time(40));
        assert!(horizon(time(week), None, grace) < time(-week * 1_000));
    }

    #[test]
    fn blob_names_are_parsed() {
        let name = bakehouse_orders::blob_name("o-1", "a-2", "00ff");
        let (order_id, key) = parse_blob_name(&name).expect("name of an attachment");
        assert_eq!(
            (order_id, key.attachment_id, key.sha256),
            ("o-1", "a-2", "00ff")
        );
        for other in [
            "uploads/x",
            "orders/o",
            "orders/o/plain",
            "orders/o/a-0/more",
            "ordersx/o/a-0",
        ] {
            assert!(parse_blob_name(other).is_none(), "{other}");
        }
    }
}
