//! Entities of the source state: a domain's state with the metadata of the engine.

use serde::Serialize;

use crate::{Json, Position, Timestamp, to_json};

/// One entity after its latest executed operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity<S> {
    /// Id, assigned when its creation was accepted.
    pub id: String,
    /// Owner, if there is one; see [`crate::Terms::owner`].
    pub owner: Option<String>,
    /// Number in creation order over all entities of the domain: 1, 2, 3, … without gaps.
    pub number: u64,
    /// Position of the latest executed operation that it includes.
    pub position: Position,
    /// Number of executed operations that it includes.
    pub version: u64,
    /// Creation time of its first log entry.
    pub created_at: Timestamp,
    /// Creation time of its latest executed log entry.
    pub updated_at: Timestamp,
    /// State of the domain.
    pub state: S,
}

/// Stored form of an [`Entity`], with the state as JSON text.
pub type EntityRecord = Entity<Json>;

impl<S: Serialize> Entity<S> {
    /// Returns the stored form.
    ///
    /// # Errors
    /// When the state has no JSON form.
    pub fn record(&self) -> Result<EntityRecord, serde_json::Error> {
        Ok(Entity {
            id: self.id.clone(),
            owner: self.owner.clone(),
            number: self.number,
            position: self.position,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            state: to_json(&self.state)?,
        })
    }
}

impl<S> Entity<S> {
    /// Converts the state and keeps the metadata.
    ///
    /// # Errors
    /// The error of the conversion.
    pub fn try_map<T, E>(self, convert: impl FnOnce(S) -> Result<T, E>) -> Result<Entity<T>, E> {
        Ok(Entity {
            id: self.id,
            owner: self.owner,
            number: self.number,
            position: self.position,
            version: self.version,
            created_at: self.created_at,
            updated_at: self.updated_at,
            state: convert(self.state)?,
        })
    }
}
