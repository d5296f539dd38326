//! Effects that a process manager requests: commands and notifications.

use super::HandlerError;
use crate::model::notification::Request;
use crate::{Domain, Json, Verb, to_json};

/// Effect requested by a process manager.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Command to its own domain.
    Command(IssuedCommand),
    /// Notification, sent once.
    Notify(Request),
}

/// Command issued by a process manager.
#[derive(Clone, Debug)]
pub struct IssuedCommand {
    pub(super) service_name: &'static str,
    pub(super) schema_version: u32,
    pub(super) entity_id: String,
    pub(super) verb: Verb,
    pub(super) payload: Json,
}

impl Effect {
    /// Creates a command to the entity of this id. It is scheduled like any other command, with an
    /// id derived from the event, and may be rejected.
    ///
    /// # Errors
    /// [`HandlerError`] if the command cannot be serialized to JSON.
    pub fn command<D: Domain>(entity_id: &str, command: &D::Command) -> Result<Self, HandlerError> {
        Ok(Self::Command(IssuedCommand {
            service_name: D::NAME,
            schema_version: D::version_of(command),
            entity_id: entity_id.to_owned(),
            verb: D::verb(command),
            payload: to_json(command)?,
        }))
    }
}
