//! Real MongoDB and RabbitMQ for tests and development: found or fetched,
//! started on ports and in folders of their own, killed, and cleaned up.
//!
//! - [`shared`]: the two servers that a whole test run shares;
//! - [`Mongo`] and [`Rabbit`]: servers of one test's own, to be killed, stopped
//!   and paused;
//! - [`provision`]: where the programs come from;
//! - [`browser`]: a real one;
//! - [`python`], [`node`]: programs that tests run.

pub mod browser;
mod files;
mod launch;
pub mod mail;
mod mongo;
pub mod node;
pub mod ports;
mod process;
mod provision;
pub mod python;
mod rabbit;
pub mod s3;
pub mod shared;

pub use mongo::Mongo;
pub use rabbit::Rabbit;
