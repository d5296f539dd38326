//! Auditing: whether what the stores hold is what the log says, while everything goes on.
//!
//! The log is read once, page by page. What each page must have led to is worked out from
//! the log alone ([`crate::bake`] with [`Trust::Log`](crate::bake::Trust::Log)), and held
//! against what there is: verdicts, numbers and states in the source; documents and frames
//! in the presentation. An entity is looked at with the page of its latest change; one that
//! changes meanwhile is counted, not judged. What is wrong with one entity says nothing
//! about the others.
//!
//! - `auditor`: page by page through the log;
//! - `compare`: each thing with what it must be;
//! - `numbers`: those that entities are given in the order in which they come into being.
//!
//! It takes memory for one page and the histories of its entities, and 16 bytes for each
//! event, to find identities that are there twice. It goes by the program that runs it:
//! what an earlier one wrote differently is told, too. Entities and documents that no event
//! speaks of are not found.

mod auditor;
mod compare;
mod numbers;

use std::sync::Arc;

use auditor::Auditor;
use serde::Serialize;

use crate::ports::{EventLog, PresentationReader, SourceStore, StoreError};
use crate::{Domain, Position};

/// What is audited.
#[derive(Clone)]
pub struct AuditDoors {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// What it led to.
    pub source: Arc<dyn SourceStore>,
    /// What is read.
    pub presentation: Arc<dyn PresentationReader>,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Last position of the log.
    pub stored: Position,
    /// How far it is executed.
    pub executed: Position,
    /// How far it is baked.
    pub baked: Position,
    /// Events that were looked at.
    pub events: u64,
    /// Entities whose state was compared.
    pub entities: u64,
    /// Documents that were compared.
    pub documents: u64,
    /// Frames that were compared.
    pub frames: u64,
    /// Operations that are set aside.
    pub parked: u64,
    /// Entities that changed meanwhile, and were not compared.
    pub moving: u64,
    /// How much is not as it must be.
    pub faults: u64,
    /// The first of that, in words.
    pub findings: Vec<Finding>,
}

/// Something that is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which promise is broken: `P2` and so on.
    pub promise: &'static str,
    /// Where in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Of what.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// A sentence.
    pub what: String,
}

impl Audit {
    /// Where there is no event, there must be nothing that was made of one.
    fn of_no_log(baked: Position) -> Self {
        let what = format!("the log is empty, but the presentation is baked up to {baked}");
        let gone = Finding {
            promise: "P2",
            position: None,
            entity: None,
            what,
        };
        let findings: Vec<Finding> = (baked > 0).then_some(gone).into_iter().collect();
        Self {
            baked,
            faults: findings.len() as u64,
            findings,
            ..Self::default()
        }
    }
}

/// Audits everything that there is now; tells `progress` how far it has come, and how far
/// it will go.
///
/// # Errors
/// When a store does not answer. What is wrong with what it answers is a finding.
pub async fn audit<D: Domain>(
    doors: AuditDoors,
    page: usize,
    mut progress: impl FnMut(Position, Position),
) -> Result<Audit, StoreError> {
    // From the last stage to the first. Asked for anything else, an empty store would make it.
    let baked = match doors.presentation.head().await {
        Ok(head) => head.position,
        Err(StoreError::NotYet(_)) => 0,
        Err(error) => return Err(error),
    };
    if doors.log.head().await? == 0 {
        return Ok(Audit::of_no_log(baked));
    }
    let mut auditor = Auditor::<D>::begin(doors).await?;
    let (executed, stored) = (auditor.audit.executed, auditor.audit.stored);
    let mut from = 0;
    while from < stored {
        // What is not executed yet is looked at for its place in the log alone.
        let end = if from < executed { executed } else { stored };
        let read = match from < executed {
            true => auditor.page(from, page, end).await,
            false => auditor.tail(from, page, end).await,
        };
        match read {
            Ok(to) => from = to,
            Err(StoreError::Hole { expected, found }) => {
                let what = format!("position {expected} is missing; the next is {found}");
                auditor.find("P2", Some(expected), &what);
                return Ok(auditor.audit);
            }
            Err(StoreError::Corrupt(what)) => {
                auditor.find("P2", Some(from + 1), &format!("cannot be read on: {what}"));
                return Ok(auditor.audit);
            }
            Err(error) => return Err(error),
        }
        progress(from, stored);
    }
    auditor.end().await?;
    Ok(auditor.audit)
}
