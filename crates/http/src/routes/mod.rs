//! Routes of every domain.
//!
//! - [`receipt`]: the state of an accepted operation;
//! - [`correlation`]: all operations that one request caused;
//! - [`parked`]: parked operations and their resolution, for operators;
//! - [`read_models`] and [`rebuilds`]: their state, and online rebuilds;
//! - [`health`]: liveness and readiness, of every service.

pub mod correlation;
pub mod health;
pub mod parked;
pub mod read_models;
pub mod rebuilds;
pub mod receipt;
