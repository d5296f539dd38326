//! HTTP and websocket: the edge where bytes become operations, and documents
//! and frames become bytes.
//!
//! - [`orders`]: one file a call;
//! - [`feed`]: the websocket;
//! - [`health`]: liveness and readiness, for every service;
//! - [`problem`]: every error as a problem document (RFC 9457).

pub mod feed;
pub mod health;
pub mod orders;
pub mod problem;
mod server;

pub use server::{Doors, Server, Settings, serve_health};
