//! Notifications in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::model::notification::{Attempt, NotificationStatus};
use bakehouse_engine::ports::{Claim, Notifications, Recording, Settled, StoreError};
use bakehouse_engine::{Notification, Position, Timestamp};
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use crate::checkpoints::{advance, bind_to_log};
use crate::database::Database;
use crate::error::Outcome;
use crate::rows::{integer, json, position, text, timestamp, uuid, valid};

/// Name of the stage's checkpoint.
const NAME: &str = "notifier";

/// Columns of the table `notifications`, in their order.
pub(crate) const NOTIFICATION_COLUMNS: &str = "id, position, type, entity_id, lane, channel, \
    recipient, message, status, attempts, occurred_at, requested_at, \
    accepted_at, ended_at, due_at, reason";

pub(crate) struct SqliteNotifications(pub(crate) Arc<Database>);

#[async_trait]
impl Notifications for SqliteNotifications {
    async fn open(&self, epoch: &str, start: Position) -> Result<Position, StoreError> {
        let epoch = epoch.to_owned();
        self.0
            .write(move |connection| bind_to_log(connection, NAME, &epoch, start))
            .await
    }

    async fn record(&self, recording: &Recording) -> Result<(), StoreError> {
        let recording = recording.clone();
        self.0
            .write(move |connection| record(connection, &recording))
            .await
    }

    async fn take(&self, lane: &str, claim: Claim) -> Result<Vec<Notification>, StoreError> {
        let queried = lane.to_owned();
        let is_any = self
            .0
            .read(move |connection| is_any_due(connection, &queried, claim));
        // A read needs no synced transaction, and mostly nothing is due.
        if !is_any.await? {
            return Ok(Vec::new());
        }
        let lane = lane.to_owned();
        let taken = self
            .0
            .write(move |connection| take(connection, &lane, claim));
        let mut taken = taken.await?;
        taken.sort_by_key(|notification| notification.position);
        Ok(taken)
    }

    async fn settle(&self, attempts: &[Settled]) -> Result<(), StoreError> {
        let attempts = attempts.to_vec();
        self.0
            .write(move |connection| settle(connection, &attempts))
            .await
    }

    async fn of(&self, entity_id: &str) -> Result<Vec<Notification>, StoreError> {
        let entity_id = entity_id.to_owned();
        let query = format!(
            "SELECT {NOTIFICATION_COLUMNS} FROM notifications WHERE entity_id = ?1 \
             ORDER BY position, id"
        );
        self.0
            .read(move |connection| rows(connection, &query, [entity_id]))
            .await
    }
}

fn record(connection: &Connection, recording: &Recording) -> Outcome<()> {
    advance(connection, NAME, recording.from, recording.to)?;
    insert_missing(connection, &recording.notifications)
}

/// Name of the row of `checkpoints` that a restore which withholds pending notifications writes;
/// its `position` is the time of the restore in milliseconds.
pub(crate) const RESTORED_AT: &str = "restored-at";
/// Reason recorded with the notifications that a restored store withholds.
pub(crate) const WITHHELD: &str = "pending when the store was restored from a copy; it may have \
    been sent by the store that the copy is of";

/// Returns the notification marked as withheld if its operation was accepted before the store was
/// restored, because the original store may have sent it; `None` if it is to be sent.
fn withheld(connection: &Connection, notification: &Notification) -> Outcome<Option<Notification>> {
    let query = "SELECT position FROM checkpoints WHERE name = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let restored_at = statement.query_row([RESTORED_AT], |row| row.get(0));
    let Some(restored_at): Option<i64> = restored_at.optional()? else {
        return Ok(None);
    };
    let query = "SELECT accepted_at FROM events WHERE position = ?1 AND entity_id = ?2";
    let mut statement = connection.prepare_cached(query)?;
    let entry = params![integer(notification.position), notification.entity_id];
    let accepted_at = statement.query_row(entry, |row| row.get(0)).optional()?;
    let happened_at = accepted_at.unwrap_or_else(|| notification.occurred_at.millis());
    let is_withheld = notification.due_at.is_some() && happened_at < restored_at;
    Ok(is_withheld.then(|| {
        let notification = notification.clone();
        notification.withheld(WITHHELD.into(), Timestamp::now())
    }))
}

