//! Real servers for tests and development: located or downloaded, started on free ports and in
//! folders of their own, killed, and cleaned up.
//!
//! - [`shared`]: the MongoDB and the RabbitMQ that a test run shares;
//! - [`Mongo`], [`ReplicaSet`] and [`Rabbit`]: servers of a single test, which it may kill, stop
//!   and pause;
//! - `provision`: location and download of the programs;
//! - [`secured`], [`tls`]: servers with TLS and passwords;
//! - [`mail`], [`s3`]: a mail server and an S3 server;
//! - [`browser`]: a browser with its WebDriver;
//! - [`power_loss`]: simulation of a power loss on the files of a process;
//! - [`python`], [`node`]: Python and JavaScript programs that tests run;
//! - [`skipped`]: report of tests that are skipped because such a program is missing.

pub mod browser;
mod files;
mod launch;
pub mod mail;
mod mongo;
pub mod node;
mod packages;
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
pub use process::has_stopped;
pub use provision::{false_clock, prepare_tools};
pub use rabbit::Rabbit;
pub use replica_set::ReplicaSet;
