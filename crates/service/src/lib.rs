//! What all services have in common: command line, settings, logs, signals, and
//! an end in time. A main names its service and what it runs; the rest is here.

mod cli;
mod files;
mod healthcheck;
mod logging;
pub mod output;
mod panics;
mod reference;
mod secret;
pub mod settings;
mod shutdown;
mod stages;

pub use cli::{CounterArguments, Operate, Parked, ParkedTask, Part, Replay, Service, Task, main};
pub use secret::{SecretText, SecretUri, SecretUrl, UrlOrFile};
pub use settings::Settings;
pub use stages::Stages;
