//! Command `doctor`: an audit of all stores of the settings, as text or JSON.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use bakehouse_engine::Domain;
use bakehouse_engine::audit::{Audit, AuditDeps, AuditSettings, Finding, ReadModels, audit};
use bakehouse_engine::handlers::AnyHandler;
use bakehouse_sqlite::SqliteStore;
use tempfile::TempDir;

use super::{BlobsOf, DomainStores};
use crate::output::{stderr, stdout};
use crate::settings::{Configuration, DomainSettings};

/// Number of entries that are compared in one batch.
const PAGE: usize = 500;
/// Interval at which progress is printed.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Data that is never checked, whichever the stores.
const NEVER_CHECKED: [&str; 4] = [
    "data that only the log has: payload, sender and times of an operation",
    "reasons of rejections, except in frames: they depend on the rules of their time",
    "notifications that should exist, and their texts: they depend on the settings of their time",
    "states of process managers, except that they can be read",
];

/// Temporary store in which the rows of read models are rebuilt for comparison.
struct Scratch {
    read_models: ReadModels,
    /// Folder of the store, removed on drop.
    _folder: TempDir,
}

impl Scratch {
    /// Creates the store; `None` for a program without read models.
    fn open(handlers: Vec<AnyHandler>) -> Result<Option<Self>> {
        if handlers.is_empty() {
            return Ok(None);
        }
        let folder = TempDir::with_prefix("bakehouse-doctor-")?;
        let store = SqliteStore::open(folder.path(), &[])?;
        let read_models = ReadModels {
            handlers,
            scratch: store.rows(),
            made: store.row_inspector(),
        };
        Ok(Some(Self {
            read_models,
            _folder: folder,
        }))
    }
}

/// Runs the command; `Ok(false)`: it found inconsistencies.
pub(crate) async fn doctor<D: Domain, S: DomainSettings>(
    configuration: &Configuration<S>,
    stores: DomainStores<S>,
    is_json: bool,
    is_quick: bool,
) -> Result<bool> {
    let mut not_checked: Vec<String> = NEVER_CHECKED.iter().map(ToString::to_string).collect();
    let mut deps = deps::<D, S>(configuration, stores.blobs, &mut not_checked).await?;
    let scratch = Scratch::open(stores.read_models)?;
    deps.read_models = scratch.as_ref().map(|scratch| scratch.read_models.clone());
    let began = Instant::now();
    let mut printed_at = began;
    let shows_progress = std::io::stderr().is_terminal() || !is_json;
    let progress = |position, end| {
        if shows_progress && printed_at.elapsed() >= PROGRESS_INTERVAL {
            printed_at = Instant::now();
            stderr::line(&format!("doctor: position {position} of {end}"));
        }
    };
    let audit_settings = AuditSettings {
        program: program(),
        page: PAGE,
        is_quick,
        has_processes: stores.has_processes,
    };
    let found = audit::<D>(deps, audit_settings, not_checked, progress).await?;
    if found.stored == 0 {
        stderr::line("doctor: the log is empty");
    }
    if is_json {
        stdout::line(&serde_json::to_string_pretty(&found)?)?;
    } else {
        stdout::print(&text(&found, began.elapsed()))?;
    }
    Ok(found.faults == 0)
}

/// Name of this program, for the commands that it prints.
fn program() -> String {
    let file = std::env::current_exe().ok();
    let name = file.as_deref().and_then(|file| file.file_name());
    name.map_or_else(
        || "bakehouse".into(),
        |name| name.to_string_lossy().into_owned(),
    )
}

