//! Fault injection against the real programs and servers, under load. Clients keep ledgers outside
//! the system, against which the results are checked.
//!
//! - [`clients`] with [`ledger`]: clients that send requests, and the record of their answers;
//! - [`subscribers`] with [`stream`], and [`webhook_receiver`]: consumers of the feed and of
//!   notifications;
//! - [`intruder`] and [`hostile`]: clients without permission, and clients that abuse connections;
//! - [`setup`] with [`proxy`], [`disk`] and [`command`]: the system under test;
//! - [`fault`]: the faults and their plan, which is determined by a seed;
//! - [`nemesis`] with [`messages`] and [`rebuilds`]: injection of the faults;
//! - [`run`] with [`recovery`]: one complete run;
//! - [`evidence`] with [`log`], [`queries`] and [`reads`]: the final state of stores and API;
//! - [`check`] with [`model`] and [`findings`]: the checks of that state;
//! - [`report`]: the results as text and JSON;
//! - [`mutation_check`] with [`bugs`]: planted bugs that the checks must find.
//!
//! The crate does not depend on the code under test: it uses the public interface and reads the
//! stores with their own drivers.

pub mod bugs;
pub mod check;
pub mod clients;
pub mod command;
pub mod disk;
pub mod evidence;
pub mod fault;
pub mod findings;
pub mod hostile;
pub mod intruder;
pub mod ledger;
pub mod log;
pub mod messages;
pub mod model;
pub mod mutation_check;
pub mod nemesis;
pub mod proxy;
pub mod queries;
pub mod reads;
pub mod rebuilds;
pub mod recovery;
pub mod report;
pub mod run;
pub mod setup;
pub mod stream;
pub mod subscribers;
pub mod webhook_receiver;
