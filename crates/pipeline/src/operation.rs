//! What was accepted: the message that travels from api-server to events-writer.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Json, Timestamp, ids};

/// What an operation does to its entity. A coarse label for readers of the
/// log; the meaning is in the payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// Brings the entity into being.
    Insert,
    /// Changes it.
    Update,
    /// Ends it.
    Delete,
}

impl Verb {
    /// `INSERT`, `UPDATE` or `DELETE`, as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }

    /// The verb of its stored form; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Insert, Self::Update, Self::Delete]
            .into_iter()
            .find(|verb| verb.as_str() == text)
    }
}

/// An accepted operation. Unknown fields of the message are ignored, so that a
/// newer api-server can talk to an older writer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Operation {
    /// Its identity: the log holds it once, however often it is delivered.
    pub operation_id: Uuid,
    /// The domain's name.
    pub service_name: String,
    /// What it does.
    pub operation: Verb,
    /// Whom it concerns.
    pub entity_id: String,
    /// The domain's command.
    pub payload: Json,
    /// Version of the payload's form.
    pub schema_version: u32,
    /// Shared by everything that one outside request set off.
    pub correlation_id: Uuid,
    /// The operation that led to this one, if any did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// Set when another operation had this one's identity first: the identity
    /// that was taken. Such an operation is kept and refused, never executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<Uuid>,
    /// Hash of what it says; see [`Operation::content_fingerprint`].
    pub fingerprint: String,
    /// api-server's clock when it was accepted; for information only.
    pub accepted_at: Timestamp,
}

impl Operation {
    /// Hash of verb, entity and payload: two operations of one identity are the
    /// same only if this is equal.
    #[must_use]
    pub fn content_fingerprint(verb: Verb, entity_id: &str, payload: &Json) -> String {
        ids::fingerprint(&[verb.as_str(), entity_id, payload.get()])
    }

    /// The same content under an identity of its own, marked as conflicting.
    ///
    /// The new identity depends on the content alone, so that a redelivery of
    /// the conflicting message is again a duplicate and not a second conflict.
    #[must_use]
    pub fn into_conflict(self) -> Self {
        let taken = self.operation_id;
        Self {
            operation_id: ids::derived(&["conflict", &taken.to_string(), &self.fingerprint]),
            conflicts_with: Some(taken),
            ..self
        }
    }
}
