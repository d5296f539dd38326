//! What an operator asks of a program beside serving: look whether all is as it must be,
//! copy the embedded store, make one of a copy, settle what has been set aside, and make
//! anew what is read.

pub(crate) mod admin_client;
pub(crate) mod doctor;
mod parked;
mod rebuild;

use std::path::Path;

use crate::output::stdout;
use crate::{Settings, Task};
use anyhow::{Context, Result, ensure};
use bakehouse_engine::handlers::AnyHandler;
use bakehouse_engine::{Domain, private_files};
use bakehouse_sqlite::{Pending, back_up, may_restore, restore};
use futures_util::future::LocalBoxFuture;

use self::doctor::{Own, doctor};
use self::parked::parked;
use self::rebuild::replay;

/// Attached files, beside the store.
pub(crate) const ATTACHMENTS: &str = "attachments";

/// Does a task of a program with these read models: whether all is well.
#[must_use]
pub fn operate<D: Domain>(
    settings: Settings,
    task: Task,
    read_models: Vec<AnyHandler>,
) -> LocalBoxFuture<'static, Result<bool>> {
    let own = Own {
        blobs: |_| Ok(None),
        has_processes: true,
        read_models,
    };
    operate_with::<D>(settings, task, own)
}

/// Does a task of a program that knows more of its domain.
#[must_use]
pub fn operate_with<D: Domain>(
    settings: Settings,
    task: Task,
    own: Own,
) -> LocalBoxFuture<'static, Result<bool>> {
    Box::pin(async move {
        match task {
            Task::Doctor { json, quick } => doctor::<D>(&settings, own, json, quick).await,
            Task::Backup { folder } => copy_out(&settings, &folder),
            Task::Restore {
                folder,
                resume_notifications,
            } => copy_in(&settings, &folder, resume_notifications),
            Task::Parked(asked) => parked(&settings, asked).await,
            Task::Replay(asked) => replay(&settings, asked).await,
        }
    })
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

fn copy_in(settings: &Settings, folder: &Path, resumes: bool) -> Result<bool> {
    only_embedded(settings)?;
    let pending = if resumes {
        Pending::Resume
    } else {
        Pending::Withhold
    };
    may_restore(&settings.data_dir)?;
    // Before the store: without it there is none.
    copy_files(
        &folder.join(ATTACHMENTS),
        &settings.data_dir.join(ATTACHMENTS),
    )?;
    restore(folder, &settings.data_dir, pending)?;
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
    private_files::make_folder(to).with_context(|| to.display().to_string())?;
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
    private_files::sync_folder(to).with_context(|| to.display().to_string())
}

fn copy_file(from: &Path, to: &Path) -> std::io::Result<()> {
    let unfinished = to.with_added_extension("unfinished");
    match std::fs::copy(from, &unfinished) {
        // Removed meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        copied => copied?,
    };
    private_files::tighten(&unfinished)?;
    std::fs::File::open(&unfinished)?.sync_all()?;
    std::fs::rename(&unfinished, to)
}
