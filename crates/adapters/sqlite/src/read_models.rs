//! Rows of read models and process managers in SQLite.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::Position;
use bakehouse_engine::handlers::{Generation, Needs};
use bakehouse_engine::ports::{
    Feed, HandlerCommit, Head, Loaded, ModelState, Registration, RowPage, RowReader, RowStore,
    RowWrite, StoreError, StoredRow,
};
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::checkpoints::fence;
use crate::database::{Database, in_savepoint};
use crate::error::Outcome;
use crate::notifications::insert_missing;
use crate::rows::{integer, json, position, valid};

pub(crate) struct SqliteRows(pub(crate) Arc<Database>);

#[async_trait]
impl RowStore for SqliteRows {
    async fn open(
        &self,
        generation: &Generation,
        feed: &Feed<'_>,
        start: Position,
    ) -> Result<Position, StoreError> {
        let (of, name) = (generation.clone(), feed.name.to_owned());
        let head = self
            .0
            .read(move |connection| feed_head(connection, &of, &name));
        // A read needs no synced transaction, and mostly the feed is known.
        let head = match head.await? {
            Some(head) => head,
            None => {
                let (of, name) = (generation.clone(), feed.name.to_owned());
                let epoch = feed.epoch.to_owned();
                self.0
                    .write(move |connection| bind_to_feed(connection, &of, (&name, &epoch), start))
                    .await?
            }
        };
        if head.epoch != feed.epoch {
            let (name, ours, theirs) = (feed.name, head.epoch, feed.epoch);
            return Err(StoreError::Corrupt(format!(
                "{generation} belongs to log {ours} of the feed {name:?}, not to log {theirs}"
            )));
        }
        Ok(head.position)
    }

    async fn load(&self, generation: &Generation, needs: &Needs) -> Result<Loaded, StoreError> {
        let (generation, needs) = (generation.clone(), needs.clone());
        self.0
            .read(move |connection| load(connection, &generation, &needs))
            .await
    }

    async fn commit(&self, commit: &HandlerCommit) -> Result<(), StoreError> {
        let commit = commit.clone();
        self.0
            .write(move |connection| write_commit(connection, &commit))
            .await
    }

    async fn register(&self, name: &str, version: u32) -> Result<Registration, StoreError> {
        let name = name.to_owned();
        let queried = name.clone();
        let found = self
            .0
            .read(move |connection| registration(connection, &queried));
        if let Some(found) = found.await?.filter(|found| found.wanted.version >= version) {
            return Ok(found);
        }
        self.0
            .write(move |connection| {
                let mut statement = connection.prepare_cached(
                    "INSERT INTO read_models (name, version, round) VALUES (?1, ?2, 0) \
                     ON CONFLICT (name) DO UPDATE SET version = excluded.version, round = 0 \
                     WHERE excluded.version > version",
                )?;
                statement.execute(params![name, version])?;
                valid(registration(connection, &name)?, "read model")
            })
            .await
    }

    async fn promote(&self, generation: &Generation) -> Result<(), StoreError> {
        let generation = generation.clone();
        self.0
            .write(move |connection| promote(connection, &generation))
            .await
    }
}

#[async_trait]
impl RowReader for SqliteRows {
    async fn row(&self, name: &str, key: &str) -> Result<Option<StoredRow>, StoreError> {
        let (name, key) = (name.to_owned(), key.to_owned());
        self.0
            .read(move |connection| {
                in_served(connection, &name, |generation| {
                    find_row(connection, generation, &key)
                })
            })
            .await
    }

    async fn rows(&self, name: &str, page: &RowPage<'_>) -> Result<Vec<StoredRow>, StoreError> {
        let (name, link) = (name.to_owned(), page.link.to_owned());
        let (after, limit) = (page.after.map(str::to_owned), page.limit);
        self.0
            .read(move |connection| {
                in_served(connection, &name, |generation| {
                    linked_rows(connection, generation, &link, after.as_deref(), limit)
                })
            })
            .await
    }

    async fn states(&self) -> Result<Vec<ModelState>, StoreError> {
        self.0
            .read(|connection| in_savepoint(connection, states))
            .await
    }

    async fn rebuild(&self, name: &str) -> Result<Option<Generation>, StoreError> {
        let name = name.to_owned();
        self.0
            .write(move |connection| {
                let statement = "UPDATE read_models SET round = round + 1 WHERE name = ?1";
                connection.prepare_cached(statement)?.execute([&name])?;
                Ok(registration(connection, &name)?.map(|found| found.wanted))
            })
            .await
    }
}

