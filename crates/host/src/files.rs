//! Limits on files of the process: how many, connections among them, it may have open,
//! and who else may read those that it makes.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::stat::{Mode, umask};

/// Raises the limit to what the system allows anyway: the usual 1,024 is a
/// courtesy to programs that cannot count further, and thousands of subscribers
/// are meant to be possible.
pub(crate) fn allow_many() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        }
        Ok(())
    });
    if let Err(error) = raised {
        tracing::warn!("the limit of open files stays as it is: {error}");
    }
}

/// Files that the process makes from now on are its owner's alone, whatever umask it was
/// started with; those of libraries as well.
pub(crate) fn keep_private() {
    umask(Mode::S_IRWXG | Mode::S_IRWXO);
}
