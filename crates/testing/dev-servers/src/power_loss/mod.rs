//! Simulated power loss: data that a process has synced is on disk; data that it has only written
//! may be lost, unlike after SIGKILL.
//!
//! - `layer.c`: a library for `LD_PRELOAD` that records what a process does to one folder;
//! - [`records`]: reader of the records;
//! - [`disk`]: model of the disk, which separates synced data and names from unsynced ones.
//!
//! A [`Recorder`] assumes that the folder is synced at first. The process runs with
//! [`Recorder::environment`] until it is killed; [`Recorder::cut`] then reduces the folder to what
//! a disk would have after a power loss. The model is as strict as POSIX: a file's name is on disk
//! once its folder is synced, and a sync of one file does not sync another. [`rerun`] does all of
//! this with the calling test as the process.

mod disk;
mod records;
mod rerun;

pub use self::rerun::{is_recorded, kept, rerun, wait_for_the_end};

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use self::disk::Disk;

const LAYER: &str = include_str!("layer.c");

/// Chooses a number from 0 to the given maximum (inclusive): the number of unsynced writes of a
/// page, or unsynced names of a folder, that reach the disk nevertheless.
pub type Choose<'a> = &'a mut dyn FnMut(usize) -> usize;

/// Keeps synced data only.
pub fn nothing_unsynced(_: usize) -> usize {
    0
}

/// Returns a choice that keeps a random part of the unsynced data, by a seed.
pub fn by_seed(seed: u64) -> impl FnMut(usize) -> usize {
    // An xorshift generator, whose state must not be 0.
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    move |most| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let numbers = most as u64 + 1;
        usize::try_from((state >> 11) % numbers).unwrap_or(most)
    }
}

/// Syncs that the model ignores: a planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Syncs of files whose name starts with this prefix.
    Files(&'static str),
    /// Syncs of files below a folder of this name.
    Below(&'static str),
    /// Syncs of folders.
    Folders,
}

/// Result of a power loss: figures of the lost data, and of the records.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    /// Number of recorded operations.
    pub records: u64,
    /// Number of syncs among them.
    pub syncs: u64,
    /// Number of unsynced writes and truncations.
    pub writes: u64,
    /// Number of unsynced changes of names.
    pub names: u64,
    /// Files that were mapped for writing; their changes are not recorded.
    pub mapped: BTreeSet<String>,
    /// Files whose content differs from the records.
    pub unrecorded: Vec<String>,
}

impl Loss {
    /// Adds the figures of another loss.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.syncs += other.syncs;
        self.writes += other.writes;
        self.names += other.names;
        self.mapped.extend(other.mapped);
        self.unrecorded.extend(other.unrecorded);
    }
}

/// Recorder of the file operations of one process in a folder.
pub struct Recorder {
    root: PathBuf,
    layer: PathBuf,
    work: TempDir,
    disk: Disk,
}

impl Recorder {
    /// Copies the folder, which no process may be using, as synced. Copies and records are stored
    /// in a temporary folder next to it.
    ///
    /// # Errors
    /// If there is no C compiler, or the folder cannot be copied.
    pub fn begin(root: &Path) -> Result<Self> {
        let root = root.canonicalize().context("the folder to record")?;
        let parent = root.parent().context("the parent of the folder")?;
        let work = TempDir::with_prefix_in("power-loss-", parent)?;
        let layer = work.path().join("layer.so");
        std::fs::copy(library()?, &layer)?;
        let disk = Disk::of(&root, &work.path().join("pool"))?;
        Ok(Self {
            root,
            layer,
            work,
            disk,
        })
    }

    /// Returns the environment variables for the recorded process.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let file = |name: &str| self.work.path().join(name).display().to_string();
        vec![
            ("LD_PRELOAD".to_owned(), self.layer.display().to_string()),
            (
                "POWER_LOSS_ROOT".to_owned(),
                self.root.display().to_string(),
            ),
            ("POWER_LOSS_LOG".to_owned(), file("log")),
            ("POWER_LOSS_BUSY".to_owned(), file("busy")),
        ]
    }

    /// Simulates the power loss after the process was killed: reduces the folder to what is on
    /// disk.
    ///
    /// # Errors
    /// If the records cannot be read, or the folder cannot be written.
    pub fn cut(mut self, choose: Choose<'_>, ignored: Option<Ignored>) -> Result<Loss> {
        let log = records::read(&self.work.path().join("log"))?;
        for record in log {
            self.disk.apply(record, ignored)?;
        }
        let busy = records::busy(&self.work.path().join("busy"))?;
        self.disk.compare(&self.root, &busy)?;
        let remaining = self.work.path().join("left");
        let loss = self.disk.lose(choose, &remaining)?;
        // Keeps the folder itself, which may be a mount point or a working directory.
        for entry in std::fs::read_dir(&self.root)? {
            let path = entry?.path();
            let removed = match path.is_dir() {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            removed.with_context(|| path.display().to_string())?;
        }
        for entry in std::fs::read_dir(&remaining)? {
            let entry = entry?;
            std::fs::rename(entry.path(), self.root.join(entry.file_name()))?;
        }
        Ok(loss)
    }
}

/// Compiles the layer once per process; returns its path.
fn library() -> Result<&'static Path> {
    static LIBRARY: OnceLock<Result<(TempDir, PathBuf), String>> = OnceLock::new();
    let compiled = LIBRARY.get_or_init(|| compile().map_err(|error| format!("{error:#}")));
    match compiled {
        Ok((_, library)) => Ok(library),
        Err(error) => anyhow::bail!("{error}"),
    }
}

fn compile() -> Result<(TempDir, PathBuf)> {
    let folder = TempDir::with_prefix("power-loss-layer-")?;
    let (source, library) = (
        folder.path().join("layer.c"),
        folder.path().join("layer.so"),
    );
    std::fs::write(&source, LAYER)?;
    let mut compiler = Command::new("cc");
    compiler.args(["-O1", "-shared", "-fPIC", "-pthread", "-o"]);
    let output = compiler.arg(&library).arg(&source).output();
    let output = output.context("cc: a C compiler is needed to record the syncs of a process")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cc: {errors}");
    Ok((folder, library))
}
