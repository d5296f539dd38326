//! The log: the `events` collection of the source database.
//!
//! Positions need no counter: the writer reads the last position, or remembers it from its
//! previous batch, and inserts the next batch in order with the positions that follow. The unique
//! indexes refuse a position that another writer has taken, and an operation that is in the log
//! already; in both cases the rest of the batch is numbered again. The entries inserted until then
//! are contiguous.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bakehouse_engine::fault_injection::{failpoint, is_on};
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{
    Appended, EventLog, Selection, Senders, StoreError, SummaryQuery, contiguous,
};
use bakehouse_engine::{EntryStatus, LogEntry, Operation, Position, Timestamp, Verb};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{FindOptions, IndexOptions};
use mongodb::{Collection, IndexModel};
use uuid::Uuid;

use crate::connection::Connection;
use crate::convert::{Fields, integer};
use crate::error::{duplicate, store_error};
use crate::event_rows::{from_row, summary, to_row, without_payload};

pub(crate) const EVENTS: &str = "events";
const META: &str = "meta";
/// Attempts to number and insert a batch before the append fails. An attempt loses only to a
/// successful writer, or because it found operations that are in the log already.
const MAX_ATTEMPTS: usize = 64;

pub(crate) struct MongoLog {
    connection: Connection,
    /// End of the log after this writer's last batch, which is on the majority. Saves a read before
    /// the next batch; the unique index refuses the batch if another writer has appended meanwhile.
    end: Mutex<Option<LogEnd>>,
}

/// Last position of the log, and its creation time.
#[derive(Clone, Copy, Default)]
struct LogEnd {
    position: Position,
    time: Option<Timestamp>,
    /// Time at which it was remembered; `None` if it was just read.
    remembered_at: Option<Instant>,
}

/// Time for which the end of the log is remembered: long enough for consecutive batches under load,
/// too short for an operator to restore an earlier log in between.
const END_CACHE_TTL: Duration = Duration::from_secs(1);

#[async_trait]
impl EventLog for MongoLog {
    async fn append_at(
        &self,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        let mut answers = vec![None; operations.len()];
        for _ in 0..MAX_ATTEMPTS {
            let pending: Vec<usize> = (0..answers.len())
                .filter(|i| answers[*i].is_none())
                .collect();
            if pending.is_empty() {
                return Ok(answers.into_iter().flatten().collect());
            }
            self.try_append(operations, &pending, now, &mut answers)
                .await?;
        }
        Err(StoreError::unavailable(
            "append: lost every race against other writers",
        ))
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let filter = doc! { "_id": { "$gt": integer(after) } };
        contiguous(after, self.find_some(filter, limit).await?)
    }

    async fn history(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let span = doc! { "$gt": integer(after), "$lte": integer(up_to) };
        let filter = doc! { "entity_id": entity_id, "_id": span };
        self.find_all(filter, 0).await
    }

    async fn find(&self, operation_id: Uuid) -> Result<Option<LogEntry>, StoreError> {
        let filter = doc! { "operation_id": operation_id.to_string() };
        Ok(self.find_all(filter, 1).await?.pop())
    }

    async fn summaries(&self, query: &SummaryQuery<'_>) -> Result<Vec<LogEntry>, StoreError> {
        let mut entries = Vec::new();
        if query.limit == 0 {
            return Ok(entries);
        }
        for filter in summary_filters(query) {
            let options = in_order(query.limit, Some(without_payload()));
            let rows = self.connection.find(EVENTS, filter, options).await?;
            for row in &rows {
                entries.push(summary(row)?);
            }
        }
        entries.sort_unstable_by_key(|entry| entry.position);
        entries.truncate(query.limit);
        Ok(entries)
    }

    async fn executed(
        &self,
        entity_id: &str,
        after: Position,
        up_to: Position,
        limit: usize,
    ) -> Result<Vec<LogEntry>, StoreError> {
        let filter = doc! {
            "entity_id": entity_id,
            "_id": { "$gt": integer(after), "$lte": integer(up_to) },
            "status": EntryStatus::Executed.as_str(),
            "parked": { "$exists": false },
        };
        self.find_some(filter, limit).await
    }

    async fn ever_parked(&self, entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError> {
        // The server uses the partial index only if the query repeats its filter.
        let filter = doc! { "entity_id": { "$in": entity_ids }, "parked": { "$exists": true } };
        self.find_all(filter, 0).await
    }

    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let parked = EntryStatus::Parked.as_str();
        // Served by the partial index on `parked`, not on the status: see `create_indexes`.
        let filter = doc! {
            "parked": { "$exists": true }, "status": parked, "_id": { "$gt": integer(after) },
        };
        self.find_some(filter, limit).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        let last = self.last(doc! { "_id": 1 }).await?;
        last.map_or(Ok(0), |row| Fields(&row).position("_id"))
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        // Read first: a read-only user may do that.
        let found = match self.connection.find_by_id(META, "log").await? {
            Some(found) => found,
            None => {
                let new = doc! { "epoch": ids::fresh().to_string() };
                self.connection.find_or_create(META, "log", new).await?
            }
        };
        Ok(Fields(&found).text("epoch")?.to_owned())
    }
}

