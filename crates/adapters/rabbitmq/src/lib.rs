//! The schedule queue and the notices over RabbitMQ.
//!
//! - `topology`: exchanges and queues, by their names and arguments;
//! - `upkeep`: what others delete is declared again;
//! - `publisher`: the publishing connection, which comes back by itself;
//! - `scheduler` and `consumer`: the two ends of the schedule queue;
//! - `dead_letters`: what the broker removed from it, taken back;
//! - `migration`: the replacement of a schedule queue in an earlier form;
//! - `notices`: what wakes the stages;
//! - `management`: what the broker's management API says of a queue;
//! - `queue_risks`: which of that can lose accepted operations;
//! - `policy_check`: the same, asked at intervals for readiness, and once for an audit.
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

/// Depth of the schedule queue of a broker that nothing else is asked of.
///
/// # Errors
/// When the URI cannot be used.
pub fn backlog(settings: &Settings) -> Result<Arc<dyn Backlog>, ConnectError> {
    let target = Target::new(settings)?;
    Ok(Arc::new(backlog::RabbitBacklog::new(target)))
}

/// Settings of the queues, as an audit asks for them; `None` where the management API is not
/// known.
///
/// # Errors
/// When a URI cannot be used.
pub fn queue_inspector(
    settings: &Settings,
) -> Result<Option<Arc<dyn QueueInspector>>, ConnectError> {
    let target = Target::new(settings)?;
    let check = PolicyCheck::new(settings, target)?;
    Ok(check.map(|check| Arc::new(check) as Arc<dyn QueueInspector>))
}

/// A broker, and one publishing connection to it.
pub struct Broker {
    target: Target,
    publisher: Publisher,
    policies: Option<PolicyCheck>,
}

impl Broker {
    /// Starts connecting, and returns at once.
    ///
    /// # Errors
    /// When the URI cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, ConnectError> {
        let target = Target::new(settings)?;
        Ok(Self {
            policies: PolicyCheck::new(settings, target.clone())?,
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

    /// Readiness of the policies on the queues; checked at intervals for as long as the probe is
    /// there.
    #[must_use]
    pub fn policy_probe(&self) -> Arc<dyn Probe> {
        Arc::new(PolicyProbe::start(self.policies.clone()))
    }

    /// Whether it answers.
    #[must_use]
    pub fn probe(&self) -> Arc<dyn Probe> {
        Arc::new(probe::RabbitProbe(self.publisher.clone()))
    }
}
