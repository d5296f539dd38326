//! Checkpoints: position and log epoch of each stage.

use bakehouse_engine::Position;
use bakehouse_engine::ports::{Head, StoreError};
use mongodb::bson::{Document, doc};

use crate::connection::Connection;
use crate::convert::{Fields, integer};

/// Collection of the checkpoints, by stage name.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// Checkpoint of an output that is bound to a log.
pub(crate) struct BoundCheckpoint {
    pub(crate) position: Position,
    /// Id of the rebuild that produced the output; 0 if it was never rebuilt.
    pub(crate) generation: u64,
}

/// Binds the output of a stage to the log with this epoch, unless it is bound already, and returns
/// its checkpoint. A new checkpoint starts at `start`.
///
/// # Errors
/// [`StoreError::Corrupt`] if the output is bound to another log.
pub(crate) async fn bind_to_log(
    connection: &Connection,
    name: &str,
    epoch: &str,
    start: Position,
) -> Result<BoundCheckpoint, StoreError> {
    let fresh = doc! { "position": integer(start), "epoch": epoch };
    let row = connection.find_or_create(CHECKPOINTS, name, fresh).await?;
    let bound = head(&row)?;
    if bound.epoch != epoch {
        let text = format!(
            "the output of {name} belongs to log {}, not {epoch}; check that both database URIs \
             belong together",
            bound.epoch
        );
        return Err(StoreError::Corrupt(text));
    }
    let generation = Fields(&row).optional_position("generation")?;
    Ok(BoundCheckpoint {
        position: bound.position,
        generation: generation.unwrap_or_default(),
    })
}

/// Returns the checkpoint of a stage; `None` before its first start.
pub(crate) async fn find(connection: &Connection, name: &str) -> Result<Option<Head>, StoreError> {
    let row = connection.find_by_id(CHECKPOINTS, name).await?;
    row.as_ref().map(head).transpose()
}

fn head(row: &Document) -> Result<Head, StoreError> {
    let fields = Fields(row);
    Ok(Head {
        epoch: fields.text("epoch")?.to_owned(),
        position: fields.position("position")?,
    })
}
