//! A small disk, to be filled.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::scene::run;

/// Left when it is full: less than anything of use takes.
const LEFT: usize = 4 << 10;

/// A file system of its own. Unmounted when dropped.
pub struct Disk(PathBuf);

impl Disk {
    /// One of so many bytes. It takes the right to mount.
    ///
    /// # Errors
    /// When that is not given.
    pub fn mount(folder: &Path, bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let at = folder.display().to_string();
        let size = format!("size={bytes}");
        run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &at])?;
        Ok(Self(folder.to_owned()))
    }

    /// Where it is.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Fills it to the brim.
    ///
    /// # Errors
    /// When nothing at all can be written.
    pub fn fill(&self) -> Result<()> {
        let mut filler = File::create(self.filler())?;
        let mut block = vec![0_u8; 16 << 20];
        while block.len() > LEFT {
            if filler.write_all(&block).is_err() {
                let half = block.len() / 2;
                block.truncate(half);
            }
        }
        Ok(())
    }

    /// Makes room again.
    ///
    /// # Errors
    /// When that is not possible.
    pub fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: somebody who was killed just now may still have a file open.
        let _ = run("umount", &["-l", &self.0.display().to_string()]);
    }
}
