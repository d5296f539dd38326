//! Settings of all services: one TOML file (`--config`) or one environment for all of them.
//!
//! Environment variables override the file: `BAKEHOUSE_HTTP__BIND` is `bind` in the section
//! `http`. A domain adds sections of its own: see [`DomainSettings`].

mod auth;
mod domain;
mod error_text;
mod exposure;
mod feed;
mod follow;
mod health;
mod host;
mod http;
mod load;
mod log;
mod names;
mod notify;
mod servers;
mod stages;
mod values;

pub use auth::Auth;
pub use domain::{Configuration, DomainSettings, InvalidSetting, NoSettings};
pub use exposure::{AllowedHost, AllowedOrigin, Network, PublicUrl};
pub use feed::Feed;
pub use follow::FollowedFeed;
pub use health::Health;
pub use host::{Mode, Settings};
pub use http::Http;
pub use log::{Log, LogFormat};
pub use names::Unset;
pub(crate) use names::variable;
pub use notify::Notify;
pub use servers::{Amqp, MongoDb};
pub use stages::{Baker, Manager, Writer};
pub(crate) use values::text;
pub use values::{list, uris};
