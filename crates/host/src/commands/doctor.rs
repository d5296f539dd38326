//! The command `doctor`: an audit of all stores that the settings name, as text or JSON.

use std::io::IsTerminal;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::Settings;
use crate::output::{stderr, stdout};
use anyhow::Result;
use bakehouse_engine::Domain;
use bakehouse_engine::audit::{Audit, AuditDeps, AuditSettings, Finding, ReadModels, audit};
use bakehouse_engine::handlers::AnyHandler;
use bakehouse_engine::ports::Blobs;
use bakehouse_sqlite::SqliteStore;
use tempfile::TempDir;

/// Events that are compared together.
const PAGE: usize = 500;
/// Interval at which progress is told.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Opens the store of blobs that the settings name, to be read; `None` where there is none.
pub(crate) type OpenBlobs = fn(&Settings) -> Result<Option<Arc<dyn Blobs>>>;

/// Knowledge of a program about its own domain's stores.
pub struct Own {
    /// Opens the store of blobs to be read, where the domain has one.
    pub blobs: OpenBlobs,
    /// True if the domain has process managers.
    pub has_processes: bool,
    /// Functions of the domain's read models.
    pub read_models: Vec<AnyHandler>,
}

/// Things that are not looked at in either world.
const NEVER_CHECKED: [&str; 4] = [
    "what the log alone says of a request: payload, sender, times",
    "reasons of refusals, beyond their frames: they are decided once, by the rules of that time",
    "notifications that should exist, and what they say: both go by the settings of that time",
    "the state of process managers: only whether it can be read",
];

/// Store in which rows of read models are made once more, in a folder that goes with it.
struct Scratch {
    read_models: ReadModels,
    /// Removed when it is dropped, after the store.
    _folder: TempDir,
}

impl Scratch {
    /// `None` for a program without read models.
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

pub(crate) async fn doctor<D: Domain>(
    settings: &Settings,
    own: Own,
    is_json: bool,
    is_quick: bool,
) -> Result<bool> {
    let mut not_checked: Vec<String> = NEVER_CHECKED.iter().map(ToString::to_string).collect();
    let mut deps = deps::<D>(settings, own.blobs, &mut not_checked).await?;
    let scratch = Scratch::open(own.read_models)?;
    deps.read_models = scratch.as_ref().map(|scratch| scratch.read_models.clone());
    let began = Instant::now();
    let mut told = began;
    let shows = std::io::stderr().is_terminal() || !is_json;
    let progress = |position, end| {
        if shows && told.elapsed() >= PROGRESS_INTERVAL {
            told = Instant::now();
            stderr::line(&format!("doctor: position {position} of {end}"));
        }
    };
    let how = AuditSettings {
        program: program(),
        page: PAGE,
        is_quick,
        has_processes: own.has_processes,
    };
    let found = audit::<D>(deps, how, not_checked, progress).await?;
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

/// Name of this program, for the commands that it tells.
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
        reason = "the embedded store is the same for every domain"
    )
)]
async fn deps<D: Domain>(
    settings: &Settings,
    blobs: OpenBlobs,
    not_checked: &mut Vec<String>,
) -> Result<AuditDeps> {
    #[cfg(feature = "servers")]
    if settings.has_servers() {
        not_checked.extend([
            "MongoDB's own files: run db.collection.validate() on each server".into(),
            "operations that the broker lost after it had confirmed them: it keeps no record"
                .into(),
            "operations that events-writer has in hand: the broker counts what waits".into(),
            "dead letters that only the broker's stream has: events-writer reads it when it starts"
                .into(),
        ]);
        let source = crate::servers::source::<D>(settings).await?;
        let presentation = crate::servers::presentation::<D>(settings).await?;
        let backlog = match settings.amqp.uri {
            Some(_) => Some(crate::servers::backlog::<D>(settings)?),
            None => {
                not_checked.push("operations that wait before the log: amqp.uri is not set".into());
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
            blobs: blobs(settings)?,
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
        blobs: blobs(settings)?,
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
         parked: {parked}; changed meanwhile, and not compared: {moving}\n",
        took.as_secs_f64()
    );
    if let (Some(waiting), Some(unreadable)) = (waiting, unreadable) {
        let letters = dead_letters.filter(|letters| *letters > 0);
        let letters = letters.map(|letters| format!(", {letters} of them dead letters"));
        let since = waiting_since.as_ref().map(|time| format!(", since {time}"));
        text += &format!(
            "waiting before the log: {waiting}{}{}; unreadable, and kept aside: {unreadable}\n",
            letters.unwrap_or_default(),
            since.unwrap_or_default()
        );
    }
    for finding in findings {
        text += &line(finding);
    }
    let told: u64 = findings.len() as u64;
    if *faults > told {
        text += &format!("! and {} more\n", faults - told);
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