/// Inserts the notifications whose ids are not stored yet.
pub(crate) fn insert_missing(
    connection: &Connection,
    notifications: &[Notification],
) -> Outcome<()> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO notifications \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16) \
         ON CONFLICT (id) DO NOTHING",
    )?;
    for notification in notifications {
        let withheld = withheld(connection, notification)?;
        let notification = withheld.as_ref().unwrap_or(notification);
        insert.execute(params![
            notification.id.to_string(),
            integer(notification.position),
            notification.kind,
            notification.entity_id,
            notification.lane,
            notification.channel,
            notification.to,
            notification.message.get(),
            notification.status.as_str(),
            notification.attempts,
            notification.occurred_at.millis(),
            notification.requested_at.millis(),
            notification.accepted_at.map(Timestamp::millis),
            notification.ended_at.map(Timestamp::millis),
            notification.due_at.map(Timestamp::millis),
            notification.reason,
        ])?;
    }
    Ok(())
}

fn is_any_due(connection: &Connection, lane: &str, claim: Claim) -> Outcome<bool> {
    let query = "SELECT EXISTS (SELECT 1 FROM notifications WHERE lane = ?1 AND due_at <= ?2)";
    let mut statement = connection.prepare_cached(query)?;
    Ok(statement.query_row(params![lane, claim.now.millis()], |row| row.get(0))?)
}

fn take(connection: &Connection, lane: &str, claim: Claim) -> Outcome<Vec<Notification>> {
    let update = format!(
        "UPDATE notifications SET status = 'accepted', attempts = attempts + 1, due_at = ?3, \
         accepted_at = coalesce(accepted_at, ?2) WHERE id IN (SELECT id FROM notifications \
         WHERE lane = ?1 AND due_at <= ?2 ORDER BY due_at, position LIMIT ?4) \
         RETURNING {NOTIFICATION_COLUMNS}"
    );
    let limit = i64::try_from(claim.limit).unwrap_or(i64::MAX);
    let (now, until) = (claim.now.millis(), claim.until.millis());
    rows(connection, &update, params![lane, now, until, limit])
}

fn settle(connection: &Connection, attempts: &[Settled]) -> Outcome<()> {
    let mut update = connection.prepare_cached(
        "UPDATE notifications SET status = ?3, ended_at = ?4, due_at = ?5, reason = ?6 \
         WHERE id = ?1 AND attempts = ?2 AND due_at IS NOT NULL",
    )?;
    for settled in attempts {
        let (status, ended_at, due_at, reason) = columns(&settled.outcome);
        update.execute(params![
            settled.id.to_string(),
            settled.attempt,
            status.as_str(),
            ended_at.map(Timestamp::millis),
            due_at.map(Timestamp::millis),
            reason,
        ])?;
    }
    Ok(())
}

type Columns<'a> = (
    NotificationStatus,
    Option<Timestamp>,
    Option<Timestamp>,
    Option<&'a str>,
);

fn columns(outcome: &Attempt) -> Columns<'_> {
    use NotificationStatus::{Accepted, Failed, Sent};
    match outcome {
        Attempt::Sent { at } => (Sent, Some(*at), None, None),
        Attempt::Postponed { due_at, reason } => (Accepted, None, Some(*due_at), Some(reason)),
        Attempt::Failed { at, reason } => (Failed, Some(*at), None, Some(reason)),
    }
}

fn rows(
    connection: &Connection,
    query: &str,
    parameters: impl Params,
) -> Outcome<Vec<Notification>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(parameters)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(notification(row)?);
    }
    Ok(found)
}

pub(crate) fn notification(row: &Row<'_>) -> Outcome<Notification> {
    let time = |column| -> Outcome<Option<Timestamp>> {
        let millis: Option<i64> = row.get(column)?;
        millis.map(timestamp).transpose()
    };
    Ok(Notification {
        id: uuid(text(row, 0)?)?,
        position: position(row, 1)?,
        kind: row.get(2)?,
        entity_id: row.get(3)?,
        lane: row.get(4)?,
        channel: row.get(5)?,
        to: row.get(6)?,
        message: json(row.get(7)?)?,
        status: valid(NotificationStatus::parse(text(row, 8)?), "status")?,
        attempts: row.get(9)?,
        occurred_at: timestamp(row.get(10)?)?,
        requested_at: timestamp(row.get(11)?)?,
        accepted_at: time(12)?,
        ended_at: time(13)?,
        due_at: time(14)?,
        reason: row.get(15)?,
    })
}
