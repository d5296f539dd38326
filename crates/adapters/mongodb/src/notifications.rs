//! Notifications: the `notifications` collection of the source database.

use async_trait::async_trait;
use bakehouse_engine::model::ids;
use bakehouse_engine::model::notification::{Attempt, NotificationStatus};
use bakehouse_engine::ports::{Claim, Notifications, Recording, Settled, StoreError};
use bakehouse_engine::{Notification, Position};
use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::{FindOptions, IndexOptions};
use uuid::Uuid;

use crate::checkpoints::bind_to_log;
use crate::connection::Connection;
use crate::convert::{Fields, date, from_bson, integer, to_bson};
use crate::transaction::Transactor;
use crate::update::update;

/// Name of the checkpoint.
pub(crate) const NAME: &str = "notifier";
pub(crate) const NOTIFICATIONS: &str = "notifications";

pub(crate) struct MongoNotifications {
    connection: Connection,
    transactions: Transactor,
}

impl MongoNotifications {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            transactions: Transactor::new(connection.clone(), NAME),
            connection,
        }
    }

    /// Creates a partial index on pending notifications by due time, and one by entity for readers.
    pub(crate) async fn create_indexes(&self) -> Result<(), StoreError> {
        let pending = IndexOptions::builder()
            .partial_filter_expression(doc! { "due_at": { "$type": "date" } })
            .build();
        let by_due_time = IndexModel::builder()
            .keys(doc! { "lane": 1, "due_at": 1 })
            .options(pending);
        let by_entity = IndexModel::builder().keys(doc! { "entity_id": 1, "position": 1 });
        let notifications = self.connection.collection(NOTIFICATIONS);
        let create = notifications.create_indexes([by_due_time.build(), by_entity.build()]);
        self.connection.bounded(create).await.map(|_| ())
    }

    async fn find(
        &self,
        filter: Document,
        sort: Document,
        limit: i64,
    ) -> Result<Vec<Document>, StoreError> {
        let options = FindOptions::builder().sort(sort).limit(limit).build();
        self.connection.find(NOTIFICATIONS, filter, options).await
    }
}

#[async_trait]
impl Notifications for MongoNotifications {
    async fn open(&self, epoch: &str, start: Position) -> Result<Position, StoreError> {
        let bound = bind_to_log(&self.connection, NAME, epoch, start).await?;
        Ok(bound.position)
    }

    async fn record(&self, recording: &Recording) -> Result<(), StoreError> {
        let new = recording.notifications.iter().map(insertion);
        let new: Vec<Document> = new.collect::<Result<_, _>>()?;
        self.transactions
            .transact(async |transaction| {
                let before = doc! { "_id": NAME, "position": integer(recording.from) };
                let after = doc! { "position": integer(recording.to) };
                transaction.move_checkpoint(before, after).await?;
                transaction.update(NOTIFICATIONS, new).await.map(|_| ())
            })
            .await
    }

    /// Finds due notifications, claims them under a unique id, and reads those it has claimed: of
    /// two concurrent callers each gets only what the other did not claim.
    async fn take(&self, lane: &str, claim: Claim) -> Result<Vec<Notification>, StoreError> {
        if claim.limit == 0 {
            return Ok(Vec::new());
        }
        let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
        let now = date(claim.now);
        let due = doc! { "lane": lane, "due_at": { "$lte": now } };
        let found = self.find(due, doc! { "due_at": 1 }, limit).await?;
        let ids: Vec<Bson> = found
            .iter()
            .filter_map(|row| row.get("_id").cloned())
            .collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let claim_id = ids::fresh().to_string();
        let is_due = doc! { "_id": { "$in": &ids }, "due_at": { "$lte": now } };
        let take = doc! { "$set": {
            "status": NotificationStatus::Accepted.as_str(),
            "attempts": { "$add": ["$attempts", 1_i64] },
            "accepted_at": { "$ifNull": ["$accepted_at", now] },
            "due_at": date(claim.until),
            "claim": &claim_id,
        } };
        let notifications = self.connection.collection(NOTIFICATIONS);
        let taken = notifications.update_many(is_due, vec![take]);
        self.connection.bounded(taken).await?;
        let ours = doc! { "_id": { "$in": ids }, "claim": claim_id };
        let rows = self.find(ours, doc! { "position": 1 }, limit).await?;
        rows.iter().map(notification).collect()
    }

