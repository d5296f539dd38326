//! HTTP and websocket server for any domain: requests become operations, documents and frames
//! become responses.
//!
//! - [`api_definition`]: routes and names that a domain adds to those of every domain;
//! - [`exposure`]: host and origin checks, CORS and security headers; runs before anything else;
//! - [`auth`]: authentication, authorization and rate limits;
//! - [`request`] and [`response`]: parsing of requests, building of responses;
//! - [`accept`]: from a request to a durable operation and its 202;
//! - [`reads`]: documents, lists and rows;
//! - [`routes`]: routes of every domain;
//! - [`feed`]: every change, over a websocket or as server-sent events;
//! - [`websocket`]: the websocket protocol, independent of its payload;
//! - `listener` and `connections`: the HTTP library on each accepted connection, and the limits
//!   on connections and on the memory they use;
//! - [`limits`]: limits on concurrent and expensive work of one client;
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
