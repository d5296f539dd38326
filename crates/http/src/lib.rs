//! HTTP and websocket: the edge where bytes become operations, and documents
//! and frames become bytes.
//!
//! - [`access`]: who may do what, before anything else;
//! - [`orders`]: one file a call;
//! - [`attachments`]: files that belong to orders;
//! - [`operation`]: the receipt of what was accepted;
//! - `parked`: what operators do about what was set aside;
//! - [`feed`]: every change, over a websocket or as server-sent events;
//! - [`websocket`]: what a websocket is, whatever it carries;
//! - `page`: the page at `/`, which uses nothing but all this;
//! - `metrics`: what has been counted, and how far the stages are behind;
//! - [`health`]: liveness and readiness, for every service;
//! - [`problem`]: every error as a problem document (RFC 9457).

pub mod access;
pub mod attachments;
mod body;
mod conditions;
mod cors;
mod docs;
pub mod feed;
pub mod health;
mod metrics;
mod operation;
pub mod orders;
mod page;
mod parked;
mod path_id;
mod prefer;
pub mod problem;
mod query;
mod server;
pub mod websocket;

pub use server::{Doors, Server, Settings, serve_health};