impl MongoLog {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            end: Mutex::new(None),
        }
    }

    fn remembered_end(&self) -> MutexGuard<'_, Option<LogEnd>> {
        // A panic cannot leave the value half written.
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> Collection<Document> {
        self.connection.collection(EVENTS)
    }

    /// Creates the indexes. The position is `_id`, which every collection indexes.
    pub(crate) async fn create_indexes(&self) -> Result<(), StoreError> {
        let unique = IndexOptions::builder().unique(true).build();
        let by_operation = IndexModel::builder()
            .keys(doc! { "operation_id": 1 })
            .options(unique);
        let by_entity = IndexModel::builder().keys(doc! { "entity_id": 1, "_id": 1 });
        let parked_by_entity = IndexModel::builder()
            .keys(doc! { "entity_id": 1, "_id": 1, "parked": 1 })
            .options(partial(doc! { "parked": { "$exists": true } }));
        // Not on the status: every verdict would update such an index, and could not be written in
        // place.
        let parked = IndexModel::builder()
            .keys(doc! { "_id": 1, "parked": 1 })
            .options(partial(doc! { "parked": { "$exists": true } }));
        let by_correlation = IndexModel::builder()
            .keys(doc! { "correlation_id": 1, "_id": 1 })
            .options(partial(doc! { "is_correlated": true }));
        // With the owner, so that entries of other owners are not read and then filtered out.
        let by_correlation_and_owner = IndexModel::builder()
            .keys(doc! { "correlation_id": 1, "owner": 1, "_id": 1 })
            .options(partial(doc! { "is_correlated": true }));
        let indexes = [
            by_correlation.build(),
            by_correlation_and_owner.build(),
            by_operation.build(),
            by_entity.build(),
            parked_by_entity.build(),
            parked.build(),
        ];
        let events = self.events();
        let create = events.create_indexes(indexes);
        self.connection.bounded(create).await.map(|_| ())
    }

    /// Inserts as many pending operations as possible, and sets their answers.
    async fn try_append(
        &self,
        operations: &[Operation],
        pending: &[usize],
        now: Timestamp,
        answers: &mut [Option<Appended>],
    ) -> Result<(), StoreError> {
        // Taken: after any error the next attempt reads the end from the server.
        let is_fresh = |end: &LogEnd| {
            let remembered_at = end.remembered_at;
            remembered_at.is_some_and(|at| at.elapsed() < END_CACHE_TTL)
        };
        let remembered = self.remembered_end().take().filter(is_fresh);
        let end = match remembered {
            Some(end) => end,
            None => self.read_end().await?,
        };
        let mut head = end.position;
        if is_on("clock-positions") {
            head = head.max(now.millis().unsigned_abs());
        }
        let now = end.time.map_or(now, |time| time.max(now));
        let rows: Vec<Document> = (head + 1..)
            .zip(pending)
            .map(|(position, index)| to_row(position, now, &operations[*index]))
            .collect::<Result<_, _>>()?;
        let inserted = self.insert(rows).await?;
        failpoint("mongodb.appended");
        for (position, index) in (head + 1..).zip(&pending[..inserted]) {
            answers[*index] = Some(Appended::Stored(position));
        }
        let rest = &pending[inserted..];
        if rest.is_empty() {
            *self.remembered_end() = Some(LogEnd {
                position: head + inserted as u64,
                time: Some(now),
                remembered_at: Some(Instant::now()),
            });
            return Ok(());
        }
        self.answer_known(operations, rest, answers).await
    }

    /// Inserts the rows in order. Returns how many were inserted before the first duplicate key.
    async fn insert(&self, rows: Vec<Document>) -> Result<usize, StoreError> {
        let count = rows.len();
        let events = self.events();
        match self
            .connection
            .in_time(events.insert_many(rows).ordered(true))
            .await?
        {
            Ok(_) => Ok(count),
            Err(error) => {
                duplicate(&error).ok_or_else(|| store_error(self.connection.name, &error))
            }
        }
    }

    /// Sets the answers of the operations that the log has already.
    async fn answer_known(
        &self,
        operations: &[Operation],
        rest: &[usize],
        answers: &mut [Option<Appended>],
    ) -> Result<(), StoreError> {
        let known = self.fingerprints(operations, rest).await?;
        for index in rest {
            let operation = &operations[*index];
            if let Some(fingerprint) = known.get(&operation.operation_id.to_string()) {
                let is_same = Operation::is_same(fingerprint, &operation.fingerprint);
                let answer = if is_same {
                    Appended::Duplicate
                } else {
                    Appended::Conflict
                };
                answers[*index] = Some(answer);
            }
        }
        Ok(())
    }

    async fn fingerprints(
        &self,
        operations: &[Operation],
        rest: &[usize],
    ) -> Result<HashMap<String, String>, StoreError> {
        let ids = rest
            .iter()
            .map(|index| operations[*index].operation_id.to_string());
        let filter = doc! { "operation_id": { "$in": ids.collect::<Vec<_>>() } };
        let options = FindOptions::builder()
            .projection(doc! { "operation_id": 1, "fingerprint": 1 })
            .build();
        // A majority read: an entry that the majority lacks may be rolled back, and must not be
        // reported as a duplicate. The server reports the duplicate key once the majority has the
        // entry, so the read finds it; a new primary may not know that yet, and the next attempt
        // asks again.
        let found = self.connection.find(EVENTS, filter, options).await?;
        let mut known = HashMap::new();
        for row in found {
            let fields = Fields(&row);
            let id = fields.text("operation_id")?.to_owned();
            known.insert(id, fields.text("fingerprint")?.to_owned());
        }
        Ok(known)
    }

    /// Reads the last position that the majority has, with its creation time. Appending after an
    /// entry that only this primary has could leave a gap: the driver would repeat the insert at a
    /// new primary that lacks the entry. A position that is too low meets a duplicate key.
    async fn read_end(&self) -> Result<LogEnd, StoreError> {
        let Some(row) = self.last(doc! { "creation_time": 1 }).await? else {
            return Ok(LogEnd::default());
        };
        let fields = Fields(&row);
        Ok(LogEnd {
            position: fields.position("_id")?,
            time: Some(fields.time("creation_time")?),
            remembered_at: None,
        })
    }

    /// Fetches the last entry, projected to the given fields.
    async fn last(&self, projection: Document) -> Result<Option<Document>, StoreError> {
        let options = FindOptions::builder()
            .sort(doc! { "_id": -1 })
            .projection(projection)
            .limit(1)
            .build();
        Ok(self.connection.find(EVENTS, doc! {}, options).await?.pop())
    }

    /// Finds at most `limit` entries, ordered by position.
    async fn find_some(&self, filter: Document, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        match limit {
            0 => Ok(Vec::new()),
            limit => self.find_all(filter, limit).await,
        }
    }

    /// Finds entries, ordered by position; a limit of 0 means no limit.
    async fn find_all(&self, filter: Document, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let options = in_order(limit, None);
        let rows = self.connection.find(EVENTS, filter, options).await?;
        rows.iter().map(from_row).collect()
    }
}

