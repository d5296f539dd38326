//! Plan of the faults: by a seed, so that the same can be made to go wrong again.

use std::time::Duration;

use bakehouse_e2e::Kind;
use bakehouse_e2e::process::Stderr;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Fault, Which};
use crate::proxy::Manner;

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

/// Name and weight of each kind, in each world.
type Weights = &'static [(&'static str, u32)];
const OF_SERVERS: Weights = &[
    ("kill", 26),
    ("kill several", 18),
    ("abort", 20),
    ("abort beside", 10),
    ("restart", 8),
    ("full disk", 1),
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
    ("clock", 2),
    ("repeat", 3),
    ("babble", 1),
    ("poison", 2),
    ("burst", 1),
    ("renew", 2),
    ("unread log", 4),
];
const OF_ONE_PROCESS: Weights = &[
    ("kill", 50),
    ("restart", 8),
    ("power", 12),
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

/// Deviation of a wrong clock, in seconds…
const HOUR: i32 = 3_600;
/// …and by how much ahead where notifications become due, less than the end waits for them.
const AHEAD: i32 = 20;
/// Number of bursts of which the last one becomes a flood.
const FLOODS: usize = 4;
/// Share of the faults that last for a while in which another one befalls meanwhile.
const AT_ONCE: f64 = 0.35;
/// Share of the faults after which nobody waits for the recovery.
const RUSHED: f64 = 0.25;
/// Kinds that only programs with places to end at can be made to suffer.
const AT_PLACES: [&str; 3] = ["abort", "abort beside", "stop"];

/// A program, and a place in it.
pub type Place = (&'static str, &'static str);

/// Sequence of faults.
pub struct Plan {
    services: Vec<String>,
    members: usize,
    bursts: usize,
    weights: Vec<(&'static str, u32)>,
    /// Places that are still to come in this round.
    places: Vec<Place>,
}

/// Next step of a plan.
pub struct Step {
    /// Kind of the fault, as the plan names it.
    pub kind: &'static str,
    /// The fault.
    pub fault: Fault,
    /// True if the one after it comes before everything has recovered.
    pub is_rushed: bool,
}

impl Plan {
    /// Plans faults of these services; released programs have no places to end at.
    #[must_use]
    pub fn new(kind: Kind, services: &[String], members: usize, is_released: bool) -> Self {
        let weights = match kind {
            Kind::Servers => OF_SERVERS,
            Kind::Embedded => OF_ONE_PROCESS,
        };
        let is_possible = |(name, _): &&(&str, u32)| !is_released || !AT_PLACES.contains(name);
        Self {
            services: services.to_vec(),
            members,
            bursts: 0,
            weights: weights.iter().filter(is_possible).copied().collect(),
            places: Vec::new(),
        }
    }

    /// Kinds of faults that are planned.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.weights.iter().map(|(name, _)| *name)
    }

    /// Places that programs are to end at.
    #[must_use]
    pub fn all_places(&self) -> Vec<Place> {
        if !self.kinds().any(|kind| AT_PLACES.contains(&kind)) {
            return Vec::new();
        }
        let is_here = |program: &str| self.services.iter().any(|name| name == program);
        let of_program = |(program, places): &(&'static str, &'static [&'static str])| {
            let program = *program;
            places.iter().map(move |place| (program, *place)).collect()
        };
        let here = PLACES.iter().filter(|(program, _)| is_here(program));
        here.flat_map(|one| -> Vec<Place> { of_program(one) })
            .collect()
    }

    /// The next one.
    pub fn next(&mut self, random: &mut StdRng) -> Step {
        let kind = pick(&self.weights, random);
        let mut fault = self.fault(kind, random);
        if fault.lasts() && random.random_bool(AT_ONCE) {
            let which = vec![self.service(random)];
            // Whoever stands still cannot end in order.
            let is_still = matches!(fault, Fault::Pause(..) | Fault::Stop(..));
            let other = match is_still || random.random_bool(0.7) {
                true => Fault::Kill(which),
                false => Fault::Restart(which),
            };
            fault = Fault::AtOnce(Box::new(fault), Box::new(other));
        }
        Step {
            kind,
            fault,
            is_rushed: random.random_bool(RUSHED),
        }
    }

    fn fault(&mut self, name: &str, random: &mut StdRng) -> Fault {
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
            "abort beside" => {
                let (program, place, count) = self.place(random);
                Fault::AbortBeside(program, place, count)
            }
            "restart" => {
                let count = random.random_range(1..=2);
                let mut which: Vec<_> = (0..count).map(|_| self.service(random)).collect();
                which.dedup();
                Fault::Restart(which)
            }
            "power" => Fault::PowerLoss(millis(400, 2_500), random.random()),
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
                let program = self.program(random);
                // A notification that is due by a clock ahead is late by as much.
                let notifies = matches!(program, "bakehouse" | "notifier");
                let seconds = match random.random_bool(0.5) {
                    true => -HOUR,
                    false if notifies => AHEAD,
                    false => HOUR,
                };
                Fault::Clock(program, seconds)
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

    fn program(&self, random: &mut StdRng) -> &'static str {
        let here: Vec<&'static str> = PLACES
            .iter()
            .map(|(program, _)| *program)
            .filter(|program| self.services.iter().any(|name| name == program))
            .collect();
        here[random.random_range(0..here.len())]
    }

    /// A program, a place in it between two writes, and how often it comes past. All places
    /// come before one comes again.
    fn place(&mut self, random: &mut StdRng) -> (&'static str, &'static str, u32) {
        if self.places.is_empty() {
            self.places = self.all_places();
            self.places.shuffle(random);
        }
        let (program, place) = self
            .places
            .pop()
            .unwrap_or(("bakehouse", "embedded.written"));
        // What happens but once in a life is not waited for a second time.
        let most = if place.starts_with("mongodb.session") || is_renewal(place) {
            1
        } else {
            12
        };
        (program, place, random.random_range(1..=most))
    }
}

/// Tells whether a program only comes to a place during a rebuild.
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
