//! The limit on open files of this process.

/// Limit on open files, if there is one; whoever starts the process has raised it.
#[cfg(unix)]
pub(crate) fn open_files_limit() -> Option<usize> {
    use nix::sys::resource::{Resource, getrlimit};

    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Unknown on this system.
#[cfg(not(unix))]
pub(crate) fn open_files_limit() -> Option<usize> {
    None
}
