//! Checkpoints of the stages: position and log epoch.

use bakehouse_engine::Position;
use bakehouse_engine::ports::StoreError;
use rusqlite::{Connection, params};

use crate::error::Outcome;
use crate::rows::{integer, position};

/// Binds a stage's checkpoint to the log of this epoch if it is bound to none yet, starting after
/// `start`; returns its position.
///
/// # Errors
/// [`StoreError::Corrupt`] if the checkpoint is bound to another log.
pub(crate) fn bind_to_log(
    connection: &Connection,
    name: &str,
    epoch: &str,
    start: Position,
) -> Outcome<Position> {
    let bind = "UPDATE checkpoints SET epoch = ?2, position = ?3 WHERE name = ?1 AND epoch = ''";
    connection
        .prepare_cached(bind)?
        .execute(params![name, epoch, integer(start)])?;
    let bound = epoch_of(connection, name)?;
    if bound != epoch {
        let text = format!("the checkpoint of {name} belongs to log {bound}, not {epoch}");
        return Err(StoreError::Corrupt(text).into());
    }
    position_of(connection, name)
}

/// Returns the epoch of the log that a checkpoint is bound to; empty if it is bound to none.
pub(crate) fn epoch_of(connection: &Connection, name: &str) -> Outcome<String> {
    let query = "SELECT epoch FROM checkpoints WHERE name = ?1";
    let mut statement = connection.prepare_cached(query)?;
    Ok(statement.query_row([name], |row| row.get(0))?)
}

/// Returns the position of a checkpoint.
pub(crate) fn position_of(connection: &Connection, name: &str) -> Outcome<Position> {
    let query = "SELECT position FROM checkpoints WHERE name = ?1";
    let mut statement = connection.prepare_cached(query)?;
    let mut rows = statement.query([name])?;
    let row = rows
        .next()?
        .ok_or_else(|| StoreError::Corrupt(format!("no checkpoint of {name}")))?;
    position(row, 0)
}

/// Moves a checkpoint from one position to another.
///
/// # Errors
/// [`StoreError::Fenced`] if it is not at `from`.
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

/// Checks that a conditional write changed its row.
///
/// # Errors
/// [`StoreError::Fenced`] if it did not, because its condition no longer holds.
pub(crate) fn fence(touched: usize) -> Outcome<()> {
    if touched == 1 {
        return Ok(());
    }
    Err(StoreError::Fenced.into())
}
