//! Source state: entities, snapshots, and orders-manager's checkpoint.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    Checkpoint, EntityWrite, Execution, Progress, Slot, SourceStore, StoreError, Verdict,
};
use bakehouse_engine::{EntityRecord, EntryStatus, Position};
use mongodb::IndexModel;
use mongodb::bson::{Bson, DateTime, Document, doc};
use mongodb::options::FindOptions;

use crate::checkpoints::CHECKPOINTS;
use crate::connection::Connection;
use crate::convert::{Fields, date, integer, to_bson};
use crate::rebuilds::{RebuildableStore, StageOutput, generation};
use crate::transaction::{Transaction, Transactor};

/// Name of the checkpoint.
const NAME: &str = "orders-manager";
pub(crate) const SNAPSHOTS: &str = "snapshots";

#[derive(Clone)]
pub(crate) struct MongoSource {
    connection: Connection,
    transactions: Arc<Transactor>,
    entities: String,
    slot: Slot,
}

impl MongoSource {
    pub(crate) fn new(connection: Connection, entities: &str) -> Self {
        Self {
            transactions: Arc::new(Transactor::new(connection.clone(), NAME)),
            connection,
            entities: entities.to_owned(),
            slot: Slot::Live,
        }
    }

    /// Returns the name of the collection of the entities.
    pub(crate) fn entities(&self) -> &str {
        &self.entities
    }

    /// Creates the index by which snapshots are found.
    pub(crate) async fn create_indexes(&self) -> Result<(), StoreError> {
        let snapshots = self.connection.collection(&self.slot.name(SNAPSHOTS));
        let latest_first = IndexModel::builder()
            .keys(doc! { "_id.id": 1, "_id.position": -1 })
            .build();
        let create = snapshots.create_index(latest_first);
        self.connection.bounded(create).await.map(|_| ())
    }
}

#[async_trait]
impl Progress for MongoSource {
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        let name = self.slot.name(NAME);
        let row = match self.connection.find_by_id(CHECKPOINTS, &name).await? {
            Some(row) => row,
            None => self.first_checkpoint().await?,
        };
        let fields = Fields(&row);
        Ok(Checkpoint {
            position: fields.position("position")?,
            entities: fields.position("entities")?,
            parked: fields.optional_position("parked")?.unwrap_or_default(),
            generation: fields.optional_position("generation")?.unwrap_or_default(),
        })
    }

    async fn snapshots(
        &self,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        // The index has the latest position first, so one key is read per entity.
        let pipeline = vec![
            doc! { "$match": { "_id.id": { "$in": ids }, "_id.position": { "$lte": integer(up_to) } } },
            doc! { "$sort": { "_id.id": 1, "_id.position": -1 } },
            doc! { "$group": { "_id": "$_id.id", "record": { "$first": "$record" } } },
        ];
        let snapshots = self.slot.name(SNAPSHOTS);
        let rows = self.connection.aggregate(&snapshots, pipeline).await?;
        let records = rows.iter().map(|row| {
            let row = Fields(row).document("record")?;
            record(row).map(|record| (record.id.clone(), record))
        });
        records.collect()
    }
}

#[async_trait]
impl SourceStore for MongoSource {
    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError> {
        let filter = doc! { "_id": { "$in": ids } };
        // One more than can match: with a full batch the server would keep its cursor open, and a
        // second request would be needed to learn that there is nothing more.
        let batch = u32::try_from(ids.len() + 1).unwrap_or(u32::MAX);
        let options = FindOptions::builder().batch_size(batch).build();
        let entities = self.slot.name(&self.entities);
        let rows = self.connection.find(&entities, filter, options).await?;
        let records = rows.iter().map(record);
        records
            .map(|record| record.map(|record| (record.id.clone(), record)))
            .collect()
    }

    async fn commit(&self, execution: &Execution) -> Result<(), StoreError> {
        if execution.from.position == 0 {
            self.first_checkpoint().await?;
        }
        self.transactions
            .transact(async |transaction| {
                let (from, to) = (execution.from, execution.to);
                let before = doc! { "_id": self.slot.name(NAME), "replacing": null,
                "generation": generation(from.generation),
                "position": integer(from.position), "entities": integer(from.entities) };
                let after = doc! { "position": integer(to.position),
                "entities": integer(to.entities), "parked": integer(to.parked) };
                transaction.move_checkpoint(before, after).await?;
                self.write_entities(transaction, &execution.entities)
                    .await?;
                let snapshots = execution.snapshots.iter().map(snapshot);
                let snapshots = snapshots.collect::<Result<Vec<_>, _>>()?;
                let collection = self.slot.name(SNAPSHOTS);
                transaction.update(&collection, snapshots).await?;
                if self.slot != Slot::Live {
                    // A rebuild replays entries that have their verdicts already.
                    return Ok(());
                }
                transaction
                    .update("events", verdict_statements(execution))
                    .await
                    .map(|_| ())
            })
            .await
    }
}

#[async_trait]
impl RebuildableStore for MongoSource {
    type Store = dyn SourceStore;

    fn output(&self) -> StageOutput {
        StageOutput {
            connection: self.connection.clone(),
            transactions: self.transactions.clone(),
            checkpoint: NAME,
            collections: vec![self.entities.clone(), SNAPSHOTS.to_owned()],
        }
    }

