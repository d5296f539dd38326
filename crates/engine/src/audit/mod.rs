//! Audit: compares what the stores hold with what the log says, while services are at work.
//!
//! The log is read once, page by page. What each page must have led to is worked out from
//! the log alone ([`crate::bake`] with [`Trust::Log`](crate::bake::Trust::Log)), and compared
//! with what there is: verdicts, numbers and states in the source; documents and frames in
//! the presentation; attached files. An entity is compared with the page of its latest
//! change; one that changes meanwhile is counted, not judged. What is wrong with one entity
//! says nothing about the others. Snapshots, notifications, rows of read models, and what no
//! event speaks of, are gone through after that.
//!
//! - `auditor`: page by page through the log;
//! - `heads`: where the stages stand;
//! - `compare`: each thing with what it must be; `fold`: what that is;
//! - `blobs`, `rest`: what is not led to event by event;
//! - `numbers`: those that entities are given in the order in which they come into being;
//! - `seen`: identities that are there twice;
//! - `code`, `diff`, `report`: how findings are told.
//!
//! It takes memory for one page and the histories of its entities, and at most 32 MiB for
//! the identities of operations. It goes by the program that runs it: what an earlier one
//! wrote differently is told, too.

mod auditor;
mod blobs;
mod code;
mod compare;
mod diff;
mod fold;
mod heads;
mod numbers;
mod report;
mod rest;
mod rows;
mod seen;

use std::sync::Arc;

use auditor::Auditor;
pub use code::Code;
pub use rows::ReadModels;
use serde::Serialize;
use serde_json::Value;

use crate::ports::{
    Backlog, Blobs, Damage, EventLog, Integrity, PresentationInspector, PresentationReader,
    QueueInspector, QueueRisk, RowInspector, RowReader, SourceInspector, SourceStore, StoreError,
    Waiting,
};
use crate::{Domain, Position};

/// Dependencies of an audit.
#[derive(Clone)]
pub struct AuditDeps {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Source state.
    pub source: Arc<dyn SourceStore>,
    /// Source database, as audits read it.
    pub source_inspector: Arc<dyn SourceInspector>,
    /// Presentation.
    pub presentation: Arc<dyn PresentationReader>,
    /// Presentation database, as audits read it.
    pub presentation_inspector: Arc<dyn PresentationInspector>,
    /// Read models.
    pub models: Arc<dyn RowReader>,
    /// Their rows.
    pub rows: Arc<dyn RowInspector>,
    /// Accepted operations that are not in the log yet, where they can be counted.
    pub backlog: Option<Arc<dyn Backlog>>,
    /// Settings of the queues before the log, where they can be read.
    pub queues: Option<Arc<dyn QueueInspector>>,
    /// The stores' own checks.
    pub integrity: Vec<Arc<dyn Integrity>>,
    /// Attached files, where the domain has any.
    pub blobs: Option<Arc<dyn Blobs>>,
    /// Functions of the program's read models, where it has any.
    pub read_models: Option<ReadModels>,
}

/// Settings of an audit.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// Name of the program, for the commands that mend what is found.
    pub program: String,
    /// Events that are compared together.
    pub page: usize,
    /// True to leave out what takes long: the stores' own checks, and the bytes of files.
    pub is_quick: bool,
    /// True if process managers make notifications, whose ids lead back to no recipient.
    pub has_processes: bool,
}

/// Result of an audit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Audit {
    /// Last position of the log.
    pub stored: Position,
    /// How far it is executed.
    pub executed: Position,
    /// How far it is baked.
    pub baked: Position,
    /// Events that were compared.
    pub events: u64,
    /// Entities whose state was compared.
    pub entities: u64,
    /// Documents that were compared.
    pub documents: u64,
    /// Frames that were compared.
    pub frames: u64,
    /// Snapshots that were compared.
    pub snapshots: u64,
    /// Notifications that were compared.
    pub notifications: u64,
    /// Rows of read models that were read and, where this program makes them, compared.
    pub rows: u64,
    /// Attached files that were compared.
    pub attachments: u64,
    /// Operations that are parked.
    pub parked: u64,
    /// Accepted operations that are not in the log yet; `None`: not known.
    pub waiting: Option<u64>,
    /// Dead letters among them; `None`: not known.
    pub dead_letters: Option<u64>,
    /// Acceptance time of the oldest of them, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting_since: Option<String>,
    /// Messages that were no operation, and are kept aside; `None`: not known.
    pub unreadable: Option<u64>,
    /// Entities that changed meanwhile, and were not compared.
    pub moving: u64,
    /// Number of inconsistencies.
    pub faults: u64,
    /// Inconsistencies, the first of each kind.
    pub findings: Vec<Finding>,
    /// Things that were not looked at, in words.
    pub not_checked: Vec<String>,
}

/// An inconsistency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Kind, as `docs/doctor.md` lists them.
    pub code: Code,
    /// Position in the log.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// Entity.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub entity: Option<String>,
    /// Field that is not what it must be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// Value that it must have; of what may be personal, only its kind and length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<Value>,
    /// Value that it has, likewise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<Value>,
    /// A sentence.
    pub what: String,
    /// Command or step that mends it.
    pub fix: String,
}

