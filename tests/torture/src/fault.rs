//! Faults; [`plan`] says which one comes next.

use std::fmt;
use std::time::Duration;

use bakehouse_e2e::process::Stderr;

use crate::proxy::Manner;

pub mod plan;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// SIGKILL for these services at once.
    Kill(Vec<String>),
    /// A program ends by itself at a place between two writes, the so manieth time.
    Abort(&'static str, &'static str, u32),
    /// A program ends at such a place while another instance stands by, and takes over at once.
    AbortBeside(&'static str, &'static str, u32),
    /// SIGTERM for these services, one after the other, and another start of each.
    Restart(Vec<String>),
    /// The power goes while the program is at work, after so long: what it had not synced is
    /// lost, or a part of that, by a seed.
    PowerLoss(Duration, u64),
    /// Another fault, while this one lasts.
    AtOnce(Box<Fault>, Box<Fault>),
    /// A program stops at such a place, for longer than any lease, while others take over.
    Stop(&'static str, &'static str, u32, Duration),
    /// SIGSTOP for a service, one instance after the other, for longer than any lease.
    Pause(String, Duration),
    /// SIGKILL for a database server, and perhaps for a service while it is away.
    KillDatabase(Which, Duration, Option<String>),
    /// SIGSTOP for a database server.
    PauseDatabase(Which, Duration),
    /// Another member becomes primary.
    StepDown,
    /// SIGKILL for the broker, and perhaps for a service while it is away.
    KillBroker(Option<String>),
    /// SIGSTOP for the broker.
    PauseBroker(Duration),
    /// The broker is short of memory.
    Alarm(Duration),
    /// What passes between services and database goes wrong.
    DatabaseLine(Which, Manner, Duration),
    /// What passes between services and broker goes wrong.
    BrokerLine(Manner, Duration),
    /// The queue gets nothing for a while, as if somebody had unbound it.
    Unbind(Duration),
    /// A policy of the broker on all queues, for a while.
    Policy(&'static str, Duration),
    /// A program's clock is wrong by so many seconds for a while, and then right again.
    Clock(&'static str, i32),
    /// Old messages once more, in any order.
    Repeat,
    /// Messages that nobody can read.
    Babble,
    /// An operation that only a newer program could read.
    Poison,
    /// As many clients as can be had, without a rest.
    Burst(Duration),
    /// The same, which shows how much there is capacity for; then ten times as much.
    Flood(Duration),
    /// Everything is made anew, while all else goes on.
    Renew,
    /// The disk is full.
    FullDisk(Duration),
    /// A service is started again with a standard error that nobody reads, and logs a lot.
    UnreadLog(String, Stderr),
}

/// Which member of a replica set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The one that leads.
    Primary,
    /// The one of this number.
    Member(usize),
}

impl Fault {
    /// Tells whether it lasts for a while, so that another one can befall meanwhile.
    #[must_use]
    pub fn lasts(&self) -> bool {
        matches!(
            self,
            Self::Stop(..)
                | Self::Pause(..)
                | Self::KillDatabase(..)
                | Self::PauseDatabase(..)
                | Self::PauseBroker(_)
                | Self::Alarm(_)
                | Self::DatabaseLine(..)
                | Self::BrokerLine(..)
                | Self::Policy(..)
                | Self::FullDisk(_)
        )
    }

    /// Its kind, in a word or two.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill(which) if which.len() > 1 => "several services killed",
            Self::Kill(_) => "service killed",
            Self::Abort(..) => "service ended between two writes",
            Self::AbortBeside(..) => "service ended between two writes beside a standby",
            Self::Restart(_) => "service restarted in order",
            Self::PowerLoss(..) => "power lost",
            Self::AtOnce(..) => "two faults at once",
            Self::Stop(..) => "service stopped between two writes",
            Self::Pause(..) => "service paused beyond its lease",
            Self::KillDatabase(..) => "mongod killed",
            Self::PauseDatabase(..) => "mongod paused",
            Self::StepDown => "primary stepped down",
            Self::KillBroker(..) => "RabbitMQ killed",
            Self::PauseBroker(..) => "RabbitMQ paused",
            Self::Alarm(..) => "RabbitMQ's memory alarm",
            Self::DatabaseLine(_, manner, _) => match manner {
                Manner::Slow(_) => "line to mongod slow",
                Manner::Silent => "line to mongod half open",
                Manner::Cut => "line to mongod cut",
                _ => "answers of mongod lost",
            },
            Self::BrokerLine(manner, _) => match manner {
                Manner::Slow(_) => "line to RabbitMQ slow",
                Manner::Silent => "line to RabbitMQ half open",
                Manner::Cut => "line to RabbitMQ cut",
                _ => "answers of RabbitMQ lost",
            },
            Self::Unbind(_) => "schedule queue unbound",
            Self::Policy(..) => "policy on all queues",
            Self::Clock(_, seconds) if *seconds < 0 => "clock set back",
            Self::Clock(..) => "clock set forward",
            Self::Repeat => "old messages repeated and shuffled",
            Self::Babble => "unreadable messages",
            Self::Poison => "operation of an unknown version",
            Self::Burst(_) => "burst",
            Self::Flood(_) => "flood",
            Self::Renew => "everything made anew",
            Self::FullDisk(_) => "full disk",
            Self::UnreadLog(..) => "nobody reads the logs",
        }
    }

    /// Whether nobody who places or reads an order depends on what it befalls.
    #[must_use]
    pub fn is_beside(&self) -> bool {
        let is_beside = |name: &str| name.starts_with("notifier");
        match self {
            Self::Kill(which) | Self::Restart(which) => which.iter().all(|name| is_beside(name)),
            Self::Abort(name, ..) | Self::AbortBeside(name, ..) | Self::Stop(name, ..) => {
                is_beside(name)
            }
            Self::Clock(name, _) => is_beside(name),
            Self::AtOnce(one, other) => one.is_beside() && other.is_beside(),
            Self::Pause(name, _) | Self::UnreadLog(name, _) => is_beside(name),
            _ => false,
        }
    }

    /// Whether what services stand on is away meanwhile.
    #[must_use]
    pub fn is_of_servers(&self) -> bool {
        if let Self::AtOnce(one, other) = self {
            return one.is_of_servers() || other.is_of_servers();
        }
        !matches!(
            self,
            Self::Kill(_)
                | Self::Abort(..)
                | Self::AbortBeside(..)
                | Self::Restart(_)
                | Self::PowerLoss(..)
                | Self::Stop(..)
                | Self::Pause(..)
                | Self::Clock(..)
                | Self::Repeat
                | Self::Babble
                | Self::Poison
                | Self::Renew
                | Self::UnreadLog(..)
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{self:?}")
    }
}
