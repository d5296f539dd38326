//! A small disk that can be filled: an ext4 file system in a file.

use std::fs::File;
use std::path::{Path, PathBuf};

use anyhow::Result;
use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};

use crate::command::run;

/// Size in bytes that may remain free on a full disk.
const MIN_BLOCK: i64 = 4 << 10;
/// First size to allocate, in bytes; larger than any disk.
const MAX_BLOCK: i64 = 1 << 40;

/// A mounted file system. Dropping it unmounts it.
pub struct Disk(PathBuf);

/// Mounts ext4, or tmpfs if that is not possible.
fn mount_filesystem(folder: &Path, bytes: u64) -> Result<()> {
    let at = folder.display().to_string();
    let image = folder.with_extension("ext4");
    let file = image.display().to_string();
    let make = || -> Result<()> {
        File::create(&image)?.set_len(bytes)?;
        // Without blocks reserved for root, which could still write to a full disk.
        run("mkfs.ext4", &["-q", "-F", "-m", "0", &file])?;
        run("mount", &["-o", "loop", &file, &at])
    };
    let Err(error) = make() else { return Ok(()) };
    eprintln!("torture: using tmpfs, since ext4 cannot be mounted: {error:#}");
    let _ = std::fs::remove_file(&image);
    let size = format!("size={bytes}");
    run("mount", &["-t", "tmpfs", "-o", &size, "tmpfs", &at])
}

impl Disk {
    /// Mounts a disk of so many bytes at a folder. Requires the permission to mount.
    ///
    /// # Errors
    /// When the folder cannot be created or nothing can be mounted.
    pub fn mount(folder: &Path, bytes: u64) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        mount_filesystem(folder, bytes)?;
        Ok(Self(folder.to_owned()))
    }

    /// Returns the folder where it is mounted.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.0
    }

    /// Fills the disk.
    ///
    /// # Errors
    /// When space cannot be allocated for another reason than a full disk.
    pub fn fill(&self) -> Result<()> {
        let filler = File::create(self.filler())?;
        // Allocates without writing, by halving the size until nothing fits.
        let (mut length, mut more) = (0, MAX_BLOCK);
        while more > MIN_BLOCK {
            match fallocate(&filler, FallocateFlags::empty(), length, more) {
                Ok(()) => length += more,
                Err(Errno::ENOSPC) => more /= 2,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Frees the space again.
    ///
    /// # Errors
    /// When the disk is not filled, or the file cannot be removed.
    pub fn empty(&self) -> Result<()> {
        Ok(std::fs::remove_file(self.filler())?)
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // Lazily: a process that was just killed may still have a file open.
        let _ = run("umount", &["-l", &self.0.display().to_string()]);
    }
}
