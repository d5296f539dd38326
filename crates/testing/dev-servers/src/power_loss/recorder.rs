//! Recorder of file operations, and the cut to what a power loss leaves.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use super::disk::Disk;
use super::loss::{Choose, Ignored, Loss};
use super::records;

const LAYER: &str = include_str!("layer.c");

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
