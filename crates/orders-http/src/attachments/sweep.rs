//! The sweep: removes bytes that no order refers to, nor ever will, and sums up those that stay.
//! They are left behind when a process is killed during an upload, between an upload and its
//! operation, before it has heard that the operation was refused, or between taking a file off
//! and removing it.
//!
//! A document that lists a file only ever speaks for its bytes. Against them speaks the log
//! alone: while documents are made anew there may be none, and their files must not go. What the
//! log says goes at once: the operation was refused, or the file taken off.
//!
//! The log is silent as well while an operation waits in the queue, however long that is. So
//! bytes of which it says nothing are removed only once the log has an operation that was
//! accepted later than they were stored, by the grace: the queue keeps its order, and what was
//! accepted before that one has come before it. In a queue that does not move, and in a shop in
//! which nothing is ordered, they stay. The grace must be longer than clocks differ and than an
//! operation takes from its acceptance into the queue.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::{BlobEntry, PresentationReader, StoreError, StoredDocument};
use bakehouse_engine::{LogEntry, Position, Shutdown, Timestamp};
use bakehouse_orders::File;
use futures_util::TryStreamExt;

use super::pending::{Pending, Upload};
use super::read::files;
use super::uploads::{Account, Usage};
use super::verdict::{Bytes, Verdict};
use super::{UPLOADS, parts_of};

/// Time after which an upload that has not been touched is not under way any more.
const MAX_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How far the time of a file may be behind the clock: some file systems look at it now and then.
const CLOCK_TICK: Duration = Duration::from_millis(10);

/// How it sweeps.
#[derive(Clone, Debug)]
pub struct SweepSettings {
    /// Interval between two sweeps; the first is at the start.
    pub interval: Duration,
    /// How long bytes have been there that may be removed though the log says nothing of them.
    pub grace: Duration,
    /// True if no other process uploads to the same store: what was under way before this
    /// one began has ended with another.
    pub is_alone: bool,
}

