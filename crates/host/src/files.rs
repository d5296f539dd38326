//! Limits of the process on files: the number of open ones, and the permissions of new ones.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Raises the soft limit on open files, connections included, to the hard limit. The usual soft
/// limit of 1,024 is too low for thousands of subscribers.
pub(crate) fn raise_open_files_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(())
    });
    if let Err(error) = raised {
        tracing::warn!("cannot raise the limit on open files: {error}");
    }
}

/// Removes all permissions of group and others from new files of the process, including those of
/// libraries, whatever umask it was started with.
pub(crate) fn restrict_umask() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}
