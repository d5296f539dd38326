//! The faults that can be injected; [`plan`] determines their sequence.

use std::fmt;
use std::time::Duration;

use bakehouse_e2e::process::Stderr;

use crate::proxy::ProxyMode;

pub mod plan;

/// A fault to inject. Its `Debug` form is printed and matched by `--only`.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// Kills these services at the same time.
    Kill(Vec<String>),
    /// Makes a program end by itself when it passes a failpoint for the n-th time.
    Abort(&'static str, &'static str, u32),
    /// Makes a program end at a failpoint while another instance is on standby.
    AbortWithStandby(&'static str, &'static str, u32),
    /// Terminates these services by SIGTERM, one after the other, and starts each again.
    Restart(Vec<String>),
    /// Cuts the power after some time of work. Unsynced data is lost, all of it or a part that is
    /// determined by the seed.
    PowerLoss(Duration, u64),
    /// Injects the second fault while the first one lasts.
    Combined(Box<Fault>, Box<Fault>),
    /// Stops a program at a failpoint, for longer than any lease, while others take over.
    Stop(&'static str, &'static str, u32, Duration),
    /// Pauses the instances of a service in turn, each for longer than any lease.
    Pause(String, Duration),
    /// Kills a database server for some time, and optionally a service meanwhile.
    KillDatabase(MemberChoice, Duration, Option<String>),
    /// Pauses a database server.
    PauseDatabase(MemberChoice, Duration),
    /// Makes the primary of the replica set step down.
    StepDown,
    /// Kills and restarts the broker, and optionally kills a service meanwhile.
    KillBroker(Option<String>),
    /// Pauses the broker.
    PauseBroker(Duration),
    /// Sets the memory alarm of the broker.
    Alarm(Duration),
    /// Changes the mode of the proxy between services and database.
    DatabaseConnection(MemberChoice, ProxyMode, Duration),
    /// Changes the mode of the proxy between services and broker.
    BrokerConnection(ProxyMode, Duration),
    /// Unbinds the schedule queue for some time.
    Unbind(Duration),
    /// Sets a policy on all queues of the broker for some time.
    Policy(&'static str, Duration),
    /// Shifts the clock of a program by so many seconds for some time.
    Clock(&'static str, i32),
    /// Publishes earlier messages again, in random order.
    RepeatMessages,
    /// Publishes messages that are no operations or notices.
    GarbageMessages,
    /// Adds an operation of an unknown schema version, which is parked.
    UnknownVersion,
    /// Runs many clients without pauses.
    Burst(Duration),
    /// Measures the capacity with a burst, then sends ten times as many orders per second.
    Flood(Duration),
    /// Rebuilds source and presentation during normal operation.
    Rebuild,
    /// Fills the disk.
    FullDisk(Duration),
    /// Restarts a service with all log output and a stderr that is not read.
    UnreadStderr(String, Stderr),
}

/// Selects a member of the replica set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemberChoice {
    /// The current primary.
    Primary,
    /// The member with this index.
    Member(usize),
}

impl Fault {
    /// Checks whether the fault lasts for some time, so that another one can be injected meanwhile.
    #[must_use]
    pub fn has_duration(&self) -> bool {
        matches!(
            self,
            Self::Stop(..)
                | Self::Pause(..)
                | Self::KillDatabase(..)
                | Self::PauseDatabase(..)
                | Self::PauseBroker(_)
                | Self::Alarm(_)
                | Self::DatabaseConnection(..)
                | Self::BrokerConnection(..)
                | Self::Policy(..)
                | Self::FullDisk(_)
        )
    }

    /// Returns the kind of the fault, as printed in reports.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill(which) if which.len() > 1 => "several services killed",
            Self::Kill(_) => "service killed",
            Self::Abort(..) => "service ended between two writes",
            Self::AbortWithStandby(..) => "service ended between two writes with a standby",
            Self::Restart(_) => "service restarted by SIGTERM",
            Self::PowerLoss(..) => "power lost",
            Self::Combined(..) => "two faults combined",
            Self::Stop(..) => "service stopped between two writes",
            Self::Pause(..) => "service paused beyond its lease",
            Self::KillDatabase(..) => "mongod killed",
            Self::PauseDatabase(..) => "mongod paused",
            Self::StepDown => "primary stepped down",
            Self::KillBroker(..) => "RabbitMQ killed",
            Self::PauseBroker(..) => "RabbitMQ paused",
            Self::Alarm(..) => "RabbitMQ's memory alarm",
            Self::DatabaseConnection(_, mode, _) => match mode {
                ProxyMode::Slow(_) => "connection to mongod slow",
                ProxyMode::HalfOpen => "connection to mongod half open",
                ProxyMode::Cut => "connection to mongod cut",
                _ => "answers of mongod lost",
            },
            Self::BrokerConnection(mode, _) => match mode {
                ProxyMode::Slow(_) => "connection to RabbitMQ slow",
                ProxyMode::HalfOpen => "connection to RabbitMQ half open",
                ProxyMode::Cut => "connection to RabbitMQ cut",
                _ => "answers of RabbitMQ lost",
            },
            Self::Unbind(_) => "schedule queue unbound",
            Self::Policy(..) => "policy on all queues",
            Self::Clock(_, seconds) if *seconds < 0 => "clock set back",
            Self::Clock(..) => "clock set forward",
            Self::RepeatMessages => "old messages repeated and shuffled",
            Self::GarbageMessages => "unreadable messages",
            Self::UnknownVersion => "operation of an unknown version",
            Self::Burst(_) => "burst",
            Self::Flood(_) => "flood",
            Self::Rebuild => "rebuild of source and presentation",
            Self::FullDisk(_) => "full disk",
            Self::UnreadStderr(..) => "stderr not read",
        }
    }

    /// Checks whether the fault only affects notifier, on which no request depends.
    #[must_use]
    pub fn only_affects_notifier(&self) -> bool {
        let is_notifier = |name: &str| name.starts_with("notifier");
        match self {
            Self::Kill(which) | Self::Restart(which) => which.iter().all(|name| is_notifier(name)),
            Self::Abort(name, ..) | Self::AbortWithStandby(name, ..) | Self::Stop(name, ..) => {
                is_notifier(name)
            }
            Self::Clock(name, _) => is_notifier(name),
            Self::Combined(one, other) => {
                one.only_affects_notifier() && other.only_affects_notifier()
            }
            Self::Pause(name, _) | Self::UnreadStderr(name, _) => is_notifier(name),
            _ => false,
        }
    }

    /// Checks whether the recovery counts as one of servers: the fault affects a server, a
    /// connection, the disk or the load, not only processes of the system.
    #[must_use]
    pub fn affects_servers(&self) -> bool {
        if let Self::Combined(one, other) = self {
            return one.affects_servers() || other.affects_servers();
        }
        !matches!(
            self,
            Self::Kill(_)
                | Self::Abort(..)
                | Self::AbortWithStandby(..)
                | Self::Restart(_)
                | Self::PowerLoss(..)
                | Self::Stop(..)
                | Self::Pause(..)
                | Self::Clock(..)
                | Self::RepeatMessages
                | Self::GarbageMessages
                | Self::UnknownVersion
                | Self::Rebuild
                | Self::UnreadStderr(..)
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self:?}")
    }
}
