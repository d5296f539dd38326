//! How far each stage has come, and of which log.

use bakehouse_engine::Position;
use bakehouse_engine::ports::StoreError;
use rusqlite::{Connection, params};

use crate::database::Outcome;
use crate::rows::{integer, position};

/// Ties a stage's half of the store to the log of this epoch, where it is tied
/// to none yet, and lets it begin after `start`; says how far it has come.
pub(crate) fn tie(
    connection: &Connection,
    name: &str,
    epoch: &str,
    start: Position,
) -> Outcome<Position> {
    let tie = "UPDATE checkpoints SET epoch = ?2, position = ?3 WHERE name = ?1 AND epoch = ''";
    connection
        .prepare_cached(tie)?
        .execute(params![name, epoch, integer(start)])?;
    let tied = epoch_of(connection, name)?;
    if tied != epoch {
        let text = format!("what {name} has made belongs to log {tied}, not {epoch}");
        return Err(StoreError::Corrupt(text).into());
    }
    position_of(connection, name)
}

/// The log that a stage's half of the store is tied to; empty: none yet.
pub(crate) fn epoch_of(connection: &Connection, name: &str) -> Outcome<String> {
    let query = "SELECT epoch FROM checkpoints WHERE name = ?1";
    let mut statement = connection.prepare_cached(query)?;
    Ok(statement.query_row([name], |row| row.get(0))?)
}

/// How far a stage has come.
pub(crate) fn position_of(connection: &Connection, name: &str) -> Outcome<Position> {
    let query = "SELECT position FROM checkpoints WHERE name = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([name])?;
    let row = rows
        .next()?
        .ok_or(StoreError::Corrupt("no checkpoint".into()))?;
    position(row, 0)
}

/// Moves a checkpoint, if it is where it must be.
pub(crate) fn advance(
    connection: &Connection,
    name: &str,
    from: Position,
    to: Position,
) -> Outcome<()> {
    let update = "UPDATE checkpoints SET position = ?2 WHERE name = ?1 AND position = ?3";
    let mut statement = connection.prepare_cached(update)?;
    fence(statement.execute(params![name, integer(to), integer(from)])?)
}

/// A guarded write that touched nothing found the guard not to hold.
pub(crate) fn fence(touched: usize) -> Outcome<()> {
    if touched == 1 {
        return Ok(());
    }
    Err(StoreError::Fenced.into())
}
