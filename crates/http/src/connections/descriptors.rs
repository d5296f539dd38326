//! The limit on open files of this process.

/// Raises the limit on open files as far as the system allows; the limit then, if there is one.
#[cfg(unix)]
pub(crate) fn open_files_limit() -> Option<usize> {
    use nix::sys::resource::{Resource, getrlimit, setrlimit};

    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    if soft < hard
        && let Err(error) = setrlimit(Resource::RLIMIT_NOFILE, hard, hard)
    {
        tracing::debug!("the limit on open files stays at {soft}: {error}");
    }
    let (limit, _) = getrlimit(Resource::RLIMIT_NOFILE).ok()?;
    Some(usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Unknown on this system.
#[cfg(not(unix))]
pub(crate) fn open_files_limit() -> Option<usize> {
    None
}
