//! The whole engine in virtual time, with everything going wrong: by a seed, so that what
//! goes wrong once can be made to go wrong again.
//!
//! - [`run`]: clients that insist, processes that are killed at whatever they wait for,
//!   stand still beyond their leases, and begin again; stores and queue that fail before and
//!   after; notices that are lost; subscribers that come and go;
//! - `world`: the services; `queue`: a broker's way of keeping things;
//! - `check`: what must be true afterwards, by rules of its own;
//! - [`bug`]: bugs to see whether they are found; `wrong`: stores that have them.
//!
//! Stores are those of the memory adapter, which keep to the same rules as all
//! others.

pub mod bug;
mod check;
mod queue;
pub mod run;
mod world;
mod wrong;

pub use check::Outcome;
