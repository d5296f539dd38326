//! Result of an audit: counts and findings.

use serde::Serialize;
use serde_json::Value;

use super::Code;
use crate::Position;

/// Result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Last position of the log.
    pub stored: Position,
    /// Position up to which the log is executed.
    pub executed: Position,
    /// Position up to which the log is baked.
    pub baked: Position,
    /// Number of log entries compared.
    pub events: u64,
    /// Number of entities whose state was compared.
    pub entities: u64,
    /// Number of documents compared.
    pub documents: u64,
    /// Number of frames compared.
    pub frames: u64,
    /// Number of snapshots compared.
    pub snapshots: u64,
    /// Number of notifications compared.
    pub notifications: u64,
    /// Number of read model rows that were read and, if this program has the read model,
    /// compared.
    pub rows: u64,
    /// Number of attached files compared.
    pub attachments: u64,
    /// Number of parked operations.
    pub parked: u64,
    /// Number of accepted operations that are not in the log yet; `None` if unknown.
    pub waiting: Option<u64>,
    /// Number of dead letters among them; `None` if unknown.
    pub dead_letters: Option<u64>,
    /// Acceptance time of the oldest of them, if known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<String>,
    /// Number of parked messages that are not operations; `None` if unknown.
    pub unreadable: Option<u64>,
    /// Number of entities that changed during the audit and were not compared.
    pub moving: u64,
    /// Number of inconsistencies.
    pub faults: u64,
    /// Inconsistencies, at most 20 per code.
    pub findings: Vec<Finding>,
    /// Descriptions of what was not checked.
    pub not_checked: Vec<String>,
}

/// Inconsistency found by an audit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Code; `docs/doctor.md` lists them.
    pub code: Code,
    /// Position in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Id of the entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Field with an unexpected value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Expected value; personal data is redacted to its kind and length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// Actual value, redacted likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Value>,
    /// Description for operators.
    pub what: String,
    /// Command or instruction that fixes it.
    pub fix: String,
}
