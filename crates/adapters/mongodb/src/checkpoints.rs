//! How far each stage has come, and of which log.

use bakehouse_engine::Position;
use bakehouse_engine::ports::{Head, StoreError};
use mongodb::bson::{Document, doc};

use crate::connection::Connection;
use crate::convert::{Fields, integer};

/// Where each stage's progress is, by the stage's name.
pub(crate) const CHECKPOINTS: &str = "checkpoints";

/// Where what a stage makes stands.
pub(crate) struct Tied {
    pub(crate) position: Position,
    /// The round in which it was made anew; 0: it never was.
    pub(crate) generation: u64,
}

/// Ties what a stage makes to the log of this epoch, where it is tied to none
/// yet, and lets it begin after `start`; says how far it has come.
pub(crate) async fn tie(
    connection: &Connection,
    name: &str,
    epoch: &str,
    start: Position,
) -> Result<Tied, StoreError> {
    let fresh = doc! { "position": integer(start), "epoch": epoch };
    let made = connection.find_or_make(CHECKPOINTS, name, fresh).await?;
    let tied = head(&made)?;
    if tied.epoch != epoch {
        let text = format!(
            "what {name} has made belongs to log {}, not {epoch}",
            tied.epoch
        );
        return Err(StoreError::Corrupt(text));
    }
    let generation = Fields(&made).optional_position("generation")?;
    Ok(Tied {
        position: tied.position,
        generation: generation.unwrap_or_default(),
    })
}

/// How far a stage has come; `None` before its first start.
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
