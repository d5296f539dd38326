//! Rebuilds in SQLite: records of the rebuilds, and shadow tables that replace the live ones in
//! one transaction.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::Position;
use bakehouse_engine::ports::{
    PresentationStore, Rebuild, RebuildState, Rebuilds, ShadowStores, Slot, SourceStore, StoreError,
};
use rusqlite::{Connection, OptionalExtension, params};

use crate::checkpoints::{fence, position_of};
use crate::database::Database;
use crate::error::Outcome;
use crate::presentation::SqlitePresentation;
use crate::rows::{integer, position};
use crate::shadow;
use crate::source::SqliteSource;

/// Checkpoint and tables that a stage writes.
#[derive(Clone, Copy)]
struct StageOutput {
    /// Name of the stage's checkpoint.
    name: &'static str,
    tables: &'static [&'static str],
}

/// Rebuilds of the output of one stage.
pub(crate) struct SqliteRebuilds<S: ?Sized> {
    database: Arc<Database>,
    output: StageOutput,
    open: fn(Arc<Database>, Slot) -> Arc<S>,
}

pub(crate) fn source(database: Arc<Database>) -> SqliteRebuilds<dyn SourceStore> {
    let output = StageOutput {
        name: "orders-manager",
        tables: &["entities", "snapshots"],
    };
    SqliteRebuilds {
        database,
        output,
        open: |database, slot| Arc::new(SqliteSource { database, slot }),
    }
}

pub(crate) fn presentation(database: Arc<Database>) -> SqliteRebuilds<dyn PresentationStore> {
    let output = StageOutput {
        name: "data-baker",
        tables: &["documents", "frames"],
    };
    SqliteRebuilds {
        database,
        output,
        open: |database, slot| Arc::new(SqlitePresentation { database, slot }),
    }
}

impl<S: ?Sized> SqliteRebuilds<S> {
    async fn write<T: Send + 'static>(
        &self,
        body: impl FnOnce(&Connection, StageOutput) -> Outcome<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        let output = self.output;
        let job = move |connection: &Connection| body(connection, output);
        self.database.write(job).await
    }
}

#[async_trait]
impl<S: ?Sized + Send + Sync> Rebuilds for SqliteRebuilds<S> {
    async fn request(&self) -> Result<Rebuild, StoreError> {
        self.write(request).await
    }

    async fn last(&self) -> Result<Rebuild, StoreError> {
        let output = self.output;
        self.database
            .read(move |connection| last(connection, output))
            .await
    }

    async fn abandon(&self, rebuild_id: u64, reason: &str) -> Result<(), StoreError> {
        let reason = reason.to_owned();
        let ended = self.write(move |connection, output| {
            let end = RebuildState::Abandoned;
            end_rebuild(connection, output, rebuild_id, end, Some(&reason)).map(|_| ())
        });
        ended.await
    }

    async fn progress(&self, rebuild_id: u64) -> Result<(Position, Position), StoreError> {
        let output = self.output;
        let read = move |connection: &Connection| {
            let shadow = shadow_position(connection, output, rebuild_id)?;
            Ok((
                shadow.unwrap_or_default(),
                position_of(connection, output.name)?,
            ))
        };
        self.database.read(read).await
    }
}

#[async_trait]
impl<S: ?Sized + Send + Sync> ShadowStores<S> for SqliteRebuilds<S> {
    async fn shadow(&self, rebuild_id: u64) -> Result<Arc<S>, StoreError> {
        self.write(move |connection, output| create_shadow(connection, output, rebuild_id))
            .await?;
        Ok((self.open)(self.database.clone(), Slot::Shadow(rebuild_id)))
    }

    async fn swap(&self, rebuild_id: u64, at: Position) -> Result<(), StoreError> {
        self.write(move |connection, output| replace(connection, output, rebuild_id, at))
            .await
    }

    async fn remove_obsolete(&self) -> Result<bool, StoreError> {
        self.write(remove_obsolete).await
    }
}

