//! A feed frame: what subscribers get for one position of the log.

use serde::ser::SerializeMap;
use serde::{Deserialize, Serialize, Serializer};
use uuid::Uuid;

use crate::model::resolution::{DISCARDED, RETRIED};
use crate::{Domain, EntryStatus, Json, LogEntry, Position, Rejection, to_json};

/// The change that a refusal is.
pub const REJECTED: &str = "rejected";
/// The change that being set aside is.
pub const PARKED: &str = "parked";

/// The types of all frames that there can be of a domain.
#[must_use]
pub fn kinds<D: Domain>() -> Vec<String> {
    let others = [REJECTED, PARKED, RETRIED, DISCARDED];
    let changes = D::CHANGES.iter().copied().chain(others);
    changes.map(|change| kind(D::NAME, change)).collect()
}

/// `order.created`: the type of a frame, the routing key of a notice.
#[must_use]
pub fn kind(name: &str, change: &str) -> String {
    format!("{name}.{change}")
}

/// One change, rendered once by data-baker; from then on its text is stored and
/// passed on as it is, to every subscriber the same bytes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Frame {
    /// The position it stands for.
    pub position: Position,
    /// `order.created`, `order.rejected`, …
    #[serde(rename = "type")]
    pub kind: String,
    /// Whom it concerns.
    pub entity_id: String,
    /// Whose it is to see, if only its owner may: see [`crate::Terms::owner`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The domain's group of the entity (an order's customer), if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// The group that the entity has left with this change, if it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_group: Option<String>,
    /// The whole frame as subscribers get it.
    pub body: Json,
}

/// What a frame says of an event's outcome.
pub enum Outcome<'a> {
    /// Executed: what changed, and the document after it.
    Changed {
        /// In a word; see [`crate::Domain::change`].
        change: &'a str,
        /// The document as of this position.
        document: &'a Json,
    },
    /// Refused.
    Rejected(&'a Rejection),
    /// Set aside, with the reason.
    Parked(&'a str),
    /// A remedy took effect.
    Settled {
        /// In a word.
        change: &'a str,
        /// The document as of this position, if the entity changed.
        document: Option<&'a Json>,
        /// What became of the operations that had been set aside.
        settled: &'a [Settled<'a>],
    },
}

/// What became of an operation that had been set aside.
#[derive(Serialize)]
pub struct Settled<'a> {
    position: Position,
    operation_id: Uuid,
    status: EntryStatus,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a str>,
}

impl<'a> Settled<'a> {
    /// An event that has been settled.
    #[must_use]
    pub fn of(event: &'a LogEntry) -> Self {
        Self {
            position: event.position,
            operation_id: event.operation.operation_id,
            status: event.status,
            reason: event.reason.as_deref(),
            code: event.code.as_deref(),
        }
    }
}

impl Outcome<'_> {
    fn change(&self) -> &str {
        match self {
            Self::Changed { change, .. } | Self::Settled { change, .. } => change,
            Self::Rejected(_) => REJECTED,
            Self::Parked(_) => PARKED,
        }
    }
}

/// Whom a frame concerns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Audience<'a> {
    /// Whose it is to see, if only its owner may.
    pub owner: Option<&'a str>,
    /// The domain's group of the entity.
    pub group: Option<&'a str>,
    /// The group that it was of before, if that was another.
    pub left_group: Option<&'a str>,
}

/// Renders the frame of an event of the domain `name`.
///
/// # Errors
/// Never in practice; serialisation of strings and numbers into memory.
pub fn render(
    name: &str,
    event: &LogEntry,
    audience: Audience<'_>,
    outcome: &Outcome<'_>,
) -> Result<Frame, serde_json::Error> {
    let kind = kind(name, outcome.change());
    let body = to_json(&Body {
        name,
        kind: &kind,
        event,
        outcome,
    })?;
    Ok(Frame {
        position: event.position,
        kind,
        entity_id: event.entity_id().to_owned(),
        owner: audience.owner.map(str::to_owned),
        group: audience.group.map(str::to_owned),
        left_group: audience.left_group.map(str::to_owned),
        body,
    })
}

struct Body<'a> {
    name: &'a str,
    kind: &'a str,
    event: &'a LogEntry,
    outcome: &'a Outcome<'a>,
}

impl Body<'_> {
    fn operation_id(&self) -> Uuid {
        self.event.operation.operation_id
    }
}

impl Serialize for Body<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("type", self.kind)?;
        map.serialize_entry("position", &self.event.position)?;
        map.serialize_entry(&format!("{}_id", self.name), self.event.entity_id())?;
        map.serialize_entry("operation_id", &self.operation_id())?;
        map.serialize_entry("at", &self.event.creation_time)?;
        match self.outcome {
            Outcome::Changed { document, .. } => map.serialize_entry(self.name, document)?,
            Outcome::Rejected(rejection) => {
                map.serialize_entry("reason", &rejection.reason)?;
                if let Some(code) = &rejection.code {
                    map.serialize_entry("code", code)?;
                }
            }
            Outcome::Parked(reason) => map.serialize_entry("reason", reason)?,
            Outcome::Settled {
                document, settled, ..
            } => {
                if let Some(document) = document {
                    map.serialize_entry(self.name, document)?;
                }
                map.serialize_entry("settled", settled)?;
            }
        }
        map.end()
    }
}
