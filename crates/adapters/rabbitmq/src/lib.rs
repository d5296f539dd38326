//! RabbitMQ implementation of the schedule queue and of notices.
//!
//! - `topology`: names and arguments of exchanges and queues, and their declaration;
//! - `upkeep`: repeated declaration of exchanges and queues that others have deleted;
//! - `publisher`: the publishing connection, which reconnects by itself;
//! - `scheduler` and `consumer`: the two ends of the schedule queue;
//! - `dead_letters`: operations that the broker removed from the schedule queue;
//! - `migration`: the replacement of a schedule queue of an earlier version;
//! - `notices`: notices that wake the stages;
//! - `management`: client of the broker's management API;
//! - `queue_risks`: rules that find settings by which accepted operations can be lost;
//! - `policy_check`: these rules, applied at intervals for readiness and once for an audit.
//!
//! Publishing and consuming never share a connection: a broker that is short of memory or disk
//! stops reading from publishers, which would hold up acknowledgements on the same connection.

mod backlog;
mod connection;
mod consumer;
mod dead_letters;
#[cfg(test)]
mod fuzz;
mod management;
mod migration;
mod notices;
mod policy_check;
mod probe;
mod publisher;
mod queue_risks;
mod scheduler;
mod topology;
mod upkeep;

use std::sync::Arc;

use bakehouse_engine::ports::{
    Backlog, Notices, Probe, QueueInspector, ScheduleConsumer, Scheduler,
};

use connection::Target;
pub use connection::{ConnectError, Settings};
use policy_check::{PolicyCheck, PolicyProbe};
use publisher::Publisher;

/// Returns the depth of the schedule queue, for programs that use the broker for nothing else.
///
/// # Errors
/// [`ConnectError`] if the URI is invalid.
pub fn backlog(settings: &Settings) -> Result<Arc<dyn Backlog>, ConnectError> {
    let target = Target::new(settings)?;
    Ok(Arc::new(backlog::RabbitBacklog::new(target)))
}

/// Returns the check of the queues' settings for an audit; `None` if no management API is
/// configured.
///
/// # Errors
/// [`ConnectError`] if a URI is invalid.
pub fn queue_inspector(
    settings: &Settings,
) -> Result<Option<Arc<dyn QueueInspector>>, ConnectError> {
    let target = Target::new(settings)?;
    let check = PolicyCheck::new(settings, target)?;
    Ok(check.map(|check| Arc::new(check) as Arc<dyn QueueInspector>))
}

/// Broker, with one publishing connection.
pub struct Broker {
    target: Target,
    publisher: Publisher,
    policies: Option<PolicyCheck>,
}

impl Broker {
    /// Starts connecting in the background, and returns at once.
    ///
    /// # Errors
    /// [`ConnectError`] if a URI is invalid.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let target = Target::new(settings)?;
        Ok(Self {
            policies: PolicyCheck::new(settings, target.clone())?,
            publisher: Publisher::start(target.clone(), settings.confirm_timeout),
            target,
        })
    }

    /// Returns api-server's end of the schedule queue.
    #[must_use]
    pub fn scheduler(&self) -> Arc<dyn Scheduler> {
        Arc::new(scheduler::RabbitScheduler {
            publisher: self.publisher.clone(),
        })
    }

    /// Returns events-writer's end of the schedule queue.
    #[must_use]
    pub fn consumer(&self) -> Box<dyn ScheduleConsumer> {
        let publisher = self.publisher.clone();
        Box::new(consumer::RabbitConsumer::new(
            self.target.clone(),
            publisher,
        ))
    }

    /// Returns the notices that wake the stages.
    #[must_use]
    pub fn notices(&self) -> Arc<dyn Notices> {
        Arc::new(notices::RabbitNotices {
            target: self.target.clone(),
            publisher: self.publisher.clone(),
        })
    }

    /// Returns the depth of the schedule queue. It opens a connection of its own at the first
    /// request.
    #[must_use]
    pub fn backlog(&self) -> Arc<dyn Backlog> {
        Arc::new(backlog::RabbitBacklog::new(self.target.clone()))
    }

    /// Returns the readiness probe of the policies on the queues, which are checked at intervals
    /// until the probe is dropped.
    #[must_use]
    pub fn policy_probe(&self) -> Arc<dyn Probe> {
        Arc::new(PolicyProbe::start(self.policies.clone()))
    }

    /// Returns the readiness probe of the publishing connection and the schedule queue.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(probe::RabbitProbe(self.publisher.clone()))
    }
}
