//! Accepted operations: the messages from api-server to events-writer.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::ids;
use crate::{Json, Timestamp};

/// Coarse label of the effect of an operation on its entity, for readers of the log. The payload
/// holds the details.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verb {
    /// Creates the entity.
    Insert,
    /// Changes the entity.
    Update,
    /// Deletes the entity.
    Delete,
    /// Retries the parked operations of the entity; see [`crate::Resolution`].
    Retry,
    /// Discards the first parked operation of the entity, then retries the others.
    Discard,
}

impl Verb {
    /// All verbs.
    pub const ALL: [Self; 5] = [
        Self::Insert,
        Self::Update,
        Self::Delete,
        Self::Retry,
        Self::Discard,
    ];

    /// Returns the stored form: `INSERT`, `UPDATE`, `DELETE`, `RETRY` or `DISCARD`.
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

    /// Reads the stored form. Returns `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|verb| verb.as_str() == text)
    }
}

/// Sender of an operation, and the conditions of its execution.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    /// Authenticated sender, for the record; `None` without authentication.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// Subject that the sender acts for, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// Owner of an entity that is created; required owner of an entity that is changed. `None`: a
    /// new entity has no owner, and any entity may be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Version that the entity must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_version: Option<u64>,
}

impl Terms {
    /// Checks whether all terms are absent; such terms are not serialised.
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

/// An accepted operation. Unknown fields of the message are ignored, so that a newer api-server is
/// compatible with an older events-writer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Operation {
    /// Identity. The log holds it once, however often it is delivered.
    pub operation_id: Uuid,
    /// Name of the domain.
    pub service_name: String,
    /// Verb. The field has the name of its JSON member in the queue and in receipts.
    pub operation: Verb,
    /// Id of the entity.
    pub entity_id: String,
    /// Command of the domain, or a [`crate::Resolution`].
    pub payload: Json,
    /// Schema version of the payload.
    pub schema_version: u32,
    /// Correlation id, shared by all operations that one external request led to.
    pub correlation_id: Uuid,
    /// Sender and conditions.
    #[serde(default, skip_serializing_if = "Terms::is_empty")]
    pub terms: Terms,
    /// Id of the operation that led to this one, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Uuid>,
    /// Original operation id, if another operation already used it. Such an operation is logged and
    /// rejected, never executed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conflicts_with: Option<Uuid>,
    /// Hash of the content; see [`Operation::content_fingerprint`] and
    /// [`Operation::fingerprint_with_request`]. Compared by [`Operation::is_same`].
    pub fingerprint: String,
    /// api-server's clock when it was accepted; for information only.
    pub accepted_at: Timestamp,
}

impl Operation {
    /// Returns the hash of verb, entity, payload and expected version. Two operations with the same
    /// id are duplicates only if it is equal.
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

    /// Combines the hash of the content with that of the request, for requests whose content
    /// depends on settings.
    #[must_use]
    pub fn fingerprint_with_request(content: &str, request: &str) -> String {
        format!("{content}{REQUEST_SEPARATOR}{request}")
    }

    /// Checks whether two fingerprints belong to the same operation: equal content, or equal
    /// requests if both fingerprints include the request. Earlier versions stored only the hash of
    /// the content.
    #[must_use]
    pub fn is_same(one: &str, other: &str) -> bool {
        let (content, other_content) = (content_part(one), content_part(other));
        content == other_content || Self::is_same_request(one, other)
    }

    /// Checks whether both fingerprints include the request, and the requests are equal.
    #[must_use]
    pub fn is_same_request(one: &str, other: &str) -> bool {
        match (request_part(one), request_part(other)) {
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
    }

    /// Returns the operation under a new id, marked as conflicting.
    ///
    /// The new id depends only on the original id and the content, so that a redelivery of the
    /// conflicting message is a duplicate and not a second conflict.
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