/// Audits everything that there is now; tells `progress` how far it has come, and how far
/// it will go. `not_checked` is what the caller knows it cannot look at.
///
/// # Errors
/// When a store does not answer. What is wrong with what it answers is a finding.
pub async fn audit<D: Domain>(
    deps: AuditDeps,
    settings: AuditSettings,
    not_checked: Vec<String>,
    progress: impl FnMut(Position, Position),
) -> Result<Audit, StoreError> {
    let mut audit = Audit {
        not_checked,
        ..Audit::default()
    };
    let before = before_the_log(&deps, &settings, &mut audit).await?;
    if settings.is_quick {
        let left_out = [
            "the store's own check of its file",
            "bytes of attached files",
        ];
        let left_out = left_out.map(|what| format!("{what} (run without --quick)"));
        audit.not_checked.extend(left_out);
    } else if deps.blobs.is_none() {
        let what = "attached files: this program has none, or does not know where they are";
        audit.not_checked.push(what.into());
    }
    let is_damaged = audit.faults > 0;
    let so_far = audit.clone();
    match through_the_log::<D>(deps, settings, audit, progress).await {
        Err(error) if is_damaged => {
            let mut audit = so_far;
            let what = format!("all else, since the damage keeps it from being read: {error}");
            audit.not_checked.push(what);
            before.note(&mut audit);
            Ok(audit)
        }
        Ok(mut audit) => {
            before.note(&mut audit);
            Ok(audit)
        }
        Err(error) => Err(error),
    }
}

/// Damages of the files, and what waits before the log.
async fn before_the_log(
    deps: &AuditDeps,
    settings: &AuditSettings,
    audit: &mut Audit,
) -> Result<Queue, StoreError> {
    let mut damages: Vec<Damage> = Vec::new();
    for integrity in &deps.integrity {
        if !settings.is_quick {
            damages.extend(integrity.damages().await?);
        }
    }
    for damage in damages {
        let code = match damage.is_index {
            true => Code::DamagedIndex,
            false => Code::DamagedData,
        };
        add(audit, settings, code, damage.part, damage.what);
    }
    let risks = match &deps.queues {
        Some(queues) => queues.risks().await.unwrap_or_else(|error| {
            let what = format!("policies of the broker: {error}");
            audit.not_checked.push(what);
            Vec::new()
        }),
        None => Vec::new(),
    };
    let waiting = match &deps.backlog {
        Some(backlog) => match backlog.waiting().await {
            Ok(waiting) => Some(waiting),
            Err(error) => {
                let what = format!("operations that wait before the log: {error}");
                audit.not_checked.push(what);
                None
            }
        },
        None => None,
    };
    Ok(Queue {
        risks,
        waiting,
        program: settings.program.clone(),
    })
}

/// The schedule queue as it was found.
struct Queue {
    risks: Vec<QueueRisk>,
    waiting: Option<Waiting>,
    program: String,
}

impl Queue {
    fn note(self, audit: &mut Audit) {
        for risk in self.risks {
            add_risk(audit, risk);
        }
        let Some(waiting) = self.waiting else { return };
        audit.waiting = Some(waiting.operations);
        audit.dead_letters = Some(waiting.dead_letters);
        audit.waiting_since = waiting.oldest.map(|time| time.to_string());
        audit.unreadable = Some(waiting.unreadable);
        if waiting.lost > 0 {
            audit.faults += waiting.lost;
            let code = Code::LostOperation;
            let lost = waiting.lost;
            audit.findings.push(Finding {
                code,
                position: None,
                entity: None,
                field: Some("schedule".into()),
                expected: Some((waiting.operations + lost).into()),
                found: Some(waiting.operations.into()),
                what: format!("{lost} accepted operations have vanished before the log"),
                fix: code.fix(&self.program),
            });
        }
    }
}

fn add_risk(audit: &mut Audit, risk: QueueRisk) {
    audit.faults += 1;
    audit.findings.push(Finding {
        code: Code::LossyQueue,
        position: None,
        entity: None,
        field: Some(risk.queue),
        expected: None,
        found: None,
        what: risk.what,
        fix: risk.fix,
    });
}

fn add(
    audit: &mut Audit,
    settings: &AuditSettings,
    code: Code,
    field: Option<String>,
    what: String,
) {
    audit.faults += 1;
    audit.findings.push(Finding {
        code,
        position: None,
        entity: None,
        field,
        expected: None,
        found: None,
        what,
        fix: code.fix(&settings.program),
    });
}

/// Audits stores without a log, in which there must be nothing that was made of an event.
fn without_a_log(mut audit: Audit, settings: &AuditSettings, baked: Position) -> Audit {
    audit.baked = baked;
    if baked > 0 {
        let what = format!("the log is empty, but the presentation is baked up to {baked}");
        add(&mut audit, settings, Code::LogGap, None, what);
    }
    audit
}

async fn through_the_log<D: Domain>(
    deps: AuditDeps,
    settings: AuditSettings,
    audit: Audit,
    mut progress: impl FnMut(Position, Position),
) -> Result<Audit, StoreError> {
    // From the last stage to the first. Asked for anything else, an empty store would make it.
    let baked = deps.presentation.head_if_any().await?;
    let baked = baked.map_or(0, |head| head.position);
    if deps.log.head().await? == 0 {
        return Ok(without_a_log(audit, &settings, baked));
    }
    let page = settings.page;
    let mut auditor = Auditor::<D>::begin(deps, settings, audit).await?;
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
                return Ok(auditor.give_up(Code::LogGap, expected, &what));
            }
            Err(StoreError::Corrupt(what)) => {
                let what = format!("cannot be read on: {what}");
                return Ok(auditor.give_up(Code::UnreadableEvent, from + 1, &what));
            }
            Err(error) => return Err(error),
        }
        progress(from, stored);
    }
    auditor.rest().await?;
    auditor.end().await?;
    Ok(auditor.audit)
}
