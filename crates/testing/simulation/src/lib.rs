//! Deterministic simulation of the whole engine in virtual time, with injected faults. The seed
//! determines every fault, so that a failure can be reproduced.
//!
//! - [`run`]: clients that retry; processes that are killed at any await point, paused beyond
//!   their leases, and restarted; stores and a queue that fail before and after a call; lost
//!   notices; subscribers that reconnect;
//! - `world`: the services and their stores; `queue`: the schedule queue of a broker;
//! - `observations`: records of clients and subscribers;
//! - `check`: invariants that must hold afterwards, by rules of its own;
//! - [`BUGS`]: planted bugs that the checker must detect.
//!
//! The stores are those of the memory adapter, which passes the same conformance suites as all
//! others.

mod check;
mod observations;
mod queue;
pub mod run;
mod world;

pub use bakehouse_faults::Bug;
pub use check::Outcome;

/// Bugs that can be planted in the simulation; all others need real servers.
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