    async fn settle(&self, attempts: &[Settled]) -> Result<(), StoreError> {
        let statements = attempts.iter().map(settlement).collect();
        update(&self.connection, NOTIFICATIONS, statements).await
    }

    async fn of(&self, entity_id: &str) -> Result<Vec<Notification>, StoreError> {
        let filter = doc! { "entity_id": entity_id };
        let rows = self
            .find(filter, doc! { "position": 1, "_id": 1 }, 0)
            .await?;
        rows.iter().map(notification).collect()
    }
}

/// Returns the statement that inserts a notification, unless it is recorded already.
pub(crate) fn insertion(notification: &Notification) -> Result<Document, StoreError> {
    let row = doc! {
        "position": integer(notification.position),
        "type": &notification.kind,
        "entity_id": &notification.entity_id,
        "lane": &notification.lane,
        "channel": &notification.channel,
        "to": &notification.to,
        "message": to_bson(&notification.message)?,
        "status": notification.status.as_str(),
        "attempts": i64::from(notification.attempts),
        "occurred_at": date(notification.occurred_at),
        "requested_at": date(notification.requested_at),
        "accepted_at": notification.accepted_at.map(date),
        "ended_at": notification.ended_at.map(date),
        "due_at": notification.due_at.map(date),
        "reason": notification.reason.as_deref(),
    };
    Ok(doc! {
        "q": { "_id": notification.id.to_string() },
        "u": { "$setOnInsert": row },
        "upsert": true,
    })
}

/// Returns the statement that records the outcome of an attempt, unless a later attempt has begun.
fn settlement(settled: &Settled) -> Document {
    let set = match &settled.outcome {
        Attempt::Sent { at } => doc! {
            "status": NotificationStatus::Sent.as_str(),
            "ended_at": date(*at),
            "due_at": Bson::Null,
            "reason": Bson::Null,
        },
        Attempt::Postponed { due_at, reason } => doc! {
            "due_at": date(*due_at),
            "reason": reason,
        },
        Attempt::Failed { at, reason } => doc! {
            "status": NotificationStatus::Failed.as_str(),
            "ended_at": date(*at),
            "due_at": Bson::Null,
            "reason": reason,
        },
    };
    let this_attempt = doc! {
        "_id": settled.id.to_string(),
        "attempts": i64::from(settled.attempt),
        "due_at": { "$type": "date" },
    };
    doc! { "q": this_attempt, "u": { "$set": set } }
}

pub(crate) fn notification(row: &Document) -> Result<Notification, StoreError> {
    let fields = Fields(row);
    Ok(Notification {
        id: fields.parsed("_id", |text| Uuid::parse_str(text).ok())?,
        position: fields.position("position")?,
        kind: fields.text("type")?.to_owned(),
        entity_id: fields.text("entity_id")?.to_owned(),
        lane: fields.text("lane")?.to_owned(),
        channel: fields.text("channel")?.to_owned(),
        to: fields.text("to")?.to_owned(),
        message: from_bson(row.get("message").unwrap_or(&Bson::Null))?,
        status: fields.parsed("status", NotificationStatus::parse)?,
        attempts: fields.u32("attempts")?,
        occurred_at: fields.time("occurred_at")?,
        requested_at: fields.time("requested_at")?,
        accepted_at: fields.optional_time("accepted_at"),
        ended_at: fields.optional_time("ended_at"),
        due_at: fields.optional_time("due_at"),
        reason: fields.optional_text("reason").map(str::to_owned),
    })
}