/// Reads the served generation; looks it up and reads it in one savepoint, so that a concurrent
/// promotion is not seen in between.
fn in_served<T>(
    connection: &Connection,
    name: &str,
    body: impl FnOnce(&Generation) -> Outcome<T>,
) -> Outcome<T> {
    in_savepoint(connection, |connection| {
        let generation = served(connection, name)?;
        body(&generation.ok_or_else(|| not_built_yet(name))?)
    })
}

fn not_built_yet(name: &str) -> StoreError {
    StoreError::NotYet(format!("the read model {name:?} is still being built"))
}

/// Binds a generation to a feed's log unless it is bound already; returns its head.
fn bind_to_feed(
    connection: &Connection,
    of: &Generation,
    (feed, epoch): (&str, &str),
    start: Position,
) -> Outcome<Head> {
    let insert = "INSERT INTO generations VALUES (?1, ?2, ?3, 0) ON CONFLICT DO NOTHING";
    let generation = params![of.name, of.version, integer(of.round)];
    connection.prepare_cached(insert)?.execute(generation)?;
    let insert = "INSERT INTO followed VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING";
    connection.prepare_cached(insert)?.execute(params![
        of.name,
        of.version,
        integer(of.round),
        feed,
        epoch,
        integer(start)
    ])?;
    valid(feed_head(connection, of, feed)?, "position")
}

/// Returns the position and log epoch up to which a generation has processed a feed; `None` if it
/// has not begun.
fn feed_head(connection: &Connection, of: &Generation, feed: &str) -> Outcome<Option<Head>> {
    let query = "SELECT position, epoch FROM followed \
                 WHERE name = ?1 AND version = ?2 AND round = ?3 AND feed = ?4";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params![of.name, of.version, integer(of.round), feed])?;
    let Some(row) = rows.next()? else {
        return Ok(None);
    };
    Ok(Some(Head {
        position: position(row, 0)?,
        epoch: row.get(1)?,
    }))
}

fn load(connection: &Connection, of: &Generation, needs: &Needs) -> Outcome<Loaded> {
    let mut keys: BTreeSet<String> = needs.keys.clone();
    for link in &needs.links {
        keys.extend(keys_of(connection, of, link)?);
    }
    let mut rows = Vec::with_capacity(keys.len());
    for key in &keys {
        rows.extend(find_row(connection, of, key)?);
    }
    let revision = revision(connection, of)?;
    Ok(Loaded { rows, revision })
}

fn revision(connection: &Connection, of: &Generation) -> Outcome<u64> {
    let query = "SELECT revision FROM generations WHERE name = ?1 AND version = ?2 AND round = ?3";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params![of.name, of.version, integer(of.round)])?;
    match rows.next()? {
        Some(row) => position(row, 0),
        None => Ok(0),
    }
}

fn keys_of(connection: &Connection, of: &Generation, link: &str) -> Outcome<Vec<String>> {
    let query = "SELECT key FROM row_links \
                 WHERE name = ?1 AND version = ?2 AND round = ?3 AND link = ?4";
    let mut statement = connection.prepare_cached(query)?;
    let of = params![of.name, of.version, integer(of.round), link];
    let keys = statement.query_map(of, |row| row.get(0))?;
    Ok(keys.collect::<Result<_, _>>()?)
}

fn find_row(connection: &Connection, of: &Generation, key: &str) -> Outcome<Option<StoredRow>> {
    let query = "SELECT key, body FROM rows \
                 WHERE name = ?1 AND version = ?2 AND round = ?3 AND key = ?4";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params![of.name, of.version, integer(of.round), key])?;
    rows.next()?.map(stored_row).transpose()
}

fn linked_rows(
    connection: &Connection,
    of: &Generation,
    link: &str,
    after: Option<&str>,
    limit: usize,
) -> Outcome<Vec<StoredRow>> {
    let query = "SELECT key, body FROM row_links JOIN rows USING (name, version, round, key) \
                 WHERE name = ?1 AND version = ?2 AND round = ?3 AND link = ?4 AND key > ?5 \
                 ORDER BY key LIMIT ?6";
    let mut statement = connection.prepare_cached(query)?;
    let after = after.unwrap_or_default();
    let of = params![
        of.name,
        of.version,
        integer(of.round),
        link,
        after,
        limit as i64
    ];
    let mut rows = statement.query(of)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(stored_row(row)?);
    }
    Ok(found)
}

fn stored_row(row: &Row<'_>) -> Outcome<StoredRow> {
    Ok(StoredRow {
        key: row.get(0)?,
        body: json(row.get(1)?)?,
    })
}

