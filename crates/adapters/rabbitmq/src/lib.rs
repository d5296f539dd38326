//! The schedule queue and the notices over RabbitMQ.
//!
//! - `topology`: exchanges and queues, by their names and arguments;
//! - `upkeep`: what others delete is declared again;
//! - `publisher`: the publishing connection, which comes back by itself;
//! - `scheduler` and `consumer`: the two ends of the schedule queue;
//! - `dead_letters`: what the broker removed from it, taken back;
//! - `migration`: the replacement of a schedule queue in an earlier form;
//! - `notices`: what wakes the stages.
//!
//! Publishing and consuming never share a connection: a broker that is short of
//! memory or disk stops reading from those that publish, and would hold up
//! acknowledgements with it.

mod backlog;
mod connection;
mod consumer;
mod dead_letters;
#[cfg(test)]
mod fuzz;
mod migration;
mod notices;
mod probe;
mod publisher;
mod scheduler;
mod topology;
mod upkeep;

use std::sync::Arc;

use bakehouse_pipeline::ports::{Backlog, Notices, Probe, ScheduleConsumer, Scheduler};

use connection::Target;
pub use connection::{ConnectError, Settings};
use publisher::Publisher;

/// Depth of the schedule queue of a broker that nothing else is asked of.
///
/// # Errors
/// When the URI cannot be used.
pub fn backlog(settings: &Settings) -> Result<Arc<dyn Backlog>, ConnectError> {
    let target = Target::new(settings)?;
    Ok(Arc::new(backlog::RabbitBacklog::new(target)))
}

/// A broker, and one publishing connection to it.
pub struct Broker {
    target: Target,
    publisher: Publisher,
}

impl Broker {
    /// Starts connecting, and returns at once.
    ///
    /// # Errors
    /// When the URI cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let target = Target::new(settings)?;
        Ok(Self {
            publisher: Publisher::start(target.clone(), settings.confirm_timeout),
            target,
        })
    }

    /// api-server's end of the schedule queue.
    #[must_use]
    pub fn scheduler(&self) -> Arc<dyn Scheduler> {
        Arc::new(scheduler::RabbitScheduler {
            publisher: self.publisher.clone(),
        })
    }

    /// events-writer's end of the schedule queue.
    #[must_use]
    pub fn consumer(&self) -> Box<dyn ScheduleConsumer> {
        let publisher = self.publisher.clone();
        Box::new(consumer::RabbitConsumer::new(
            self.target.clone(),
            publisher,
        ))
    }

    /// What wakes the stages.
    #[must_use]
    pub fn notices(&self) -> Arc<dyn Notices> {
        Arc::new(notices::RabbitNotices {
            target: self.target.clone(),
            publisher: self.publisher.clone(),
        })
    }

    /// Depth of the schedule queue; it has a connection of its own, once it is asked.
    #[must_use]
    pub fn backlog(&self) -> Arc<dyn Backlog> {
        Arc::new(backlog::RabbitBacklog::new(self.target.clone()))
    }

    /// Whether it answers.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(probe::RabbitProbe(self.publisher.clone()))
    }
}
