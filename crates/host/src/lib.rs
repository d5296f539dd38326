//! Host of a domain's program: runs the engine and the HTTP server with the domain's
//! [`ApiDefinition`](http::ApiDefinition) and the settings.
//!
//! - [`App`]: the program of a domain, with its read models and processes; all services in one
//!   process, or one of them;
//! - [`settings`]: settings that every domain has, and a domain's own;
//! - `cli`, `commands`: the command line, and the commands for operators;
//! - `adapters`, `servers`: the adapters behind the engine's ports, created from the settings;
//! - `serve`, `services`: all services in one process, or a single one;
//! - `readiness`: readiness checks of a server.
//!
//! A domain depends only on this crate: [`engine`], [`http`] and [`validation`] are re-exported,
//! and [`prelude`] has the names that every domain uses.
//!
//! Only programs depend on this crate, since it chooses the adapters.

mod adapters;
mod app;
mod cli;
mod commands;
mod faults;
mod files;
mod handler_runners;
mod handlers;
mod healthcheck;
mod http_server;
mod log_channel;
mod logging;
mod notifications;
mod output;
mod panics;
mod readiness;
mod secret;
mod serve;
#[cfg(feature = "servers")]
mod servers;
#[cfg(feature = "servers")]
mod services;
pub mod settings;
mod shutdown;
mod tasks;

pub use bakehouse_engine as engine;
pub use {bakehouse_http as http, bakehouse_validation as validation};

pub use app::{ApiContext, App, DomainApi, main};
pub use cli::listed_and_known_settings;
pub use commands::BlobsOf;
pub use log_channel::LOG_CHANNEL;
pub use notifications::Notifications;
pub use secret::{SecretText, SecretUri, SecretUrl, UrlOrFile};
pub use settings::{Configuration, DomainSettings, Settings};
pub use tasks::Tasks;

pub(crate) use adapters::Adapters;
pub(crate) use cli::{AdminArguments, Parked, ParkedTask, Part, Rebuild, Task};
pub(crate) use handlers::Handlers;

/// Names that every domain uses.
pub mod prelude {
    pub use bakehouse_engine::handlers::{
        Effect, FeedEvent, HandlerError, Needs, ProcessManager, ReadModel, Rows,
    };
    pub use bakehouse_engine::{Domain, Entity, Moment, Rejection, Verb};
    pub use bakehouse_http::accept::{Change, Submission, accept, accept_and_wait, with_id};
    pub use bakehouse_http::auth::Principal;
    pub use bakehouse_http::reads;
    pub use bakehouse_http::request::body::JsonBody;
    pub use bakehouse_http::request::path_id::PathId;
    pub use bakehouse_http::response::problem::Problem;
    pub use bakehouse_http::{ApiDefinition, AppState};
    pub use bakehouse_validation::{
        ErrorCollector, Faults, JsonNode, Members, one_of, read, text, whole_number,
    };
}
