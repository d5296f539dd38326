//! Power loss below SIGKILL: what a process had synced is on disk, what it had only written may
//! not be.
//!
//! - `layer.c`: a library for `LD_PRELOAD` that records what a process does to one folder;
//! - [`records`]: the records, as they are read back;
//! - [`disk`]: a model of the disk, which tells synced data and names from those that are not.
//!
//! A [`Recorder`] takes the folder as it is for synced. The process runs with
//! [`Recorder::environment`] until it is killed; [`Recorder::cut`] then leaves in the folder what
//! a disk would have after the power went. The model is strict where POSIX is: a file's name is
//! on disk once its folder is synced, and a sync of one file says nothing about another.
//! [`rerun`] does all of that with the calling test itself as the process.

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

/// Picks a number from 0 to the given one (inclusive): how many of the unsynced writes of a page,
/// or of the unsynced names of a folder, reached the disk all the same.
pub type Choose<'a> = &'a mut dyn FnMut(usize) -> usize;

/// A disk on which nothing but what was synced is left.
pub fn nothing_unsynced(_: usize) -> usize {
    0
}

/// A disk on which chance, by a seed, decides what of the unsynced is left.
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

/// Syncs that are taken as never made: a planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// Syncs of files whose name begins like this.
    Files(&'static str),
    /// Syncs of files in a folder of this name, or below it.
    Below(&'static str),
    /// Syncs of folders.
    Folders,
}

/// Result of a loss of power: what it took, and what the records say about themselves.
#[derive(Clone, Debug, Default)]
pub struct Loss {
    /// Operations recorded.
    pub records: u64,
    /// Syncs among them.
    pub syncs: u64,
    /// Unsynced writes and truncations.
    pub writes: u64,
    /// Unsynced changes of names.
    pub names: u64,
    /// Files that were mapped for writing, which no record can follow.
    pub mapped: BTreeSet<String>,
    /// Files that hold something else than what was recorded.
    pub unrecorded: Vec<String>,
}

impl Loss {
    /// Adds up the figures of several losses.
    pub fn add(&mut self, other: Self) {
        self.records += other.records;
        self.syncs += other.syncs;
        self.writes += other.writes;
        self.names += other.names;
        self.mapped.extend(other.mapped);
        self.unrecorded.extend(other.unrecorded);
    }
}

/// Recorder of what one process does to a folder.
pub struct Recorder {
    root: PathBuf,
    layer: PathBuf,
    aside: TempDir,
    disk: Disk,
}

impl Recorder {
    /// Takes the folder, which nobody may be at work in, for synced as it is. Copies and records
    /// are kept in a folder of their own beside it.
    ///
    /// # Errors
    /// When there is no C compiler, or no place for the copy.
    pub fn begin(root: &Path) -> Result<Self> {
        let root = root.canonicalize().context("the folder to record")?;
        let beside = root.parent().context("a folder that holds the folder")?;
        let aside = TempDir::with_prefix_in("power-loss-", beside)?;
        let layer = aside.path().join("layer.so");
        std::fs::copy(library()?, &layer)?;
        let disk = Disk::of(&root, &aside.path().join("pool"))?;
        Ok(Self {
            root,
            layer,
            aside,
            disk,
        })
    }

    /// Variables for the process that is recorded.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let file = |name: &str| self.aside.path().join(name).display().to_string();
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

    /// Cuts the power, once the process has been killed: leaves in the folder what is on disk.
    ///
    /// # Errors
    /// When the records cannot be read, or the folder cannot be written.
    pub fn cut(mut self, choose: Choose<'_>, ignored: Option<Ignored>) -> Result<Loss> {
        let log = records::read(&self.aside.path().join("log"))?;
        for record in log {
            self.disk.apply(record, ignored)?;
        }
        let busy = records::busy(&self.aside.path().join("busy"))?;
        self.disk.compare(&self.root, &busy)?;
        let left = self.aside.path().join("left");
        let loss = self.disk.lose(choose, &left)?;
        // The folder itself stays: somebody may have mounted it, or stand in it.
        for entry in std::fs::read_dir(&self.root)? {
            let path = entry?.path();
            let removed = match path.is_dir() {
                true => std::fs::remove_dir_all(&path),
                false => std::fs::remove_file(&path),
            };
            removed.with_context(|| path.display().to_string())?;
        }
        for entry in std::fs::read_dir(&left)? {
            let entry = entry?;
            std::fs::rename(entry.path(), self.root.join(entry.file_name()))?;
        }
        Ok(loss)
    }
}

/// Compiles the layer, once.
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
    let output = output.context("cc, a C compiler, is needed to record what a process syncs")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "cc: {said}");
    Ok((folder, library))
}
