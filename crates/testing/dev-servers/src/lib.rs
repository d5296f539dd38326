//! Real MongoDB and RabbitMQ for tests and development: found or fetched,
//! started on ports and in folders of their own, killed, and cleaned up.
//!
//! - [`shared`]: the two servers that a whole test run shares;
//! - [`Mongo`], [`ReplicaSet`] and [`Rabbit`]: servers of one test's own, to be killed,
//!   stopped and paused;
//! - `provision`: where the programs come from;
//! - [`secured`], [`tls`]: the same over TLS, with passwords;
//! - [`browser`]: a real one;
//! - [`power_loss`]: what a process leaves on disk when the power goes;
//! - [`python`], [`node`]: programs that tests run;
//! - [`skipped`]: tests that cannot run for want of such a program.

pub mod browser;
mod files;
mod launch;
pub mod mail;
mod mongo;
pub mod node;
pub mod ports;
pub mod power_loss;
mod process;
mod provision;
pub mod python;
mod rabbit;
mod replica_set;
pub mod s3;
pub mod secured;
pub mod shared;
pub mod skipped;
pub mod tls;

pub use mongo::Mongo;
pub use provision::{false_clock, prepare_tools};
pub use rabbit::Rabbit;
pub use replica_set::ReplicaSet;
