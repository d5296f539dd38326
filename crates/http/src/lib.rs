//! HTTP and websockets for any domain: requests become operations, documents and frames become
//! responses.
//!
//! - [`api_definition`]: what a domain adds to the routes that all domains have;
//! - [`exposure`]: which hosts and pages are answered, before anything else;
//! - [`auth`]: who may do what;
//! - [`request`] and [`response`]: their parts;
//! - [`accept`]: from a request to a durable operation, and its 202;
//! - [`reads`]: documents, lists and rows;
//! - [`routes`]: the routes that all domains have;
//! - [`feed`]: every change, over a websocket or as server-sent events;
//! - [`websocket`]: the websocket protocol, independent of what it carries;
//! - `listener` and `connections`: the HTTP library on each accepted connection, how many there
//!   may be, and what each may hold;
//! - [`limits`]: what one client may keep the server busy with;
//! - [`metrics`]: counters, and the lag of the stages.

pub mod accept;
pub mod api_definition;
pub mod auth;
mod cached;
mod connections;
pub mod exposure;
pub mod feed;
pub mod limits;
mod listener;
pub mod metrics;
mod middleware;
pub mod reads;
pub mod request;
pub mod response;
pub mod routes;
mod server;
pub mod state;
pub mod websocket;

pub use api_definition::ApiDefinition;
pub use connections::ConnectionSettings;
pub use limits::{LimitSettings, Limits};
pub use server::{Server, Settings, serve_health};
pub use state::{AppState, RebuildTargets, RequestSettings};
