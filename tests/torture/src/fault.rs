//! What goes wrong next: by a seed, so that it can be made to go wrong again.

use std::fmt;
use std::time::Duration;

use bakehouse_e2e::Kind;
use bakehouse_e2e::process::Stderr;
use rand::Rng;
use rand::rngs::StdRng;

use crate::proxy::Manner;

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq)]
pub enum Fault {
    /// SIGKILL for these services at once.
    Kill(Vec<String>),
    /// A program ends by itself at a place between two writes, the so manieth time.
    Abort(&'static str, &'static str, u32),
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
    /// A program's clock goes back by an hour.
    ClockBack(&'static str),
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

/// Places of each program that lie between two of its writes.
const PLACES: [(&str, &[&str]); 6] = [
    (
        "api-server",
        &[
            "api-server.received",
            "api-server.scheduled",
            "rabbitmq.published",
            "rabbitmq.confirmed",
        ],
    ),
    (
        "events-writer",
        &[
            "events-writer.received",
            "events-writer.appended",
            "events-writer.settled",
            "events-writer.told",
            "mongodb.appended",
            "rabbitmq.acknowledging",
        ],
    ),
    (
        "orders-manager",
        &[
            "orders-manager.read",
            "orders-manager.executed",
            "orders-manager.committed",
            "orders-manager.told",
            "mongodb.session-recorded",
            "mongodb.sessions-killed",
            "mongodb.checkpoint-moved",
            "mongodb.inserted",
            "mongodb.updated",
            "mongodb.written",
            "mongodb.committed",
            "rebuild.made",
            "rebuild.replaced",
            "mongodb.replacing",
            "mongodb.renamed",
        ],
    ),
    (
        "data-baker",
        &[
            "data-baker.read",
            "data-baker.baked",
            "data-baker.committed",
            "data-baker.told",
            "mongodb.session-recorded",
            "mongodb.sessions-killed",
            "mongodb.checkpoint-moved",
            "mongodb.inserted",
            "mongodb.written",
            "mongodb.committed",
            "rebuild.made",
            "rebuild.replaced",
            "mongodb.replacing",
            "mongodb.renamed",
        ],
    ),
    (
        "notifier",
        &[
            "notifier.recorded",
            "courier.taken",
            "courier.sent",
            "mongodb.checkpoint-moved",
            "mongodb.written",
            "mongodb.committed",
        ],
    ),
    (
        "bakehouse",
        &[
            "api-server.received",
            "api-server.scheduled",
            "events-writer.received",
            "events-writer.appended",
            "events-writer.settled",
            "events-writer.told",
            "orders-manager.read",
            "orders-manager.executed",
            "orders-manager.committed",
            "orders-manager.told",
            "data-baker.read",
            "data-baker.baked",
            "data-baker.committed",
            "data-baker.told",
            "notifier.recorded",
            "courier.taken",
            "courier.sent",
            "embedded.written",
            "embedded.committed",
            "rebuild.made",
            "rebuild.replaced",
        ],
    ),
];

/// How likely each kind is, in each world.
const OF_SERVERS: [(&str, u32); 22] = [
    ("kill", 30),
    ("kill several", 22),
    ("abort", 26),
    ("stop", 4),
    ("pause", 5),
    ("kill database", 3),
    ("pause database", 1),
    ("step down", 2),
    ("kill broker", 1),
    ("pause broker", 1),
    ("alarm", 1),
    ("database line", 4),
    ("broker line", 4),
    ("unbind", 2),
    ("policy", 3),
    ("clock", 1),
    ("repeat", 3),
    ("babble", 1),
    ("poison", 2),
    ("burst", 1),
    ("renew", 2),
    ("unread log", 4),
];
const OF_ONE_PROCESS: [(&str, u32); 11] = [
    ("kill", 60),
    ("abort", 30),
    ("stop", 2),
    ("pause", 3),
    ("clock", 2),
    ("babble", 2),
    ("poison", 2),
    ("burst", 2),
    ("renew", 2),
    ("full disk", 2),
    ("unread log", 6),
];

/// Kinds of standard error that nobody reads.
const UNREAD: [Stderr; 4] = [
    Stderr::Closed,
    Stderr::Full,
    Stderr::Unread,
    Stderr::UnreadNonBlocking,
];

/// Policies that would drop or expire operations.
const POLICIES: [&str; 3] = [
    r#"{"max-length":20}"#,
    r#"{"max-length-bytes":20000}"#,
    r#"{"message-ttl":1000}"#,
];

/// Of so many bursts the last one becomes a flood.
const FLOODS: usize = 4;

/// What goes wrong, one after the other.
pub struct Plan {
    kind: Kind,
    services: Vec<String>,
    members: usize,
    bursts: usize,
}

impl Plan {
    /// For these services.
    #[must_use]
    pub fn new(kind: Kind, services: &[String], members: usize) -> Self {
        let services = services.to_vec();
        Self {
            kind,
            services,
            members,
            bursts: 0,
        }
    }

    /// The next one.
    pub fn next(&mut self, random: &mut StdRng) -> Fault {
        let name = match self.kind {
            Kind::Servers if random.random_bool(0.01) => "full disk",
            Kind::Servers => pick(&OF_SERVERS, random),
            Kind::Embedded => pick(&OF_ONE_PROCESS, random),
        };
        let mut millis = |from: u64, to: u64| Duration::from_millis(random.random_range(from..to));
        match name {
            "kill" => Fault::Kill(vec![self.service(random)]),
            "kill several" => {
                let count = random.random_range(2..=4);
                let mut which: Vec<_> = (0..count).map(|_| self.service(random)).collect();
                which.sort();
                which.dedup();
                Fault::Kill(which)
            }
            "abort" => {
                let (program, place, count) = self.place(random);
                Fault::Abort(program, place, count)
            }
            "stop" => {
                let (program, place, count) = self.place(random);
                Fault::Stop(program, place, count, pause(program, random))
            }
            "pause" => {
                let service = self.service(random);
                let time = pause(&service, random);
                Fault::Pause(service, time)
            }
            "kill database" => {
                let time = millis(0, 1_500);
                Fault::KillDatabase(self.which(random), time, self.perhaps(random))
            }
            "pause database" => {
                let time = millis(500, 4_000);
                Fault::PauseDatabase(self.which(random), time)
            }
            "step down" => Fault::StepDown,
            "kill broker" => Fault::KillBroker(self.perhaps(random)),
            "pause broker" => Fault::PauseBroker(millis(500, 7_000)),
            "alarm" => Fault::Alarm(millis(500, 3_000)),
            "database line" => {
                let time = millis(300, 3_000);
                Fault::DatabaseLine(self.which(random), manner(random), time)
            }
            "broker line" => {
                let time = millis(300, 3_000);
                Fault::BrokerLine(manner(random), time)
            }
            "unbind" => Fault::Unbind(millis(100, 1_000)),
            "policy" => {
                let policy = POLICIES[random.random_range(0..POLICIES.len())];
                Fault::Policy(policy, Duration::from_secs(random.random_range(1..4)))
            }
            "clock" => {
                let all = ["events-writer", "orders-manager", "data-baker"];
                Fault::ClockBack(match self.kind {
                    Kind::Servers => all[random.random_range(0..all.len())],
                    Kind::Embedded => "bakehouse",
                })
            }
            "repeat" => Fault::Repeat,
            "babble" => Fault::Babble,
            "poison" => Fault::Poison,
            "renew" => Fault::Renew,
            "unread log" => {
                let service = self.service(random);
                Fault::UnreadLog(service, UNREAD[random.random_range(0..UNREAD.len())])
            }
            "burst" => {
                let time = millis(1_000, 2_500);
                self.bursts += 1;
                if self.bursts.is_multiple_of(FLOODS) {
                    Fault::Flood(time)
                } else {
                    Fault::Burst(time)
                }
            }
            _ => Fault::FullDisk(millis(800, 2_500)),
        }
    }

    fn service(&self, random: &mut StdRng) -> String {
        self.services[random.random_range(0..self.services.len())].clone()
    }

    fn perhaps(&self, random: &mut StdRng) -> Option<String> {
        random.random_bool(0.5).then(|| self.service(random))
    }

    fn which(&self, random: &mut StdRng) -> Which {
        match random.random_bool(0.5) {
            true => Which::Primary,
            false => Which::Member(random.random_range(0..self.members)),
        }
    }

    /// A program, a place in it between two writes, and how often it comes past.
    fn place(&self, random: &mut StdRng) -> (&'static str, &'static str, u32) {
        let programs: Vec<_> = PLACES
            .iter()
            .filter(|(program, _)| self.services.iter().any(|name| name == program))
            .collect();
        let (program, places) = programs[random.random_range(0..programs.len())];
        let place = places[random.random_range(0..places.len())];
        // What happens but once in a life is not waited for a second time.
        let most = if place.starts_with("mongodb.session") || is_renewal(place) {
            1
        } else {
            12
        };
        (program, place, random.random_range(1..=most))
    }
}

/// Whether a program only comes to a place while everything is made anew.
#[must_use]
pub fn is_renewal(place: &str) -> bool {
    let of_database = ["mongodb.replacing", "mongodb.renamed"];
    place.starts_with("rebuild.") || of_database.contains(&place)
}

/// Beyond what others wait for until they take over.
fn pause(service: &str, random: &mut StdRng) -> Duration {
    // The broker gives its queue to another after two heartbeats.
    let millis = match service.starts_with("events-writer") {
        true => 11_000..15_000,
        false => 1_600..3_500,
    };
    Duration::from_millis(random.random_range(millis))
}

fn pick(all: &[(&'static str, u32)], random: &mut StdRng) -> &'static str {
    let sum = all.iter().map(|(_, weight)| weight).sum();
    let mut dice = random.random_range(0..sum);
    for (name, weight) in all {
        if dice < *weight {
            return name;
        }
        dice -= weight;
    }
    "kill"
}

fn manner(random: &mut StdRng) -> Manner {
    match random.random_range(0..4) {
        0 => Manner::Slow(Duration::from_millis(random.random_range(10..150))),
        1 => Manner::Silent,
        2 => Manner::Cut,
        _ => Manner::Mute(random.random_range(0..6_000)),
    }
}

impl Fault {
    /// Its kind, in a word or two.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Kill(which) if which.len() > 1 => "several services killed",
            Self::Kill(_) => "service killed",
            Self::Abort(..) => "service ended between two writes",
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
            Self::ClockBack(_) => "clock set back",
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
            Self::Kill(which) => which.iter().all(|name| is_beside(name)),
            Self::Abort(name, ..) | Self::Stop(name, ..) => is_beside(name),
            Self::Pause(name, _) | Self::UnreadLog(name, _) => is_beside(name),
            _ => false,
        }
    }

    /// Whether what services stand on is away meanwhile.
    #[must_use]
    pub fn is_of_servers(&self) -> bool {
        !matches!(
            self,
            Self::Kill(_)
                | Self::Abort(..)
                | Self::Stop(..)
                | Self::Pause(..)
                | Self::ClockBack(_)
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