    async fn shadow(&self, rebuild_id: u64) -> Result<Arc<dyn SourceStore>, StoreError> {
        let shadow = Self {
            slot: Slot::Shadow(rebuild_id),
            ..self.clone()
        };
        shadow.create_indexes().await?;
        let entities = shadow.slot.name(&shadow.entities);
        self.connection.create_collection(&entities).await?;
        Ok(Arc::new(shadow))
    }
}

impl MongoSource {
    async fn first_checkpoint(&self) -> Result<Document, StoreError> {
        let start = doc! { "position": 0_i64, "entities": 0_i64 };
        let name = self.slot.name(NAME);
        self.connection
            .find_or_create(CHECKPOINTS, &name, start)
            .await
    }

    async fn write_entities(
        &self,
        transaction: &mut Transaction<'_>,
        writes: &[EntityWrite],
    ) -> Result<(), StoreError> {
        let mut new = Vec::new();
        let mut changed = Vec::new();
        for write in writes {
            let row = row(&write.record)?;
            match write.expected {
                None => new.push(row),
                Some(position) => changed.push(doc! {
                    "q": { "_id": &write.record.id, "position": integer(position) }, "u": row,
                }),
            }
        }
        let entities = self.slot.name(&self.entities);
        transaction.write(&entities, new, changed).await
    }
}

/// Returns the statement that stores a snapshot; repeating it changes nothing.
fn snapshot(record: &EntityRecord) -> Result<Document, StoreError> {
    let id = doc! { "id": &record.id, "position": integer(record.position) };
    Ok(doc! {
        "q": { "_id": id }, "u": { "$set": { "record": row(record)? } }, "upsert": true,
    })
}

fn row(record: &EntityRecord) -> Result<Document, StoreError> {
    Ok(doc! {
        "_id": &record.id,
        "number": integer(record.number),
        "position": integer(record.position),
        "version": integer(record.version),
        "created_at": date(record.created_at),
        "updated_at": date(record.updated_at),
        "owner": record.owner.as_deref(),
        "state": to_bson(&record.state)?,
    })
}

pub(crate) fn record(row: &Document) -> Result<EntityRecord, StoreError> {
    let fields = Fields(row);
    Ok(EntityRecord {
        id: fields.text("_id")?.to_owned(),
        owner: fields.optional_text("owner").map(str::to_owned),
        number: fields.position("number")?,
        position: fields.position("position")?,
        version: fields.position("version")?,
        created_at: fields.time("created_at")?,
        updated_at: fields.time("updated_at")?,
        state: fields.json("state")?,
    })
}

/// Returns the statements that set the verdicts of log entries: one per kind of change rather than
/// one per entry.
fn verdict_statements(execution: &Execution) -> Vec<Document> {
    let mut changes: HashMap<&str, Vec<i64>> = HashMap::new();
    let mut statements = Vec::new();
    let at = date(execution.executed_at);
    let pending = EntryStatus::Stored;
    for (position, verdict) in (execution.from.position + 1..).zip(&execution.verdicts) {
        match verdict {
            Verdict::Executed { change } => {
                changes.entry(change).or_default().push(integer(position));
            }
            Verdict::Rejected(_) | Verdict::Parked { .. } => {
                let id = Bson::Int64(integer(position));
                statements.push(verdict_statement(id, pending, outcome(verdict, at)));
            }
        }
    }
    let count = execution.verdicts.len();
    for (change, positions) in changes {
        let ids = if positions.len() == count {
            position_range(execution)
        } else {
            doc! { "$in": positions }
        };
        let status = EntryStatus::Executed.as_str();
        let set = doc! { "status": status, "change": change, "execution_time": at };
        statements.push(verdict_statement(Bson::Document(ids), pending, set));
    }
    for resolved in &execution.resolved {
        let id = Bson::Int64(integer(resolved.position));
        let mut set = outcome(&resolved.verdict, at);
        set.insert("settled_by", integer(resolved.by));
        statements.push(verdict_statement(id, EntryStatus::Parked, set));
    }
    statements
}

fn outcome(verdict: &Verdict, at: DateTime) -> Document {
    match verdict {
        Verdict::Executed { change } => doc! {
            "status": EntryStatus::Executed.as_str(), "change": change, "execution_time": at,
        },
        Verdict::Rejected(rejection) => {
            let mut set = doc! {
                "status": EntryStatus::Rejected.as_str(),
                "reason": &rejection.reason,
                "execution_time": at,
            };
            if let Some(code) = &rejection.code {
                set.insert("code", code);
            }
            set
        }
        // No execution time: a parked entry has not been executed.
        Verdict::Parked { reason } => doc! {
            "status": EntryStatus::Parked.as_str(), "parked": reason,
        },
    }
}

fn position_range(execution: &Execution) -> Document {
    let (from, to) = (execution.from.position, execution.to.position);
    doc! { "$gt": integer(from), "$lte": integer(to) }
}

fn verdict_statement(id: Bson, from: EntryStatus, set: Document) -> Document {
    doc! { "q": { "_id": id, "status": from.as_str() }, "u": { "$set": set }, "multi": true }
}
