//! The engine at work on a domain: a main hands over its [`Menu`], and the settings
//! say the rest.
//!
//! - [`Kitchen`]: the whole main of a domain, with its read models and processes;
//! - [`serve`]: all four services in one process, whatever the stores;
//! - [`operate`]: what an operator asks of a program beside serving;
//! - [`readiness`]: whether a server can do all that it offers;
//! - [`World`]: who stands behind the doors;
//! - [`edge`]: HTTP by the settings;
//! - [`servers`]: MongoDB and RabbitMQ by the settings.
//!
//! A domain of one's own needs nothing but this crate: [`engine`], [`http`] and
//! [`intake`] are in it, and [`prelude`] has what every domain takes from them.
//!
//! For mains only: nothing else chooses who stands behind a door.

mod counter;
mod doctor;
pub mod edge;
mod following;
mod handlers;
mod kitchen;
mod log_channel;
mod operate;
mod parked;
pub mod readiness;
mod replay;
mod serve;
#[cfg(feature = "servers")]
pub mod servers;
mod world;

pub use bakehouse_http::Menu;
pub use bakehouse_pipeline as engine;
pub use bakehouse_service::{Service, Settings, Stages};
pub use {bakehouse_http as http, bakehouse_intake as intake};

pub use doctor::Own;
pub use handlers::Handlers;
pub use kitchen::{Kitchen, embedded, main, watch};
pub use log_channel::LANE as LOG;
pub use operate::{operate, operate_with};
pub use serve::serve;
pub use world::World;

/// What every domain takes.
pub mod prelude {
    pub use bakehouse_http::accept::{Change, Submission, accept, accept_and_wait, with_id};
    pub use bakehouse_http::access::Principal;
    pub use bakehouse_http::body::JsonBody;
    pub use bakehouse_http::path_id::PathId;
    pub use bakehouse_http::problem::Problem;
    pub use bakehouse_http::{Doors, Menu, reading};
    pub use bakehouse_intake::{
        Collector, Faults, Members, Place, one_of, read, text, whole_number,
    };
    pub use bakehouse_pipeline::follow::{
        Effect, Fact, Failed, Needs, ProcessManager, ReadModel, Rows,
    };
    pub use bakehouse_pipeline::{Domain, Entity, Moment, Rejection, Verb};
}