#[cfg_attr(
    not(feature = "servers"),
    expect(
        clippy::extra_unused_type_parameters,
        reason = "the embedded store does not depend on the domain"
    )
)]
async fn deps<D: Domain, S: DomainSettings>(
    configuration: &Configuration<S>,
    blobs: BlobsOf<S>,
    not_checked: &mut Vec<String>,
) -> Result<AuditDeps> {
    let settings = &configuration.host;
    #[cfg(feature = "servers")]
    if settings.has_servers() {
        not_checked.extend([
            "files of MongoDB: run db.collection.validate() on each server".into(),
            "operations that the broker lost after confirming them: it keeps no record".into(),
            "operations that events-writer holds unacknowledged: the broker counts only waiting ones"
                .into(),
            "dead letters that only the broker's stream has: events-writer reads them at its start"
                .into(),
        ]);
        let source = crate::servers::source::<D>(settings).await?;
        let presentation = crate::servers::presentation::<D>(settings).await?;
        let backlog = match settings.amqp.uri {
            Some(_) => Some(crate::servers::backlog::<D>(settings)?),
            None => {
                not_checked.push("operations in the schedule queue: amqp.uri is not set".into());
                None
            }
        };
        let queues = match settings.amqp.uri {
            Some(_) => crate::servers::queue_inspector::<D>(settings)?,
            None => None,
        };
        if queues.is_none() {
            not_checked.push("policies of the broker: amqp.management_uri is not set".into());
        }
        return Ok(AuditDeps {
            queues,
            log: source.log(),
            source: source.source(),
            source_inspector: source.inspector(),
            presentation: presentation.reader(),
            presentation_inspector: presentation.inspector(),
            models: presentation.row_reader(),
            rows: presentation.row_inspector(),
            backlog,
            integrity: vec![source.integrity()],
            blobs: blobs(configuration)?,
            read_models: None,
        });
    }
    let _ = not_checked;
    let store = SqliteStore::inspect(&settings.data_dir)?;
    Ok(AuditDeps {
        queues: None,
        log: store.log(),
        source: store.source(),
        source_inspector: store.source_inspector(),
        presentation: store.reader(),
        presentation_inspector: store.presentation_inspector(),
        models: store.row_reader(),
        rows: store.row_inspector(),
        backlog: Some(store.backlog()),
        integrity: vec![store.integrity()],
        blobs: blobs(configuration)?,
        read_models: None,
    })
}

fn text(audit: &Audit, took: Duration) -> String {
    let Audit {
        stored,
        executed,
        baked,
        events,
        entities,
        documents,
        frames,
        snapshots,
        notifications,
        rows,
        attachments,
        parked,
        waiting,
        dead_letters,
        waiting_since,
        unreadable,
        moving,
        faults,
        findings,
        not_checked,
    } = audit;
    let mut text = format!(
        "log: {stored} events, executed up to {executed}, baked up to {baked}\n\
         compared: {events} events, {entities} states, {documents} documents, {frames} frames, \
         {snapshots} snapshots, {notifications} notifications, {rows} rows, \
         {attachments} attachments ({:.1} s)\n\
         parked: {parked}; changed during the check, and not compared: {moving}\n",
        took.as_secs_f64()
    );
    if let (Some(waiting), Some(unreadable)) = (waiting, unreadable) {
        let letters = dead_letters.filter(|letters| *letters > 0);
        let letters = letters.map(|letters| format!(", {letters} of them dead letters"));
        let since = waiting_since.as_ref().map(|time| format!(", since {time}"));
        text += &format!(
            "in the schedule queue: {waiting}{}{}; unreadable, and parked: {unreadable}\n",
            letters.unwrap_or_default(),
            since.unwrap_or_default()
        );
    }
    for finding in findings {
        text += &line(finding);
    }
    let shown = findings.len() as u64;
    if *faults > shown {
        text += &format!("! and {} more\n", faults - shown);
    }
    for what in not_checked {
        text += &format!("not checked: {what}\n");
    }
    text += &match faults {
        0 => "ok: no inconsistencies found\n".to_owned(),
        1 => "FAILED: 1 inconsistency\n".to_owned(),
        _ => format!("FAILED: {faults} inconsistencies\n"),
    };
    text
}

fn line(finding: &Finding) -> String {
    let Finding {
        code,
        position,
        entity,
        field,
        expected,
        found,
        what,
        fix,
    } = finding;
    let position = position.map(|at| format!(" at {at}")).unwrap_or_default();
    let entity = entity.as_ref().map(|id| format!(" of {id}"));
    let entity = entity.unwrap_or_default();
    let mut text = format!("! {}{position}{entity}: {what}\n", code.as_str());
    if let (Some(field), Some(expected), Some(found)) = (field, expected, found)
        && !what.starts_with("field ")
    {
        text += &format!("  field {field}: expected {expected}, found {found}\n");
    }
    text + &format!("  fix: {fix}\n")
}