fn write_commit(connection: &Connection, commit: &HandlerCommit) -> Outcome<()> {
    let of = &commit.generation;
    let raise = "UPDATE generations SET revision = revision + 1 \
                 WHERE name = ?1 AND version = ?2 AND round = ?3 AND revision = ?4";
    fence(connection.prepare_cached(raise)?.execute(params![
        of.name,
        of.version,
        integer(of.round),
        integer(commit.revision)
    ])?)?;
    let update = "UPDATE followed SET position = ?5 \
                  WHERE name = ?1 AND version = ?2 AND round = ?3 AND feed = ?4 AND position = ?6";
    fence(connection.prepare_cached(update)?.execute(params![
        of.name,
        of.version,
        integer(of.round),
        commit.feed,
        integer(commit.to),
        integer(commit.from)
    ])?)?;
    for row in &commit.rows {
        write_row(connection, of, row)?;
    }
    insert_missing(connection, &commit.notifications)
}

fn write_row(connection: &Connection, of: &Generation, row: &RowWrite) -> Outcome<()> {
    let (name, version, round) = (&of.name, of.version, integer(of.round));
    let at = params![name, version, round, row.key];
    let unlink = "DELETE FROM row_links WHERE name = ?1 AND version = ?2 AND round = ?3 \
                  AND key = ?4";
    connection.prepare_cached(unlink)?.execute(at)?;
    let Some(body) = &row.body else {
        let remove = "DELETE FROM rows WHERE name = ?1 AND version = ?2 AND round = ?3 \
                      AND key = ?4";
        connection.prepare_cached(remove)?.execute(at)?;
        return Ok(());
    };
    connection
        .prepare_cached("INSERT OR REPLACE INTO rows VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![name, version, round, row.key, body.get()])?;
    let mut link =
        connection.prepare_cached("INSERT INTO row_links VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for text in &row.links {
        link.execute(params![name, version, round, text, row.key])?;
    }
    Ok(())
}

/// Query of registrations, whose columns [`registered`] reads.
const REGISTRATION: &str =
    "SELECT name, version, round, served_version, served_round FROM read_models";

fn registration(connection: &Connection, name: &str) -> Outcome<Option<Registration>> {
    let mut statement = connection.prepare_cached(&format!("{REGISTRATION} WHERE name = ?1"))?;
    Ok(statement.query_row([name], registered).optional()?)
}

fn registered(row: &Row<'_>) -> rusqlite::Result<Registration> {
    let name: String = row.get(0)?;
    let generation = |version: u32, round: i64| Generation {
        name: name.clone(),
        version,
        round: round.unsigned_abs(),
    };
    let served: (Option<u32>, Option<i64>) = (row.get(3)?, row.get(4)?);
    Ok(Registration {
        wanted: generation(row.get(1)?, row.get(2)?),
        serving: served
            .0
            .zip(served.1)
            .map(|(version, round)| generation(version, round)),
    })
}

fn served(connection: &Connection, name: &str) -> Outcome<Option<Generation>> {
    Ok(registration(connection, name)?.and_then(|found| found.serving))
}

fn promote(connection: &Connection, of: &Generation) -> Outcome<()> {
    let (name, version, round) = (&of.name, of.version, integer(of.round));
    let update = "UPDATE read_models SET served_version = ?2, served_round = ?3 \
                  WHERE name = ?1 AND version = ?2 AND round = ?3";
    let promoted = connection
        .prepare_cached(update)?
        .execute(params![name, version, round])?;
    if promoted == 0 {
        return Ok(());
    }
    for table in ["rows", "row_links", "followed", "generations"] {
        let others =
            format!("DELETE FROM {table} WHERE name = ?1 AND NOT (version = ?2 AND round = ?3)");
        connection.execute(&others, params![name, version, round])?;
    }
    Ok(())
}

fn states(connection: &Connection) -> Outcome<Vec<ModelState>> {
    let mut statement = connection.prepare_cached(&format!("{REGISTRATION} ORDER BY name"))?;
    let all = statement.query_map([], registered)?;
    let all: Vec<Registration> = all.collect::<Result<_, _>>()?;
    let states = all.into_iter().map(|registration| {
        Ok(ModelState {
            served: positions(connection, registration.serving.as_ref())?,
            building: positions(connection, registration.building())?,
            registration,
        })
    });
    states.collect()
}

fn positions(
    connection: &Connection,
    of: Option<&Generation>,
) -> Outcome<BTreeMap<String, Position>> {
    let Some(of) = of else {
        return Ok(BTreeMap::new());
    };
    let query = "SELECT feed, position FROM followed \
                 WHERE name = ?1 AND version = ?2 AND round = ?3";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query(params![of.name, of.version, integer(of.round)])?;
    let mut found = BTreeMap::new();
    while let Some(row) = rows.next()? {
        found.insert(row.get(0)?, position(row, 1)?);
    }
    Ok(found)
}
