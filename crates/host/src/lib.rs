//! Runs the engine with a domain: a program hands over its [`ApiDefinition`], and the settings say the
//! rest.
//!
//! - [`App`]: the whole program of a domain, with its read models and processes;
//! - [`serve`]: all four services in one process, with any adapters;
//! - [`commands`]: what an operator runs beside serving;
//! - [`readiness`]: readiness checks of a server;
//! - [`Adapters`]: the adapters behind the engine's ports;
//! - [`http_server`]: the HTTP server, configured by the settings;
//! - [`servers`]: MongoDB and RabbitMQ, configured by the settings;
//! - [`settings`], command line, logs, signals and an end in time: the rest.
//!
//! A domain needs nothing but this crate: [`engine`], [`http`] and [`validation`] are
//! re-exported, and [`prelude`] has what every domain takes from them.
//!
//! For programs only: nothing else chooses adapters.

mod adapters;
mod app;
mod cli;
pub mod commands;
mod files;
mod handler_runners;
mod handlers;
mod healthcheck;
pub mod http_server;
mod log_channel;
mod logging;
pub mod output;
mod panics;
pub mod readiness;
mod reference;
mod secret;
mod serve;
#[cfg(feature = "servers")]
pub mod servers;
pub mod settings;
mod shutdown;
mod stages;

pub use bakehouse_engine as engine;
pub use bakehouse_http::ApiDefinition;
pub use {bakehouse_http as http, bakehouse_validation as validation};

pub use adapters::Adapters;
pub use app::{App, embedded, main, watch};
pub use cli::{
    AdminArguments, Operate, Parked, ParkedTask, Part, Replay, Service, Task, main as start,
};
pub use commands::doctor::Own;
pub use commands::{operate, operate_with};
pub use handlers::Handlers;
pub use log_channel::LANE as LOG;
pub use secret::{SecretText, SecretUri, SecretUrl, UrlOrFile};
pub use serve::serve;
pub use settings::Settings;
pub use stages::Stages;

/// What every domain takes.
pub mod prelude {
    pub use bakehouse_engine::handlers::{
        Effect, Failed, FeedEvent, Needs, ProcessManager, ReadModel, Rows,
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
        Collector, Faults, Members, Place, one_of, read, text, whole_number,
    };
}
