//! Limit on open files of this process.

/// Returns the soft limit on open files; `None` if it cannot be read.
#[cfg(unix)]
pub(crate) fn open_files_limit() -> Option<usize> {
    use nix::sys::resource::{Resource, getrlimit};

    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Returns `None`: the limit is not known on this system.
#[cfg(not(unix))]
pub(crate) fn open_files_limit() -> Option<usize> {
    None
}
