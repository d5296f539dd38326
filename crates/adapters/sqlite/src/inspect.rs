//! Reads of an audit in SQLite.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::handlers::Generation;
use bakehouse_engine::ports::{
    Backlog, Damage, DocumentRecord, Head, Integrity, Page, PresentationInspector, RowInspector,
    RowRecord, SourceInspector, StoreError, Waiting,
};
use bakehouse_engine::{EntityRecord, Notification, Operation, Position};
use rusqlite::{Connection, Params, Row, params};

use crate::checkpoints::{epoch_of, position_of};
use crate::database::Database;
use crate::error::Outcome;
use crate::notifications::{NOTIFICATION_COLUMNS, notification};
use crate::rows::{integer, json, position, timestamp};
use crate::schedule;
use crate::source::{RECORD_COLUMNS, record};

/// Maximum number of reported damages.
const MAX_DAMAGES: usize = 100;

pub(crate) struct SqliteInspector(pub(crate) Arc<Database>);

/// Reads a page of rows, whose keys are in the first column.
fn page<T>(
    connection: &Connection,
    query: &str,
    parameters: impl Params,
    read: fn(&Row<'_>) -> Outcome<T>,
) -> Outcome<Page<T>> {
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(parameters)?;
    let mut page = Vec::new();
    while let Some(row) = rows.next()? {
        page.push((row.get(0)?, readable(read(row))));
    }
    Ok(page)
}

/// Converts the error of one row to text, so that the other rows of the page can be read.
fn readable<T>(found: Outcome<T>) -> Result<T, String> {
    found.map_err(|failure| StoreError::from(failure).to_string())
}

fn limit_of(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

#[async_trait]
impl SourceInspector for SqliteInspector {
    async fn entities(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError> {
        let (after, limit) = (after.to_owned(), limit_of(limit));
        let query = "SELECT id, position FROM entities WHERE id > ?1 ORDER BY id LIMIT ?2";
        let read = move |connection: &Connection| {
            page(connection, query, params![after, limit], |row| {
                position(row, 1)
            })
        };
        self.0.read(read).await
    }

    async fn without_entry(
        &self,
        entities: &[(&str, Position)],
    ) -> Result<Vec<String>, StoreError> {
        let entities = entities.iter();
        let entities = entities.map(|(id, position)| ((*id).to_owned(), integer(*position)));
        let entities: Vec<(String, i64)> = entities.collect();
        let read = move |connection: &Connection| {
            let query =
                "SELECT EXISTS (SELECT 1 FROM events WHERE position = ?2 AND entity_id = ?1)";
            let mut query = connection.prepare_cached(query)?;
            let mut unfounded = Vec::new();
            for (id, position) in entities {
                if !query.query_row(params![id, position], |row| row.get::<_, bool>(0))? {
                    unfounded.push(id);
                }
            }
            Ok(unfounded)
        };
        self.0.read(read).await
    }

    async fn snapshots(
        &self,
        after: (&str, Position),
        limit: usize,
    ) -> Result<Page<EntityRecord>, StoreError> {
        let (id, at, limit) = (after.0.to_owned(), integer(after.1), limit_of(limit));
        let query = format!(
            "SELECT {RECORD_COLUMNS} FROM snapshots WHERE (id, position) > (?1, ?2) \
             ORDER BY id, position LIMIT ?3"
        );
        let read =
            move |connection: &Connection| page(connection, &query, params![id, at, limit], record);
        self.0.read(read).await
    }

    async fn notifications(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Page<Notification>, StoreError> {
        let (after, limit) = (after.to_owned(), limit_of(limit));
        let query = format!(
            "SELECT {NOTIFICATION_COLUMNS} FROM notifications WHERE id > ?1 ORDER BY id LIMIT ?2"
        );
        let read = move |connection: &Connection| {
            page(connection, &query, params![after, limit], notification)
        };
        self.0.read(read).await
    }

    async fn notified(&self) -> Result<Option<Head>, StoreError> {
        let read = |connection: &Connection| {
            let epoch = epoch_of(connection, "notifier")?;
            let position = position_of(connection, "notifier")?;
            Ok((!epoch.is_empty()).then_some(Head { epoch, position }))
        };
        self.0.read(read).await
    }
}

#[async_trait]
impl PresentationInspector for SqliteInspector {
    async fn documents(
        &self,
        ids: &[&str],
    ) -> Result<HashMap<String, Result<DocumentRecord, String>>, StoreError> {
        let ids: Vec<String> = ids.iter().map(|id| (*id).to_owned()).collect();
        let query = "SELECT id, number, position, version, created_at, owner, listed, body \
                     FROM documents WHERE id = ?1";
        let read = move |connection: &Connection| {
            let mut found = HashMap::with_capacity(ids.len());
            for id in &ids {
                found.extend(page(connection, query, [id], document)?);
            }
            Ok(found)
        };
        self.0.read(read).await
    }

    async fn document_ids(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError> {
        let (after, limit) = (after.to_owned(), limit_of(limit));
        let query = "SELECT id, position FROM documents WHERE id > ?1 ORDER BY id LIMIT ?2";
        let read = move |connection: &Connection| {
            page(connection, query, params![after, limit], |row| {
                position(row, 1)
            })
        };
        self.0.read(read).await
    }
}

fn document(row: &Row<'_>) -> Outcome<DocumentRecord> {
    let listed = match row.get::<_, i64>(6)? {
        0 => false,
        1 => true,
        other => {
            let what = format!("field listed: expected 0 or 1, found {other}");
            return Err(StoreError::Corrupt(what).into());
        }
    };
    Ok(DocumentRecord {
        number: position(row, 1)?,
        position: position(row, 2)?,
        version: position(row, 3)?,
        created_at: timestamp(row.get(4)?)?,
        owner: row.get(5)?,
        listed,
        body: json(row.get(7)?)?,
    })
}

#[async_trait]
impl RowInspector for SqliteInspector {
    async fn all_rows(
        &self,
        generation: &Generation,
        after: &str,
        limit: usize,
    ) -> Result<Page<RowRecord>, StoreError> {
        let (of, after, limit) = (generation.clone(), after.to_owned(), limit_of(limit));
        let query = "SELECT key, body FROM rows WHERE name = ?1 AND version = ?2 AND round = ?3 \
                     AND key > ?4 ORDER BY key LIMIT ?5";
        let links = "SELECT link FROM row_links WHERE name = ?1 AND version = ?2 AND round = ?3 \
                     AND key = ?4 ORDER BY link";
        let read = move |connection: &Connection| {
            let which = params![of.name, of.version, integer(of.round), after, limit];
            let bodies = page(connection, query, which, |row| json(row.get(1)?))?;
            let mut links = connection.prepare_cached(links)?;
            let mut found = Vec::with_capacity(bodies.len());
            for (key, body) in bodies {
                let which = params![of.name, of.version, integer(of.round), key];
                let links = links.query_map(which, |row| row.get(0))?;
                let links = links.collect::<rusqlite::Result<Vec<String>>>()?;
                found.push((key, body.map(|body| RowRecord { links, body })));
            }
            Ok(found)
        };
        self.0.read(read).await
    }

    async fn dangling_links(
        &self,
        generation: &Generation,
        limit: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        let (of, limit) = (generation.clone(), limit_of(limit));
        let query = "SELECT link, key FROM row_links AS l \
                     WHERE name = ?1 AND version = ?2 AND round = ?3 AND NOT EXISTS \
                     (SELECT 1 FROM rows AS r WHERE r.name = l.name AND r.version = l.version \
                     AND r.round = l.round AND r.key = l.key) LIMIT ?4";
        let read = move |connection: &Connection| {
            let mut query = connection.prepare_cached(query)?;
            let which = params![of.name, of.version, integer(of.round), limit];
            let found = query.query_map(which, |row| Ok((row.get(0)?, row.get(1)?)))?;
            Ok(found.collect::<rusqlite::Result<_>>()?)
        };
        self.0.read(read).await
    }
}

#[async_trait]
impl Backlog for SqliteInspector {
    async fn waiting(&self) -> Result<Waiting, StoreError> {
        self.0.read(waiting).await
    }
}

fn waiting(connection: &Connection) -> Outcome<Waiting> {
    let query = "SELECT (SELECT count(*) FROM schedule), (SELECT count(*) FROM parked), \
                 (SELECT operation FROM schedule ORDER BY seq LIMIT 1), \
                 coalesce((SELECT max(seq) FROM schedule), 0), \
                 coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'schedule'), 0)";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([])?;
    let Some(row) = rows.next()? else {
        return Ok(Waiting::default());
    };
    let (operations, unreadable) = (position(row, 0)?, position(row, 1)?);
    let oldest: Option<String> = row.get(2)?;
    let oldest = oldest.and_then(|text| serde_json::from_str::<Operation>(&text).ok());
    let accepted = position(row, 3)?.max(position(row, 4)?);
    let settled = schedule::settled(connection)?;
    let due = settled.map(|settled| accepted.saturating_sub(settled.position));
    let vanished = due.map_or(0, |due| due.saturating_sub(operations));
    Ok(Waiting {
        operations,
        oldest: oldest.map(|operation| operation.accepted_at),
        unreadable,
        lost: vanished + settled.map_or(0, |settled| settled.lost),
        ..Waiting::default()
    })
}

#[async_trait]
impl Integrity for SqliteInspector {
    async fn damages(&self) -> Result<Vec<Damage>, StoreError> {
        // A new connection reads the file; cached pages of others would hide damage.
        self.0
            .read_uncached(|connection| Ok(damages(connection)))
            .await
    }
}

/// Returns the damage that SQLite's integrity check finds; a failed check counts as damage.
pub(crate) fn damages(connection: &Connection) -> Vec<Damage> {
    match check_lines(connection, "integrity_check") {
        Ok(lines) => parse_damages(connection, &lines),
        // The full check fails on an unreadable page; the quick check reports it.
        Err(error) => match check_lines(connection, "quick_check") {
            Ok(lines) if !lines.is_empty() => parse_damages(connection, &lines),
            _ => vec![Damage {
                part: None,
                is_index: false,
                what: error.to_string(),
            }],
        },
    }
}

/// Returns the damage that SQLite's quick check finds: pages that cannot be read.
pub(crate) fn quick_damages(connection: &Connection) -> Vec<Damage> {
    match check_lines(connection, "quick_check") {
        Ok(lines) => parse_damages(connection, &lines),
        Err(error) => vec![Damage {
            part: None,
            is_index: false,
            what: error.to_string(),
        }],
    }
}

/// Runs a check of SQLite; returns the lines that report damage.
fn check_lines(connection: &Connection, check: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA {check}({MAX_DAMAGES})"))?;
    let found = statement.query_map([], |row| row.get::<_, String>(0))?;
    let mut lines = Vec::new();
    for text in found {
        let text = text?;
        let reported = text.lines().filter(|line| !line.starts_with("*** in"));
        lines.extend(reported.filter(|line| *line != "ok").map(str::to_owned));
    }
    lines.truncate(MAX_DAMAGES);
    Ok(lines)
}

/// Finds the table or index of each line.
fn parse_damages(connection: &Connection, lines: &[String]) -> Vec<Damage> {
    let damage = |line: &String| {
        let part = part_of(connection, line);
        Damage {
            is_index: part.as_ref().is_some_and(|(_, kind)| kind == "index"),
            part: part.map(|(name, _)| name),
            what: line.clone(),
        }
    };
    lines.iter().map(damage).collect()
}

/// Returns name and kind of the table or index that a line names.
fn part_of(connection: &Connection, line: &str) -> Option<(String, String)> {
    let named = |by: &str, value: &dyn rusqlite::ToSql| {
        let query = format!("SELECT name, type FROM sqlite_master WHERE {by} = ?1");
        let found = connection.query_row(&query, [value], |row| Ok((row.get(0)?, row.get(1)?)));
        found.ok()
    };
    if let Some((_, name)) = line.split_once(" index ") {
        return named("name", &name.trim());
    }
    let tree = line
        .split_once("Tree ")
        .or_else(|| line.split_once("On tree "));
    let number: String = tree?.1.chars().take_while(char::is_ascii_digit).collect();
    named("rootpage", &number.parse::<i64>().ok()?)
}
