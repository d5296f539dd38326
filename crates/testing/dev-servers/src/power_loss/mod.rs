//! Simulated power loss: data that a process has synced is on disk; data that it has only written
//! may be lost, unlike after SIGKILL.
//!
//! - `layer.c`: a library for `LD_PRELOAD` that records what a process does to one folder;
//! - `records`: reader of the records;
//! - `disk`: model of the disk, which separates synced data and names from unsynced ones.
//!
//! A [`Recorder`] assumes that the folder is synced at first. The process runs with
//! [`Recorder::environment`] until it is killed; [`Recorder::cut`] then reduces the folder to what
//! a disk would have after a power loss. The model is as strict as POSIX: a file's name is on disk
//! once its folder is synced, and a sync of one file does not sync another. [`rerun`] does all of
//! this with the calling test as the process.

mod disk;
mod loss;
mod recorder;
mod records;
mod rerun;

pub use self::loss::{Choose, Ignored, Loss, by_seed, nothing_unsynced};
pub use self::recorder::Recorder;
pub use self::rerun::{is_recorded, kept, rerun, wait_for_the_end};
