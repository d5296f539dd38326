//! HTTP and websocket, for any domain: the edge where bytes become operations, and
//! documents and frames become bytes.
//!
//! - [`menu`]: what a domain adds to what is here for all of them;
//! - [`exposure`]: which hosts and pages are answered, before anything else;
//! - [`access`]: who may do what;
//! - [`accept`]: from a request to an operation that is durable, and its 202;
//! - [`reading`]: what was baked, as soon as it is there;
//! - [`operation`]: the receipt of what was accepted;
//! - [`correlation`]: everything that one request set off;
//! - [`parked`]: what operators do about what was set aside;
//! - [`read_models`]: what is made of them, and having one made anew;
//! - [`rebuilds`]: having the source state or the presentation made anew;
//! - `listener`: the HTTP library on each connection that is accepted;
//! - `connections`: how many connections there may be, and what each may hold;
//! - [`feed`]: every change, over a websocket or as server-sent events;
//! - [`websocket`]: what a websocket is, whatever it carries;
//! - [`metrics`]: what has been counted, and how far the stages are behind;
//! - [`health`]: liveness and readiness, for every service;
//! - [`limits`]: what one client may keep the server busy with;
//! - [`problem`]: every error as a problem document (RFC 9457).

pub mod accept;
pub mod access;
pub mod body;
mod cached;
pub mod conditions;
mod connections;
mod content_coding;
pub mod correlation;
pub mod exposure;
pub mod feed;
mod hangup;
mod head;
pub mod health;
pub mod limits;
mod listener;
pub mod menu;
pub mod metrics;
pub mod operation;
pub mod parked;
pub mod parts;
pub mod path_id;
pub mod prefer;
pub mod problem;
pub mod query;
pub mod read_models;
pub mod reading;
pub mod rebuilds;
mod server;
mod uniform;
pub mod websocket;

pub use connections::ConnectionSettings;
pub use limits::{LimitSettings, Limits};
pub use menu::Menu;
pub use rebuilds::Remade;
pub use server::{Doors, Server, Settings, serve_health};
