//! Making anew in the embedded store: rounds on record, and a second half of the tables,
//! which takes the place of the first within one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::Position;
use bakehouse_engine::ports::{
    PresentationStore, Rebuild, RebuildState, Rebuilds, ShadowStores, Slot, SourceStore, StoreError,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::checkpoints::{fence, position_of};
use crate::database::{Database, Outcome};
use crate::presentation::SqlitePresentation;
use crate::rows::{integer, position};
use crate::shadow;
use crate::source::SqliteSource;

/// What a stage writes.
#[derive(Clone, Copy)]
struct Part {
    /// Of its checkpoint.
    name: &'static str,
    tables: &'static [&'static str],
}

/// One part of the store, twice.
pub(crate) struct SqliteRebuilds<S: ?Sized> {
    database: Arc<Database>,
    part: Part,
    open: fn(Arc<Database>, Slot) -> Arc<S>,
}

pub(crate) fn of_source(database: Arc<Database>) -> SqliteRebuilds<dyn SourceStore> {
    let part = Part {
        name: "orders-manager",
        tables: &["entities", "snapshots"],
    };
    SqliteRebuilds {
        database,
        part,
        open: |database, slot| Arc::new(SqliteSource { database, slot }),
    }
}

pub(crate) fn of_presentation(database: Arc<Database>) -> SqliteRebuilds<dyn PresentationStore> {
    let part = Part {
        name: "data-baker",
        tables: &["documents", "frames"],
    };
    SqliteRebuilds {
        database,
        part,
        open: |database, slot| Arc::new(SqlitePresentation { database, slot }),
    }
}

impl<S: ?Sized> SqliteRebuilds<S> {
    async fn write<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection, Part) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let part = self.part;
        let job = move |connection: &Connection| body(connection, part);
        self.database.write(job).await
    }
}

#[async_trait]
impl<S: ?Sized + Send + Sync> Rebuilds for SqliteRebuilds<S> {
    async fn ask(&self) -> Result<Rebuild, StoreError> {
        self.write(ask).await
    }

    async fn last(&self) -> Result<Rebuild, StoreError> {
        let part = self.part;
        self.database
            .read(move |connection| last(connection, part))
            .await
    }

    async fn give_up(&self, round: u64, reason: &str) -> Result<(), StoreError> {
        let reason = reason.to_owned();
        let given_up = self.write(move |connection, part| {
            let end = RebuildState::GivenUp;
            end_round(connection, part, round, end, Some(&reason)).map(|_| ())
        });
        given_up.await
    }

    async fn progress(&self, round: u64) -> Result<(Position, Position), StoreError> {
        let part = self.part;
        let read = move |connection: &Connection| {
            let made = made(connection, part, round)?;
            Ok((
                made.unwrap_or_default(),
                position_of(connection, part.name)?,
            ))
        };
        self.database.read(read).await
    }
}

#[async_trait]
impl<S: ?Sized + Send + Sync> ShadowStores<S> for SqliteRebuilds<S> {
    async fn beside(&self, round: u64) -> Result<Arc<S>, StoreError> {
        self.write(move |connection, part| begin(connection, part, round))
            .await?;
        Ok((self.open)(self.database.clone(), Slot::Shadow(round)))
    }

    async fn replace(&self, round: u64, at: Position) -> Result<(), StoreError> {
        self.write(move |connection, part| replace(connection, part, round, at))
            .await
    }

    async fn tidy(&self) -> Result<bool, StoreError> {
        self.write(tidy).await
    }
}

fn ask(connection: &Connection, part: Part) -> Outcome<Rebuild> {
    let ask = "INSERT INTO rebuilds VALUES (?1, 1, ?2, NULL) ON CONFLICT (name) DO UPDATE \
               SET round = round + 1, state = ?2, reason = NULL WHERE state <> ?2";
    let mut ask = connection.prepare_cached(ask)?;
    ask.execute(params![part.name, RebuildState::UnderWay.as_str()])?;
    last(connection, part)
}

fn last(connection: &Connection, part: Part) -> Outcome<Rebuild> {
    let query = "SELECT round, state, reason FROM rebuilds WHERE name = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([part.name])?;
    let Some(row) = rows.next()? else {
        return Ok(Rebuild::default());
    };
    Ok(Rebuild {
        round: position(row, 0)?,
        state: RebuildState::named(&row.get::<_, String>(1)?)?,
        reason: row.get(2)?,
    })
}

/// How many rounds were ended: one, if it was under way.
fn end_round(
    connection: &Connection,
    part: Part,
    round: u64,
    state: RebuildState,
    reason: Option<&str>,
) -> Outcome<usize> {
    let end = "UPDATE rebuilds SET state = ?3, reason = ?4 \
               WHERE name = ?1 AND round = ?2 AND state = ?5";
    let mut end = connection.prepare_cached(end)?;
    let under_way = RebuildState::UnderWay.as_str();
    let values = params![part.name, integer(round), state.as_str(), reason, under_way];
    Ok(end.execute(values)?)
}

fn made(connection: &Connection, part: Part, round: u64) -> Outcome<Option<Position>> {
    let name = Slot::Shadow(round).name(part.name);
    let query = "SELECT position FROM checkpoints WHERE name = ?1";
    let mut query = connection.prepare_cached(query)?;
    let found = query.query_row([name], |row| row.get::<_, i64>(0));
    Ok(found.optional()?.map(|position| position.unsigned_abs()))
}

fn begin(connection: &Connection, part: Part, round: u64) -> Outcome<()> {
    if last(connection, part)?.under_way() != Some(round) {
        return Err(StoreError::Fenced.into());
    }
    let name = Slot::Shadow(round).name(part.name);
    let checkpoint = "INSERT OR IGNORE INTO checkpoints (name, position, entities, epoch) \
                      VALUES (?1, 0, 0, '')";
    connection.prepare_cached(checkpoint)?.execute([name])?;
    for table in part.tables {
        shadow::make(connection, table, round)?;
    }
    Ok(())
}

fn replace(connection: &Connection, part: Part, round: u64, at: Position) -> Outcome<()> {
    fence(end_round(
        connection,
        part,
        round,
        RebuildState::Done,
        None,
    )?)?;
    let is_there = made(connection, part, round)? == Some(at);
    if !is_there || position_of(connection, part.name)? != at {
        return Err(StoreError::Fenced.into());
    }
    let made = Slot::Shadow(round).name(part.name);
    let counts = "UPDATE checkpoints SET (entities, parked) = \
                  (SELECT entities, parked FROM checkpoints WHERE name = ?2) WHERE name = ?1";
    connection.execute(counts, [part.name, &made])?;
    connection.execute("DELETE FROM checkpoints WHERE name = ?1", [&made])?;
    for table in part.tables {
        shadow::replace(connection, table, round)?;
    }
    Ok(())
}

fn tidy(connection: &Connection, part: Part) -> Outcome<bool> {
    let rebuild = last(connection, part)?;
    let mut has_more = false;
    for table in part.tables {
        has_more |= shadow::remove(connection, table, rebuild.ended())?;
    }
    if rebuild.under_way().is_none() {
        let left = format!("{}_r*", part.name);
        connection.execute("DELETE FROM checkpoints WHERE name GLOB ?1", [left])?;
    }
    Ok(has_more)
}
