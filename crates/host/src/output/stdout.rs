//! Standard output of commands.

use std::io::{ErrorKind, stdout};
use std::os::fd::AsFd;

use anyhow::{Context, Result};

use super::descriptor;

/// Writes text to standard output, and waits for its reader as long as there is one.
/// `false`: the reader has closed it (`doctor | head`), so that more is of no use.
///
/// # Errors
/// When it cannot be written, as on a full disk.
pub(crate) fn print(text: &str) -> Result<bool> {
    match descriptor::write_all(stdout().as_fd(), text.as_bytes()) {
        Ok(()) => Ok(true),
        Err(failed) if failed.error.kind() == ErrorKind::BrokenPipe => Ok(false),
        Err(failed) => Err(failed.error).context("standard output: cannot be written"),
    }
}

/// Writes a line.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn line(text: &str) -> Result<bool> {
    print(&format!("{text}\n"))
}
