//! Feed frames: the messages that subscribers get, one for each position of the log.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use super::frame_kind::{DISCARDED, RETRIED};
pub use super::frame_kind::{PARKED, REJECTED, kind};
use crate::{Domain, EntryStatus, Json, LogEntry, Position, Rejection, to_json};

/// Returns all frame types of a domain.
#[must_use]
pub fn kinds<D: Domain>() -> Vec<String> {
    let engine_changes = [REJECTED, PARKED, RETRIED, DISCARDED];
    let changes = D::CHANGES.iter().copied().chain(engine_changes);
    changes.map(|change| kind(D::NAME, change)).collect()
}

/// A frame of the feed. Rendered once by data-baker; the text is then stored and sent unchanged, so
/// that every subscriber gets the same bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// Position of the log entry.
    pub position: Position,
    /// Type: `order.created`, `order.rejected`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Id of the entity.
    pub entity_id: String,
    /// Owner who may see the frame; `None`: not restricted. See [`crate::Terms::owner`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Group of the entity, such as an order's customer, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Group that the entity has left with this change, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_group: Option<String>,
    /// JSON text that subscribers get.
    pub body: Json,
}

/// Outcome of a log entry, as its frame shows it.
pub enum Outcome<'a> {
    /// The operation was executed.
    Changed {
        /// Name of the change; see [`crate::Domain::change`].
        change: &'a str,
        /// Document as of this position.
        document: &'a Json,
    },
    /// The operation was rejected.
    Rejected(&'a Rejection),
    /// The operation was parked, for this reason.
    Parked(&'a str),
    /// A resolution took effect.
    Resolved {
        /// Name of the change.
        change: &'a str,
        /// Document as of this position, if the entity changed.
        document: Option<&'a Json>,
        /// Operations that were resolved.
        resolved: &'a [ResolvedOperation<'a>],
    },
}

/// A parked operation after its resolution.
#[derive(Serialize)]
pub struct ResolvedOperation<'a> {
    position: Position,
    operation_id: Uuid,
    status: EntryStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

impl<'a> ResolvedOperation<'a> {
    /// Describes a log entry that has been resolved.
    #[must_use]
    pub fn of(entry: &'a LogEntry) -> Self {
        Self {
            position: entry.position,
            operation_id: entry.operation.operation_id,
            status: entry.status,
            reason: entry.reason.as_deref(),
            code: entry.code.as_deref(),
        }
    }
}

impl Outcome<'_> {
    fn change(&self) -> &str {
        match self {
            Self::Changed { change, .. } | Self::Resolved { change, .. } => change,
            Self::Rejected(_) => REJECTED,
            Self::Parked(_) => PARKED,
        }
    }
}

/// Receivers of a frame.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audience<'a> {
    /// Owner who may see the frame; `None`: not restricted.
    pub owner: Option<&'a str>,
    /// Group of the entity.
    pub group: Option<&'a str>,
    /// Previous group of the entity, if it was another one.
    pub left_group: Option<&'a str>,
}

/// Renders the frame of a log entry of the domain `name`.
///
/// # Errors
/// When the frame cannot be serialised, which does not occur in practice.
pub fn render(
    name: &str,
    entry: &LogEntry,
    audience: Audience<'_>,
    outcome: &Outcome<'_>,
) -> Result<Frame, serde_json::Error> {
    let kind = kind(name, outcome.change());
    let body = to_json(&Body {
        name,
        kind: &kind,
        entry,
        outcome,
    })?;
    Ok(Frame {
        position: entry.position,
        kind,
        entity_id: entry.entity_id().to_owned(),
        owner: audience.owner.map(str::to_owned),
        group: audience.group.map(str::to_owned),
        left_group: audience.left_group.map(str::to_owned),
        body,
    })
}

struct Body<'a> {
    name: &'a str,
    kind: &'a str,
    entry: &'a LogEntry,
    outcome: &'a Outcome<'a>,
}

impl Body<'_> {
    fn operation_id(&self) -> Uuid {
        self.entry.operation.operation_id
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry("position", &self.entry.position)?;
        map.serialize_entry(&format!("{}_id", self.name), self.entry.entity_id())?;
        map.serialize_entry("operation_id", &self.operation_id())?;
        map.serialize_entry("at", &self.entry.creation_time)?;
        match self.outcome {
            Outcome::Changed { document, .. } => map.serialize_entry(self.name, document)?,
            Outcome::Rejected(rejection) => {
                map.serialize_entry("reason", &rejection.reason)?;
                if let Some(code) = &rejection.code {
                    map.serialize_entry("code", code)?;
                }
            }
            Outcome::Parked(reason) => map.serialize_entry("reason", reason)?,
            Outcome::Resolved {
                document, resolved, ..
            } => {
                if let Some(document) = document {
                    map.serialize_entry(self.name, document)?;
                }
                map.serialize_entry("settled", resolved)?;
            }
        }
        map.end()
    }
}
