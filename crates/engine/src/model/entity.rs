//! An entity of the source state: what the engine keeps around a domain's state.

use serde::Serialize;

use crate::{Json, Position, Timestamp, to_json};

/// One entity after its latest executed operation.
#[derive(Clone, Debug, PartialEq)]
pub struct Entity<S> {
    /// Given when its creation was accepted.
    pub id: String,
    /// Whose it is, if anybody's: see [`crate::Terms::owner`].
    pub owner: Option<String>,
    /// 1, 2, 3, … without gaps in creation order, over all entities of the domain.
    pub number: u64,
    /// Position of the latest executed operation that it includes.
    pub position: Position,
    /// How many executed operations it includes.
    pub version: u64,
    /// Creation time of its first event.
    pub created_at: Timestamp,
    /// Creation time of its latest executed event.
    pub updated_at: Timestamp,
    /// The domain's own.
    pub state: S,
}

/// An [`Entity`] as stores hold it: the state as JSON text.
pub type EntityRecord = Entity<Json>;

impl<S: Serialize> Entity<S> {
    /// As stores hold it.
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
    /// The same envelope around another form of the state.
    ///
    /// # Errors
    /// Whatever the conversion returns.
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
