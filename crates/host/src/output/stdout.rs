//! Standard output of commands.

use std::io::{ErrorKind, stdout};
use std::os::fd::AsFd;

use anyhow::{Context, Result};

use super::descriptor;

/// Writes text to standard output, and waits while its reader is slow. Returns `false` if the
/// reader has closed it (`doctor | head`), so that further output is useless.
///
/// # Errors
/// An error if it cannot be written, for example because the disk is full.
pub(crate) fn print(text: &str) -> Result<bool> {
    match descriptor::write_all(stdout().as_fd(), text.as_bytes()) {
        Ok(()) => Ok(true),
        Err(failed) if failed.error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(failed) => Err(failed.error).context("standard output: cannot be written"),
    }
}

/// Writes text and a line break: see [`print`].
///
/// # Errors
/// An error if it cannot be written.
pub(crate) fn line(text: &str) -> Result<bool> {
    print(&format!("{text}\n"))
}