/// Returns the options of a read ordered by position; a limit of 0 means no limit.
fn in_order(limit: usize, projection: Option<Document>) -> FindOptions {
    // One batch, instead of a first one of 101 documents and further ones.
    let batch = u32::try_from(limit).ok().filter(|limit| *limit > 0);
    FindOptions::builder()
        .sort(doc! { "_id": 1 })
        .limit(batch.map(i64::from))
        .batch_size(batch)
        .projection(projection)
        .build()
}

/// Returns filters whose combined results are the page; each is served in order by one index.
fn summary_filters(query: &SummaryQuery<'_>) -> Vec<Document> {
    let mut page = doc! { "_id": { "$gt": integer(query.after) } };
    match query.senders {
        Senders::Any => {}
        Senders::Owner(owner) => {
            page.insert("owner", owner);
        }
        Senders::OwnerOrNone(owner) => {
            page.insert("owner", doc! { "$in": [Bson::Null, owner] });
        }
    }
    let selections = match query.of {
        Selection::Log => vec![doc! {}],
        Selection::Operations(ids) => {
            let ids: Vec<String> = ids.iter().map(Uuid::to_string).collect();
            vec![doc! { "operation_id": { "$in": ids } }]
        }
        Selection::Entity(id) => vec![doc! { "entity_id": id }],
        Selection::Creation(id) => vec![doc! {
            "entity_id": id,
            "operation": Verb::Insert.as_str(),
            "status": { "$ne": EntryStatus::Rejected.as_str() },
        }],
        Selection::Parked(id) => {
            // The server uses the partial index only if the query repeats its filter.
            let status = EntryStatus::Parked.as_str();
            let mut parked = doc! { "parked": { "$exists": true }, "status": status };
            if let Some(id) = id {
                parked.insert("entity_id", id);
            }
            vec![parked]
        }
        Selection::Correlation(id) => {
            let id = id.to_string();
            vec![
                doc! { "operation_id": &id, "correlation_id": &id },
                doc! { "correlation_id": &id, "is_correlated": true },
            ]
        }
    };
    selections
        .into_iter()
        .map(|mut filter| {
            filter.extend(page.clone());
            filter
        })
        .collect()
}

/// Options of a partial index on the documents that match the filter.
fn partial(filter: Document) -> IndexOptions {
    IndexOptions::builder()
        .partial_filter_expression(filter)
        .build()
}
