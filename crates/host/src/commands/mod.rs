//! Commands for operators: checks of all stores, copies of the embedded store, parked operations,
//! and rebuilds.

mod admin_client;
mod doctor;
mod parked;
mod rebuild;

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bakehouse_engine::handlers::AnyHandler;
use bakehouse_engine::ports::Blobs;
use bakehouse_engine::{Domain, private_files};
use bakehouse_sqlite::{Pending, back_up, check_restore_target, restore};
use futures_util::future::LocalBoxFuture;

use crate::output::stdout;
use crate::settings::{Configuration, DomainSettings};
use crate::{Settings, Task};

/// Folder of attached files, in the folder of the embedded store.
pub(crate) const ATTACHMENTS: &str = "attachments";

/// Function that opens a domain's store of blobs, to be read; `None` where there is none.
pub type BlobsOf<S> = fn(&Configuration<S>) -> Result<Option<Arc<dyn Blobs>>>;

/// Stores and handlers of a domain that `doctor` checks.
pub(crate) struct DomainStores<S> {
    /// Opens the store of blobs, to be read; `None` where there is none.
    pub(crate) blobs: BlobsOf<S>,
    /// True if the domain has process managers.
    pub(crate) has_processes: bool,
    /// Read models of the domain.
    pub(crate) read_models: Vec<AnyHandler>,
}

/// Runs a command; `Ok(false)`: it failed, or found inconsistencies.
pub(crate) fn run_task<D: Domain, S: DomainSettings>(
    configuration: Configuration<S>,
    task: Task,
    stores: DomainStores<S>,
) -> LocalBoxFuture<'static, Result<bool>> {
    Box::pin(async move {
        let settings = &configuration.host;
        let note = configuration.domain.backup_note();
        match task {
            Task::Doctor { json, quick } => {
                doctor::doctor::<D, S>(&configuration, stores, json, quick).await
            }
            Task::Backup { folder } => {
                copy_out(settings, &folder)?;
                print_note(note)
            }
            Task::Restore {
                folder,
                resume_notifications,
            } => {
                copy_in(settings, &folder, resume_notifications)?;
                print_note(note)
            }
            Task::Parked(arguments) => parked::parked(settings, arguments).await,
            Task::Rebuild(arguments) => rebuild::rebuild(settings, arguments).await,
        }
    })
}

fn print_note(note: Option<&str>) -> Result<bool> {
    if let Some(note) = note {
        stdout::line(note)?;
    }
    Ok(true)
}

fn copy_out(settings: &Settings, folder: &Path) -> Result<()> {
    only_embedded(settings)?;
    let files = (
        settings.data_dir.join(ATTACHMENTS),
        folder.join(ATTACHMENTS),
    );
    // Copied before the store, since files may be removed meanwhile, and after it, for new ones.
    copy_files(&files.0, &files.1)?;
    let copy = back_up(&settings.data_dir, folder)?;
    copy_files(&files.0, &files.1)?;
    copy.keep()?;
    stdout::line(&format!(
        "copied {} to {}",
        settings.data_dir.display(),
        folder.display()
    ))?;
    Ok(())
}

fn copy_in(settings: &Settings, folder: &Path, resumes: bool) -> Result<()> {
    only_embedded(settings)?;
    let pending = if resumes {
        Pending::Resume
    } else {
        Pending::Withhold
    };
    check_restore_target(&settings.data_dir)?;
    // Copied before the store: if this fails, the folder does not contain a store.
    copy_files(
        &folder.join(ATTACHMENTS),
        &settings.data_dir.join(ATTACHMENTS),
    )?;
    restore(folder, &settings.data_dir, pending)?;
    stdout::line(&format!(
        "restored {} from {}; its log has a new epoch",
        settings.data_dir.display(),
        folder.display()
    ))?;
    Ok(())
}

fn only_embedded(settings: &Settings) -> Result<()> {
    ensure!(
        !settings.has_servers(),
        "this command copies only the embedded store; \
         for MongoDB use mongodump, or snapshots of its storage"
    );
    Ok(())
}

/// Copies the files that the target lacks; each gets its name once it is whole and synced.
fn copy_files(from: &Path, to: &Path) -> Result<()> {
    if !from.exists() {
        return Ok(());
    }
    private_files::create_dir_all(to).with_context(|| to.display().to_string())?;
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
    private_files::sync_dir(to).with_context(|| to.display().to_string())
}

fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let unfinished = to.with_added_extension("unfinished");
    match std::fs::copy(from, &unfinished) {
        // Removed in the meantime.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        copied => copied?,
    };
    private_files::restrict(&unfinished)?;
    std::fs::File::open(&unfinished)?.sync_all()?;
    std::fs::rename(&unfinished, to)
}
