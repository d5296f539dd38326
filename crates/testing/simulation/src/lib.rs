//! The whole engine in virtual time, with everything going wrong: by a seed, so that what
//! goes wrong once can be made to go wrong again.
//!
//! - [`run`]: clients that insist, processes that are killed at whatever they wait for,
//!   stand still beyond their leases, and begin again; stores and queue that fail before and
//!   after; notices that are lost; subscribers that come and go;
//! - `world`: the services; `queue`: a broker's way of keeping things;
//! - `check`: what must be true afterwards, by rules of its own;
//! - [`BUGS`]: those that are planted to see whether they are found.
//!
//! Stores are those of the memory adapter, which keep to the same rules as all
//! others.

mod check;
mod queue;
pub mod run;
mod world;

pub use bakehouse_engine::fault_injection::bug::Bug;
pub use check::Outcome;

/// The bugs that can be planted here; all others are of real servers.
pub const BUGS: [Bug; 13] = [
    Bug::AckBeforeInsert,
    Bug::SilentDrop,
    Bug::IgnoredRefusal,
    Bug::RequeueAtTheEnd,
    Bug::NoFence,
    Bug::CheckpointBeforeDocuments,
    Bug::CheckpointBeforeRows,
    Bug::NoRevision,
    Bug::SinceOffByOne,
    Bug::DedupWindow,
    Bug::FreshIdentity,
    Bug::LostWakeUp,
    Bug::TwoLeaders,
];