/// Runs until shutdown. Several processes may sweep at the same time.
pub(crate) async fn run(
    pending: Arc<Pending>,
    presentation: Arc<dyn PresentationReader>,
    settings: SweepSettings,
    shutdown: Shutdown,
) {
    let sweep = Sweep {
        pending,
        presentation,
        began: before(Timestamp::now(), CLOCK_TICK),
        settings,
    };
    while !shutdown.is_cancelled() {
        match sweep.once().await {
            Ok(0) => {}
            Ok(count) => tracing::info!("removed {count} files that no order refers to"),
            Err(error) => tracing::warn!("left-over files stay until the next sweep: {error}"),
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
    began: Timestamp,
    settings: SweepSettings,
}

/// The order that the entries at hand are of: a store lists what is in one folder in a row.
struct Order {
    id: String,
    account: Account,
    /// Files that its document lists.
    files: Vec<File>,
    /// Asked for where the document does not speak for a file.
    events: Option<Vec<LogEntry>>,
}

impl Sweep {
    /// Says how many it has removed.
    async fn once(&self) -> Result<usize, StoreError> {
        let now = Timestamp::now();
        let pause = self.settings.grace.min(MAX_PAUSE);
        let idle = before(now, pause);
        let unfinished = match self.settings.is_alone {
            true => idle.max(self.began),
            false => idle,
        };
        let blobs = &self.pending.blobs;
        let mut removed = blobs.remove_unfinished(unfinished).await?;
        self.pending.uploads.sweep_begins();
        // Before the log is asked about any file, so that what this tells has come there by then.
        let horizon = self.horizon(now).await?;
        let mut usage = Usage::default();
        let mut order: Option<Order> = None;
        let mut entries = blobs.list();
        while let Some(entry) = entries.try_next().await? {
            let account = match entry.name.split('/').next() {
                Some(UPLOADS) if entry.since < unfinished => None,
                Some(UPLOADS) => continue,
                _ => match parts_of(&entry.name) {
                    // What is not ours is not touched.
                    None => continue,
                    Some((order_id, bytes)) => {
                        let order = self.order(&mut order, order_id).await?;
                        self.judge(&entry, bytes, order, horizon).await?
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
        self.pending.uploads.sweep_ended(usage);
        Ok(removed)
    }

    /// The time before which every operation that was accepted, and is in no other queue by now,
    /// is in the log, less the grace.
    async fn horizon(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        let log = &self.pending.log;
        let head = log.head().await?;
        let last = match head {
            0 => None,
            head => log.read(head - 1, 1).await?.pop(),
        };
        Ok(horizon(now, last.as_ref(), self.settings.grace))
    }

    async fn order<'a>(
        &self,
        at_hand: &'a mut Option<Order>,
        id: &str,
    ) -> Result<&'a mut Order, StoreError> {
        let is_at_hand = at_hand.as_ref().is_some_and(|order| order.id == id);
        let order = match at_hand.take() {
            Some(order) if is_at_hand => order,
            _ => {
                let document = self.presentation.document(id).await?;
                Order {
                    id: id.to_owned(),
                    account: account_of(document.as_ref()),
                    files: document.as_ref().map(files).unwrap_or_default(),
                    events: None,
                }
            }
        };
        Ok(at_hand.insert(order))
    }

    /// Whose quota a file counts for; `None`: it goes.
    async fn judge(
        &self,
        entry: &BlobEntry,
        bytes: Bytes<'_>,
        order: &mut Order,
        horizon: Timestamp,
    ) -> Result<Option<Account>, StoreError> {
        let account = order.account.clone();
        let mut files = order.files.iter();
        let is_it = |file: &File| file.id == bytes.attachment_id && file.sha256 == bytes.sha256;
        if files.any(is_it) {
            return Ok(Some(account));
        }
        let events = match &mut order.events {
            Some(events) => events,
            none => {
                let history = self.pending.log.history(&order.id, 0, Position::MAX);
                none.insert(history.await?)
            }
        };
        let verdict = bytes.of_history(events);
        // An order is there before its files: without any event it is another log's.
        let is_ours = !events.is_empty();
        Ok(match verdict {
            Verdict::Keep => Some(account),
            Verdict::Remove => None,
            Verdict::Unknown if !is_ours => Some(account),
            Verdict::Unknown if entry.since < horizon => None,
            Verdict::Unknown | Verdict::Undecided => {
                self.note(entry, bytes, order, account.clone());
                Some(account)
            }
        })
    }

    /// It may be refused any time: perhaps an earlier process has accepted it.
    fn note(&self, entry: &BlobEntry, bytes: Bytes<'_>, order: &Order, account: Account) {
        let events = order.events.as_deref().unwrap_or_default();
        let is_it = |event: &&LogEntry| {
            let found = std::slice::from_ref(*event);
            bytes.of_history(found) == Verdict::Undecided
        };
        let event = events.iter().find(is_it);
        let upload = Upload {
            attachment_id: bytes.attachment_id.to_owned(),
            sha256: bytes.sha256.to_owned(),
            counted: entry.size,
            account,
            operation_id: event.map(|event| event.operation.operation_id),
        };
        self.pending.add(&order.id, upload);
    }
}

/// Whose quota an order's files count for.
fn account_of(document: Option<&StoredDocument>) -> Account {
    let owner = document.and_then(|document| document.owner.clone());
    owner.map_or(Account::Nobody, Account::Owner)
}

fn before(time: Timestamp, by: Duration) -> Timestamp {
    let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
    let millis = time.millis().saturating_sub(by).max(0);
    Timestamp::from_millis(millis).unwrap_or(time)
}

/// Time before which unknown files that were stored are not waiting in the queue.
fn horizon(now: Timestamp, last: Option<&LogEntry>, grace: Duration) -> Timestamp {
    let accepted = last.map_or(0, |event| event.operation.accepted_at.millis());
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

    /// However late it is: time passes in the log, not on the wall.
    #[test]
    fn a_queue_that_does_not_move_keeps_what_waits_in_it() {
        let grace = Duration::from_secs(60);
        let week = 7 * 24 * 60 * 60;
        let last = accepted_at(time(100));
        assert_eq!(horizon(time(week), Some(&last), grace), time(40));
        assert_eq!(horizon(time(110), Some(&last), grace), time(40));
        // A clock that is ahead of ours proves nothing.
        let ahead = accepted_at(time(week));
        assert_eq!(horizon(time(100), Some(&ahead), grace), time(40));
        assert!(horizon(time(week), None, grace) < time(-week * 1_000));
    }

    #[test]
    fn names_lead_back_to_order_and_attachment() {
        let name = super::super::blob_name("o-1", "a-2", "00ff");
        let (order_id, bytes) = parts_of(&name).expect("a file's");
        assert_eq!(
            (order_id, bytes.attachment_id, bytes.sha256),
            ("o-1", "a-2", "00ff")
        );
        for other in [
            "uploads/x",
            "orders/o",
            "orders/o/plain",
            "orders/o/a-0/more",
            "ordersx/o/a-0",
        ] {
            assert!(parts_of(other).is_none(), "{other}");
        }
    }
}
