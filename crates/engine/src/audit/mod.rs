//! Audit: compares the contents of the stores with the log, while the services are running.
//!
//! The log is read once, page by page. The expected output of each page is computed from the log
//! alone ([`crate::stages::bake`] with [`Trust::Log`](crate::stages::bake::Trust::Log)) and compared with the
//! stores: verdicts, numbers and states in the source; documents and frames in the presentation;
//! attached files. An entity is compared with the page of its latest change; an entity that
//! changes during the audit is counted and not compared. An inconsistent entity does not keep
//! others from being compared. Snapshots, notifications, rows of read models and records without
//! any event are checked afterwards.
//!
//! - `auditor`: reads the log page by page;
//! - `heads`: reads the checkpoints of the stages; `checkpoints`: checks them;
//! - `compare`: compares each record with the expected one; `fold`: computes the expected state;
//! - `blobs`, `rest`, `rows`: check data that is not the direct output of an event;
//! - `numbers`: checks the entities' sequence of numbers;
//! - `seen`: detects duplicate operation ids;
//! - `code`, `diff`, `location`, `report`: describe findings;
//! - `deps`, `result`: input and output of an audit.
//!
//! The audit takes memory for one page and the histories of its entities, and at most 32 MiB for
//! the ids of operations. It applies the rules of the running program: different output of an
//! earlier version is reported as well.

mod auditor;
mod blobs;
mod checkpoints;
mod code;
mod compare;
mod deps;
mod diff;
mod fold;
mod heads;
mod location;
mod numbers;
mod report;
mod rest;
mod result;
mod rows;
mod seen;

use auditor::Auditor;
pub use code::Code;
pub use deps::{AuditDeps, AuditSettings, ReadModels};
pub use result::{Audit, Finding};

use crate::ports::{Damage, QueueRisk, StoreError, Waiting};
use crate::{Domain, Position};

/// Audits the stores up to the current end of the log. `progress` is called with the position
/// reached and the last position. `not_checked` lists what the caller cannot check.
///
/// # Errors
/// [`StoreError`] if a store does not answer. Wrong contents are findings.
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
    let queue_report = check_files_and_queues(&deps, &settings, &mut audit).await?;
    if settings.is_quick {
        let skipped = [
            "the store's own check of its file",
            "bytes of attached files",
        ];
        let skipped = skipped.map(|what| format!("{what} (run without --quick)"));
        audit.not_checked.extend(skipped);
    } else if deps.blobs.is_none() {
        let what = "attached files: this program has none, or their store is not configured";
        audit.not_checked.push(what.into());
    }
    let is_damaged = audit.faults > 0;
    let so_far = audit.clone();
    match check_log::<D>(deps, settings, audit, progress).await {
        Err(error) if is_damaged => {
            let mut audit = so_far;
            let what = format!("everything else: the damaged store cannot be read: {error}");
            audit.not_checked.push(what);
            queue_report.add_to(&mut audit);
            Ok(audit)
        }
        Ok(mut audit) => {
            queue_report.add_to(&mut audit);
            Ok(audit)
        }
        Err(error) => Err(error),
    }
}

/// Checks the files of the stores, and reads the queues before the log.
async fn check_files_and_queues(
    deps: &AuditDeps,
    settings: &AuditSettings,
    audit: &mut Audit,
) -> Result<QueueReport, StoreError> {
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
                let what = format!("accepted operations that are not in the log yet: {error}");
                audit.not_checked.push(what);
                None
            }
        },
        None => None,
    };
    Ok(QueueReport {
        risks,
        waiting,
        program: settings.program.clone(),
    })
}

/// Risks and backlog of the queues before the log.
struct QueueReport {
    risks: Vec<QueueRisk>,
    waiting: Option<Waiting>,
    program: String,
}

impl QueueReport {
    fn add_to(self, audit: &mut Audit) {
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
                what: format!("{lost} accepted operations were lost before they reached the log"),
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

/// Checks that stores with an empty log hold no output of events.
fn check_empty_log(mut audit: Audit, settings: &AuditSettings, baked: Position) -> Audit {
    audit.baked = baked;
    if baked > 0 {
        let what = format!("the log is empty, but the presentation is baked up to {baked}");
        add(&mut audit, settings, Code::LogGap, None, what);
    }
    audit
}

async fn check_log<D: Domain>(
    deps: AuditDeps,
    settings: AuditSettings,
    audit: Audit,
    mut progress: impl FnMut(Position, Position),
) -> Result<Audit, StoreError> {
    // From the last stage to the first. Other reads would initialize an empty store.
    let baked = deps.presentation.head_if_any().await?;
    let baked = baked.map_or(0, |head| head.position);
    if deps.log.head().await? == 0 {
        return Ok(check_empty_log(audit, &settings, baked));
    }
    let page = settings.page;
    let mut auditor = Auditor::<D>::start(deps, settings, audit).await?;
    let (executed, stored) = (auditor.audit.executed, auditor.audit.stored);
    let mut from = 0;
    while from < stored {
        // Entries that are not executed yet are only read.
        let end = if from < executed { executed } else { stored };
        let read = match from < executed {
            true => auditor.audit_page(from, page, end).await,
            false => auditor.audit_unexecuted(from, page, end).await,
        };
        match read {
            Ok(to) => from = to,
            Err(StoreError::Hole { expected, found }) => {
                let what = format!("position {expected} is missing; the next is {found}");
                return Ok(auditor.abort(Code::LogGap, expected, &what));
            }
            Err(StoreError::Corrupt(what)) => {
                let what = format!("cannot be read: {what}");
                return Ok(auditor.abort(Code::UnreadableEvent, from + 1, &what));
            }
            Err(error) => return Err(error),
        }
        progress(from, stored);
    }
    auditor.check_rest().await?;
    auditor.finish().await?;
    Ok(auditor.audit)
}
