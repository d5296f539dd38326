//! What an operator asks of a program beside serving: look whether all is as it must be,
//! copy the embedded store, make one of a copy, settle what has been set aside, and make
//! anew what is read.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bakehouse_embedded::{Embedded, back_up, may_restore, restore};
use bakehouse_pipeline::Domain;
use bakehouse_pipeline::audit::{Audit, AuditDoors, audit};
use bakehouse_service::output::{stderr, stdout};
use bakehouse_service::{Settings, Task};
use futures_util::future::LocalBoxFuture;

use crate::parked::parked;
use crate::replay::replay;

/// Events that are looked at together.
const PAGE: usize = 500;
/// How often progress is told.
const TELL: Duration = Duration::from_secs(1);
/// Attached files, beside the store.
const ATTACHMENTS: &str = "attachments";

/// Does a task: whether all is well.
#[must_use]
pub fn operate<D: Domain>(settings: Settings, task: Task) -> LocalBoxFuture<'static, Result<bool>> {
    Box::pin(async move {
        match task {
            Task::Doctor { json } => doctor::<D>(&settings, json).await,
            Task::Backup { folder } => copy_out(&settings, &folder),
            Task::Restore { folder } => copy_in(&settings, &folder),
            Task::Parked(asked) => parked(&settings, asked).await,
            Task::Replay(asked) => replay(&settings, asked).await,
        }
    })
}

async fn doctor<D: Domain>(settings: &Settings, json: bool) -> Result<bool> {
    let doors = doors::<D>(settings).await?;
    let began = Instant::now();
    let mut told = began;
    let shows = std::io::stderr().is_terminal() || !json;
    let progress = |position, end| {
        if shows && told.elapsed() >= TELL {
            told = Instant::now();
            stderr::line(&format!("doctor: position {position} of {end}"));
        }
    };
    let found = audit::<D>(doors, PAGE, progress).await?;
    if found.stored == 0 {
        stderr::line("doctor: the log is empty");
    }
    if json {
        stdout::line(&serde_json::to_string_pretty(&found)?)?;
    } else {
        stdout::print(&text(&found, began.elapsed()))?;
    }
    Ok(found.faults == 0)
}

#[cfg_attr(
    not(feature = "servers"),
    expect(
        clippy::extra_unused_type_parameters,
        reason = "the embedded store is the same for every domain"
    )
)]
async fn doors<D: Domain>(settings: &Settings) -> Result<AuditDoors> {
    #[cfg(feature = "servers")]
    if settings.has_servers() {
        let source = crate::servers::source::<D>(settings).await?;
        let presentation = crate::servers::presentation::<D>(settings).await?;
        return Ok(AuditDoors {
            log: source.log(),
            source: source.source(),
            presentation: presentation.reader(),
        });
    }
    let store = Embedded::inspect(&settings.data_dir)?;
    Ok(AuditDoors {
        log: store.log(),
        source: store.source(),
        presentation: store.reader(),
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
        parked,
        moving,
        faults,
        findings,
    } = audit;
    let mut text = format!(
        "log: {stored} events, executed up to {executed}, baked up to {baked}\n\
         compared: {events} events, {entities} states, {documents} documents, {frames} frames \
         ({:.1} s)\n\
         set aside: {parked}; changed meanwhile, and not compared: {moving}\n",
        took.as_secs_f64()
    );
    for finding in findings {
        let position = finding.position.map(|at| format!(" at {at}"));
        let entity = finding.entity.as_ref().map(|id| format!(" of {id}"));
        text += &format!(
            "! {}{}{}: {}\n",
            finding.promise,
            position.unwrap_or_default(),
            entity.unwrap_or_default(),
            finding.what
        );
    }
    let untold = *faults - findings.len() as u64;
    if untold > 0 {
        text += &format!("! and {untold} more\n");
    }
    text += match faults {
        0 => "all is as it must be\n",
        _ => "NOT ALL is as it must be\n",
    };
    text
}

fn copy_out(settings: &Settings, folder: &Path) -> Result<bool> {
    only_embedded(settings)?;
    let files = (
        settings.data_dir.join(ATTACHMENTS),
        folder.join(ATTACHMENTS),
    );
    // Before the store is copied for what is removed meanwhile, after it for what comes.
    copy_files(&files.0, &files.1)?;
    let copy = back_up(&settings.data_dir, folder)?;
    copy_files(&files.0, &files.1)?;
    copy.keep()?;
    stdout::line(&format!(
        "{} is copied to {}",
        settings.data_dir.display(),
        folder.display()
    ))?;
    tell_of_bucket(settings)?;
    Ok(true)
}

fn copy_in(settings: &Settings, folder: &Path) -> Result<bool> {
    only_embedded(settings)?;
    may_restore(&settings.data_dir)?;
    // Before the store: without it there is none.
    copy_files(
        &folder.join(ATTACHMENTS),
        &settings.data_dir.join(ATTACHMENTS),
    )?;
    restore(folder, &settings.data_dir)?;
    stdout::line(&format!(
        "{} is made of {}; it is another log from here on",
        settings.data_dir.display(),
        folder.display()
    ))?;
    tell_of_bucket(settings)?;
    Ok(true)
}

fn tell_of_bucket(settings: &Settings) -> Result<()> {
    if settings.attachments.bucket().is_some() {
        stdout::line("attached files are in their bucket, and stay there")?;
    }
    Ok(())
}

fn only_embedded(settings: &Settings) -> Result<()> {
    ensure!(
        !settings.has_servers(),
        "only the embedded store is copied by this program: \
         for MongoDB take mongodump, or what your storage offers"
    );
    Ok(())
}

/// Files that are not there yet; each is whole and on disk before it is called by its name.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for entry in std::fs::read_dir(from).with_context(|| from.display().to_string())? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_files(&entry.path(), &target)?;
        } else if kind.is_file() && !target.exists() {
            copy_file(&entry.path(), &target).with_context(|| target.display().to_string())?;
        }
    }
    Ok(())
}

fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let unfinished = to.with_added_extension("unfinished");
    match std::fs::copy(from, &unfinished) {
        // Removed meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        copied => copied?,
    };
    std::fs::File::open(&unfinished)?.sync_all()?;
    std::fs::rename(&unfinished, to)
}
