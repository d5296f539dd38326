//! What was accepted: the message that travels from api-server to events-writer.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::ids;
use crate::{Json, Timestamp};

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
    /// Executes what is parked of it; see [`crate::Resolution`].
    Retry,
    /// Gives up the first that is parked of it, then does as `Retry`.
    Discard,
}

impl Verb {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Retry,
        Self::Discard,
    ];

    /// `INSERT`, `UPDATE`, `DELETE`, `RETRY` or `DISCARD`, as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "INSERT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
            Self::Retry => "RETRY",
            Self::Discard => "DISCARD",
        }
    }

    /// The verb of its stored form; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }
}

/// Who asked for an operation, and on which conditions it may be executed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Who asked, for the record; none where nobody is asked who they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// In whose stead they asked, if not in their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// Whose the entity becomes by being made, and whose it must be to be
    /// changed. None: a new entity is nobody's, and any may be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The version that the entity must be at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
}

impl Terms {
    /// Whether there are none, so that nothing need be written.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Separator between the two hashes of a fingerprint: of the content, and of the request.
const REQUEST_SEPARATOR: char = '+';

fn content_part(fingerprint: &str) -> &str {
    let parts = fingerprint.split_once(REQUEST_SEPARATOR);
    parts.map_or(fingerprint, |(content, _)| content)
}

fn request_part(fingerprint: &str) -> Option<&str> {
    let parts = fingerprint.split_once(REQUEST_SEPARATOR);
    parts.map(|(_, request)| request)
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
    /// Who asked, and on which conditions.
    #[serde(default, skip_serializing_if = "Terms::is_empty")]
    pub terms: Terms,
    /// The operation that led to this one, if any did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// Set when another operation had this one's identity first: the identity
    /// that was taken. Such an operation is kept and refused, never executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<Uuid>,
    /// Hash of what it says; see [`Operation::content_fingerprint`] and
    /// [`Operation::fingerprint_with_request`]. Compared by [`Operation::is_same`].
    pub fingerprint: String,
    /// api-server's clock when it was accepted; for information only.
    pub accepted_at: Timestamp,
}

impl Operation {
    /// Hash of verb, entity, payload and expected version: two operations of one
    /// identity are the same only if this is equal.
    #[must_use]
    pub fn content_fingerprint(
        verb: Verb,
        entity_id: &str,
        payload: &Json,
        terms: &Terms,
    ) -> String {
        let verb = verb.as_str();
        match terms.expected_version {
            None => ids::fingerprint(&[verb, entity_id, payload.get()]),
            Some(version) => {
                ids::fingerprint(&[verb, entity_id, payload.get(), &version.to_string()])
            }
        }
    }

    /// Fingerprint that holds the hash of the request beside that of the content, for
    /// requests whose content depends on settings.
    #[must_use]
    pub fn fingerprint_with_request(content: &str, request: &str) -> String {
        format!("{content}{REQUEST_SEPARATOR}{request}")
    }

    /// Tells whether two fingerprints are of the same operation: of equal content, or of equal
    /// requests where both of them say what was requested. Earlier versions stored the
    /// content's hash alone, so what they stored is compared by that.
    #[must_use]
    pub fn is_same(one: &str, other: &str) -> bool {
        let (content, other_content) = (content_part(one), content_part(other));
        content == other_content || Self::is_same_request(one, other)
    }

    /// Tells whether both fingerprints say what was requested, and that is equal.
    #[must_use]
    pub fn is_same_request(one: &str, other: &str) -> bool {
        match (request_part(one), request_part(other)) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
    }

    /// The same content under an identity of its own, marked as conflicting.
    ///
    /// The new identity depends on the content alone, so that a redelivery of
    /// the conflicting message is again a duplicate and not a second conflict.
    #[must_use]
    pub fn into_conflict(self) -> Self {
        let taken = self.operation_id;
        let content = content_part(&self.fingerprint);
        Self {
            operation_id: ids::derived(&["conflict", &taken.to_string(), content]),
            conflicts_with: Some(taken),
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_request(content: &str, request: &str) -> String {
        Operation::fingerprint_with_request(content, request)
    }

    #[test]
    fn equal_requests_are_the_same_operation_whatever_was_filled_in() {
        let (euro, yen) = (with_request("eur", "r"), with_request("jpy", "r"));
        assert!(Operation::is_same(&euro, &yen));
        assert!(Operation::is_same_request(&euro, &yen));
        assert!(!Operation::is_same(&euro, &with_request("jpy", "s")));
    }

    #[test]
    fn what_earlier_versions_stored_is_compared_by_its_content() {
        let new = with_request("c", "r");
        assert!(Operation::is_same("c", &new) && Operation::is_same(&new, "c"));
        assert!(Operation::is_same("c", "c") && !Operation::is_same("c", "d"));
        assert!(!Operation::is_same_request("c", "c"));
        assert!(!Operation::is_same("d", &new));
        // Another way of writing the same content.
        assert!(Operation::is_same(&with_request("c", "s"), &new));
    }
}
