//! The log: the `events` collection of the source database.
//!
//! Positions without a counter: read the highest one, or remember it from the
//! batch before, and insert a batch, ordered, with the next ones. The unique index refuses a position that another writer
//! took meanwhile, and an operation that is there already; either way the rest
//! is numbered anew. What has been inserted by then is a run without gaps.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bakehouse_engine::fault_injection::{has_clock_positions, point};
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
/// Rounds of numbering anew before the batch is given back: each round loses
/// only to a writer that won, or removes repeats.
const ROUNDS: usize = 64;

pub(crate) struct MongoLog {
    connection: Connection,
    /// The end of the log as this writer's last batch left it, which the majority
    /// has: where to go on without asking. The index refuses us if another writer
    /// has gone on meanwhile.
    end: Mutex<Option<End>>,
}

/// The last position there is, and its time.
#[derive(Clone, Copy, Default)]
struct End {
    position: Position,
    time: Option<Timestamp>,
    /// Since when it is remembered; never, of one that has just been read.
    since: Option<Instant>,
}

/// How long an end is remembered: batch after batch under load, and not beyond a
/// pause in which an operator may have put back an earlier log.
const MEMORY: Duration = Duration::from_secs(1);

#[async_trait]
impl EventLog for MongoLog {
    async fn append_at(
        &self,
        operations: &[Operation],
        now: Timestamp,
    ) -> Result<Vec<Appended>, StoreError> {
        let mut answers = vec![None; operations.len()];
        for _ in 0..ROUNDS {
            let pending: Vec<usize> = (0..answers.len())
                .filter(|i| answers[*i].is_none())
                .collect();
            if pending.is_empty() {
                return Ok(answers.into_iter().flatten().collect());
            }
            self.round(operations, &pending, now, &mut answers).await?;
        }
        Err(StoreError::unavailable(
            "the log: other writers were always faster",
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
        let mut events = Vec::new();
        if query.limit == 0 {
            return Ok(events);
        }
        for filter in summary_filters(query) {
            let options = in_order(query.limit, Some(without_payload()));
            let rows = self.connection.find(EVENTS, filter, options).await?;
            for row in &rows {
                events.push(summary(row)?);
            }
        }
        events.sort_unstable_by_key(|event| event.position);
        events.truncate(query.limit);
        Ok(events)
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

    async fn held(&self, entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError> {
        // Of the same form as the index's own filter, or it is not used.
        let filter = doc! { "entity_id": { "$in": entity_ids }, "parked": { "$exists": true } };
        self.find_all(filter, 0).await
    }

    async fn parked(&self, after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let parked = EntryStatus::Parked.as_str();
        // By an index that no verdict touches: see `make_indexes`.
        let filter = doc! {
            "parked": { "$exists": true }, "status": parked, "_id": { "$gt": integer(after) },
        };
        self.find_some(filter, limit).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        let last = self.end(doc! { "_id": 1 }).await?;
        last.map_or(Ok(0), |row| Fields(&row).position("_id"))
    }

    async fn epoch(&self) -> Result<String, StoreError> {
        // Looked for first: whoever may only read can do that.
        let found = match self.connection.find_by_id(META, "log").await? {
            Some(found) => found,
            None => {
                let drawn = doc! { "epoch": ids::fresh().to_string() };
                self.connection.find_or_make(META, "log", drawn).await?
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

    fn known_end(&self) -> MutexGuard<'_, Option<End>> {
        // What it holds is whole at any time.
        self.end.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn events(&self) -> Collection<Document> {
        self.connection.collection(EVENTS)
    }

    /// Makes the indexes. The one on the position is there already: `_id`.
    pub(crate) async fn make_indexes(&self) -> Result<(), StoreError> {
        let unique = IndexOptions::builder().unique(true).build();
        let identity = IndexModel::builder()
            .keys(doc! { "operation_id": 1 })
            .options(unique);
        let entity = IndexModel::builder().keys(doc! { "entity_id": 1, "_id": 1 });
        let held = IndexModel::builder()
            .keys(doc! { "entity_id": 1, "_id": 1, "parked": 1 })
            .options(only(doc! { "parked": { "$exists": true } }));
        // Not on the status: each verdict would have to keep such an index, and
        // could not be written in place.
        let parked = IndexModel::builder()
            .keys(doc! { "_id": 1, "parked": 1 })
            .options(only(doc! { "parked": { "$exists": true } }));
        let correlated = IndexModel::builder()
            .keys(doc! { "correlation_id": 1, "_id": 1 })
            .options(only(doc! { "is_correlated": true }));
        // Of one owner's, so that the others' need not be read to be left out.
        let correlated_of_owner = IndexModel::builder()
            .keys(doc! { "correlation_id": 1, "owner": 1, "_id": 1 })
            .options(only(doc! { "is_correlated": true }));
        let indexes = [
            correlated.build(),
            correlated_of_owner.build(),
            identity.build(),
            entity.build(),
            held.build(),
            parked.build(),
        ];
        let events = self.events();
        let made = events.create_indexes(indexes);
        self.connection.bounded(made).await.map(|_| ())
    }

    /// Inserts what it can of the pending operations, and answers for those.
    async fn round(
        &self,
        operations: &[Operation],
        pending: &[usize],
        now: Timestamp,
        answers: &mut [Option<Appended>],
    ) -> Result<(), StoreError> {
        // Whatever goes wrong from here on, the next round asks.
        let is_fresh = |end: &End| end.since.is_some_and(|since| since.elapsed() < MEMORY);
        let known = self.known_end().take().filter(is_fresh);
        let end = match known {
            Some(end) => end,
            None => self.last().await?,
        };
        let mut head = end.position;
        if has_clock_positions() {
            head = head.max(now.millis().unsigned_abs());
        }
        let now = end.time.map_or(now, |time| time.max(now));
        let rows: Vec<Document> = (head + 1..)
            .zip(pending)
            .map(|(position, index)| to_row(position, now, &operations[*index]))
            .collect::<Result<_, _>>()?;
        let inserted = self.insert(rows).await?;
        point("mongodb.appended");
        for (position, index) in (head + 1..).zip(&pending[..inserted]) {
            answers[*index] = Some(Appended::Stored(position));
        }
        let rest = &pending[inserted..];
        if rest.is_empty() {
            *self.known_end() = Some(End {
                position: head + inserted as u64,
                time: Some(now),
                since: Some(Instant::now()),
            });
            return Ok(());
        }
        self.answer_known(operations, rest, answers).await
    }

    /// How many were inserted before the first duplicate.
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

    /// Answers for those of the operations that the log has already.
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
        // Of the majority: what it has not, may go, and whoever sent it would be told that
        // it is there. The duplicate key was reported once the majority had it, so that
        // it is found; unless another primary does not know that yet, and is asked again.
        let found = self.connection.find(EVENTS, filter, options).await?;
        let mut known = HashMap::new();
        for row in found {
            let fields = Fields(&row);
            let id = fields.text("operation_id")?.to_owned();
            known.insert(id, fields.text("fingerprint")?.to_owned());
        }
        Ok(known)
    }

    /// The last position that the majority has, with its time. Behind one that only this
    /// primary has, another one would leave a hole: the driver repeats the insertion
    /// there. What is too old a position meets a duplicate key.
    async fn last(&self) -> Result<End, StoreError> {
        let Some(row) = self.end(doc! { "creation_time": 1 }).await? else {
            return Ok(End::default());
        };
        let fields = Fields(&row);
        Ok(End {
            position: fields.position("_id")?,
            time: Some(fields.time("creation_time")?),
            since: None,
        })
    }

    /// So much of the last event.
    async fn end(&self, projection: Document) -> Result<Option<Document>, StoreError> {
        let options = FindOptions::builder()
            .sort(doc! { "_id": -1 })
            .projection(projection)
            .limit(1)
            .build();
        Ok(self.connection.find(EVENTS, doc! {}, options).await?.pop())
    }

    /// Finds at most `limit` events, in the order of positions.
    async fn find_some(&self, filter: Document, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        match limit {
            0 => Ok(Vec::new()),
            limit => self.find_all(filter, limit).await,
        }
    }

    /// In the order of positions; a limit of 0 is none.
    async fn find_all(&self, filter: Document, limit: usize) -> Result<Vec<LogEntry>, StoreError> {
        let options = in_order(limit, None);
        let rows = self.connection.find(EVENTS, filter, options).await?;
        rows.iter().map(from_row).collect()
    }
}

/// The options of a read in the order of positions; a limit of 0 is none.
fn in_order(limit: usize, projection: Option<Document>) -> FindOptions {
    // One answer instead of a first one of 101 and more after it.
    let batch = u32::try_from(limit).ok().filter(|limit| *limit > 0);
    FindOptions::builder()
        .sort(doc! { "_id": 1 })
        .limit(batch.map(i64::from))
        .batch_size(batch)
        .projection(projection)
        .build()
}

/// The filters whose results together are the page; each is served by one index, in order.
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
    let of = match query.of {
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
            // `parked` as in the index's own filter, or it is not used.
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
    of.into_iter()
        .map(|mut filter| {
            filter.extend(page.clone());
            filter
        })
        .collect()
}

/// An index of those documents only.
fn only(filter: Document) -> IndexOptions {
    IndexOptions::builder()
        .partial_filter_expression(filter)
        .build()
}
