//! The event log, read with the driver of its store.

use std::path::Path;

use anyhow::{Context, Result};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use uuid::Uuid;

/// A stored event.
#[derive(Clone, Debug)]
pub struct Row {
    /// Position in the log.
    pub position: u64,
    /// Operation id.
    pub operation: String,
    /// Correlation id of the request.
    pub correlation: Uuid,
    /// Order id.
    pub order: String,
    /// `INSERT`, `UPDATE`, …
    pub verb: String,
    /// `executed`, `rejected`, …
    pub status: String,
    /// Creation time, in milliseconds since 1970.
    pub created: i64,
    /// Execution time, in milliseconds since 1970; `None` before execution.
    pub executed: Option<i64>,
}

/// Reads the log of a SQLite file.
///
/// # Errors
/// When it cannot be read.
pub fn of_file(file: &Path) -> Result<Vec<Row>> {
    let database = rusqlite::Connection::open(file)?;
    let mut query = database.prepare(
        "SELECT position, operation_id, correlation_id, entity_id, operation, status, \
         creation_time, execution_time FROM events ORDER BY position",
    )?;
    let rows = query.query_map([], |row| {
        let position: i64 = row.get(0)?;
        let correlation: String = row.get(2)?;
        Ok(Row {
            position: position.unsigned_abs(),
            operation: row.get(1)?,
            correlation: correlation.parse().unwrap_or_default(),
            order: row.get(3)?,
            verb: row.get(4)?,
            status: row.get(5)?,
            created: row.get(6)?,
            executed: row.get(7)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Reads the log of a MongoDB database.
///
/// # Errors
/// When it cannot be read.
pub async fn of_database(uri: &str) -> Result<Vec<Row>> {
    let client = mongodb::Client::with_uri_str(uri).await?;
    let database = client
        .default_database()
        .context("the URI names no database")?;
    let events = database.collection::<Document>("events");
    let found = events.find(doc! {}).sort(doc! { "_id": 1 });
    let mut found = found.batch_size(5_000).await?;
    let mut rows = Vec::new();
    while let Some(event) = found.try_next().await? {
        let text = |name: &str| event.get_str(name).map(str::to_owned);
        rows.push(Row {
            position: event.get_i64("position")?.unsigned_abs(),
            operation: text("operation_id")?,
            correlation: text("correlation_id")?.parse()?,
            order: text("entity_id")?,
            verb: text("operation")?,
            status: text("status")?,
            created: event.get_datetime("creation_time")?.timestamp_millis(),
            executed: event
                .get_datetime("execution_time")
                .ok()
                .map(|time| time.timestamp_millis()),
        });
    }
    Ok(rows)
}