fn request(connection: &Connection, output: StageOutput) -> Outcome<Rebuild> {
    let ask = "INSERT INTO rebuilds VALUES (?1, 1, ?2, NULL) ON CONFLICT (name) DO UPDATE \
               SET round = round + 1, state = ?2, reason = NULL WHERE state <> ?2";
    let mut ask = connection.prepare_cached(ask)?;
    ask.execute(params![output.name, RebuildState::InProgress.as_str()])?;
    last(connection, output)
}

fn last(connection: &Connection, output: StageOutput) -> Outcome<Rebuild> {
    let query = "SELECT round, state, reason FROM rebuilds WHERE name = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([output.name])?;
    let Some(row) = rows.next()? else {
        return Ok(Rebuild::default());
    };
    Ok(Rebuild {
        rebuild_id: position(row, 0)?,
        state: RebuildState::parse(&row.get::<_, String>(1)?)?,
        reason: row.get(2)?,
    })
}

/// Ends a rebuild if it is under way; returns the number of changed rows, 0 or 1.
fn end_rebuild(
    connection: &Connection,
    output: StageOutput,
    rebuild_id: u64,
    state: RebuildState,
    reason: Option<&str>,
) -> Outcome<usize> {
    let end = "UPDATE rebuilds SET state = ?3, reason = ?4 \
               WHERE name = ?1 AND round = ?2 AND state = ?5";
    let mut end = connection.prepare_cached(end)?;
    let under_way = RebuildState::InProgress.as_str();
    let values = params![
        output.name,
        integer(rebuild_id),
        state.as_str(),
        reason,
        under_way
    ];
    Ok(end.execute(values)?)
}

fn shadow_position(
    connection: &Connection,
    output: StageOutput,
    rebuild_id: u64,
) -> Outcome<Option<Position>> {
    let name = Slot::Shadow(rebuild_id).name(output.name);
    let query = "SELECT position FROM checkpoints WHERE name = ?1";
    let mut query = connection.prepare_cached(query)?;
    let found = query.query_row([name], |row| row.get::<_, i64>(0));
    Ok(found.optional()?.map(|position| position.unsigned_abs()))
}

fn create_shadow(connection: &Connection, output: StageOutput, rebuild_id: u64) -> Outcome<()> {
    if last(connection, output)?.in_progress() != Some(rebuild_id) {
        return Err(StoreError::Fenced.into());
    }
    let name = Slot::Shadow(rebuild_id).name(output.name);
    let checkpoint = "INSERT OR IGNORE INTO checkpoints (name, position, entities, epoch) \
                      VALUES (?1, 0, 0, '')";
    connection.prepare_cached(checkpoint)?.execute([name])?;
    for table in output.tables {
        shadow::create(connection, table, rebuild_id)?;
    }
    Ok(())
}

fn replace(
    connection: &Connection,
    output: StageOutput,
    rebuild_id: u64,
    at: Position,
) -> Outcome<()> {
    fence(end_rebuild(
        connection,
        output,
        rebuild_id,
        RebuildState::Done,
        None,
    )?)?;
    let is_shadow_at = shadow_position(connection, output, rebuild_id)? == Some(at);
    if !is_shadow_at || position_of(connection, output.name)? != at {
        return Err(StoreError::Fenced.into());
    }
    let shadow_name = Slot::Shadow(rebuild_id).name(output.name);
    let counts = "UPDATE checkpoints SET (entities, parked) = \
                  (SELECT entities, parked FROM checkpoints WHERE name = ?2) WHERE name = ?1";
    connection.execute(counts, [output.name, &shadow_name])?;
    connection.execute("DELETE FROM checkpoints WHERE name = ?1", [&shadow_name])?;
    for table in output.tables {
        shadow::replace(connection, table, rebuild_id)?;
    }
    Ok(())
}

fn remove_obsolete(connection: &Connection, output: StageOutput) -> Outcome<bool> {
    let rebuild = last(connection, output)?;
    let mut has_more = false;
    for table in output.tables {
        has_more |= shadow::remove(connection, table, rebuild.ended())?;
    }
    if rebuild.in_progress().is_none() {
        let obsolete = format!("{}_r*", output.name);
        connection.execute("DELETE FROM checkpoints WHERE name GLOB ?1", [obsolete])?;
    }
    Ok(has_more)
}
