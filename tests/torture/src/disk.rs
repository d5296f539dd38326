//! A small disk, to be filled: a file system as they are in use, in a file.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::scene::run;

/// Left when it is full: less than anything of use takes.
const LEFT: i64 = 4 << 10;
/// More than there is.
const MOST: i64 = 1 << 40;

/// A file system of its own. Unmounted when dropped.
pub struct Disk(PathBuf);

/// Mounts ext4 or, only where that cannot be had, a file system in memory, without a disk's ways.
fn mount_at(folder: &Path, bytes: u64) -> Result<()> {
    let at = folder.display().to_string();
    let image = folder.with_extension("ext4");
    let file = image.display().to_string();
    let make = || -> Result<()> {
        File::create(&image)?.set_len(bytes)?;
        // Nothing of it is kept for root, who would not notice that it is full.
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &file])?;
        run("mount", &["-o", "loop", &file, &at])
    };
    let Err(error) = make() else { return Ok(()) };
    eprintln!("torture: a file system in memory, since no other can be had: {error:#}");
    let _ = std::fs::remove_file(&image);
    let size = format!("size={bytes}");
    run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &at])
}

impl Disk {
    /// One of so many bytes. It takes the right to mount.
    ///
    /// # Errors
    /// When that is not given.
    pub fn mount(folder: &Path, bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        mount_at(folder, bytes)?;
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
        let filler = File::create(self.filler())?;
        // Taken, not written: that it is full is what matters.
        let (mut length, mut more) = (0, MOST);
        while more > LEFT {
            match fallocate(&filler, FallocateFlags::empty(), length, more) {
                Ok(()) => length += more,
                Err(Errno::ENOSPC) => more /= 2,
                Err(error) => return Err(error.into()),
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
