//! Random sequence of faults, determined by a seed.

use std::time::Duration;

use bakehouse_e2e::Kind;
use bakehouse_e2e::process::Stderr;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::{Fault, MemberChoice};
use crate::proxy::ProxyMode;

/// Failpoints of each program, which lie between two of its writes.
const FAILPOINTS: [(&str, &[&str]); 6] = [
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
            "events-writer.notified",
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
            "orders-manager.notified",
            "mongodb.session-recorded",
            "mongodb.sessions-killed",
            "mongodb.checkpoint-moved",
            "mongodb.inserted",
            "mongodb.updated",
            "mongodb.written",
            "mongodb.committed",
            "rebuild.batch-written",
            "rebuild.swapped",
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
            "data-baker.notified",
            "mongodb.session-recorded",
            "mongodb.sessions-killed",
            "mongodb.checkpoint-moved",
            "mongodb.inserted",
            "mongodb.written",
            "mongodb.committed",
            "rebuild.batch-written",
            "rebuild.swapped",
            "mongodb.replacing",
            "mongodb.renamed",
        ],
    ),
    (
        "notifier",
        &[
            "notifier.recorded",
            "delivery.taken",
            "delivery.sent",
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
            "events-writer.notified",
            "orders-manager.read",
            "orders-manager.executed",
            "orders-manager.committed",
            "orders-manager.notified",
            "data-baker.read",
            "data-baker.baked",
            "data-baker.committed",
            "data-baker.notified",
            "notifier.recorded",
            "delivery.taken",
            "delivery.sent",
            "embedded.written",
            "embedded.committed",
            "rebuild.batch-written",
            "rebuild.swapped",
        ],
    ),
];

/// Kinds of faults with their relative frequencies.
type Weights = &'static [(&'static str, u32)];
/// Faults of four services.
const SERVERS_WEIGHTS: Weights = &[
    ("kill", 26),
    ("kill several", 18),
    ("abort", 20),
    ("abort with standby", 10),
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
    ("database connection", 4),
    ("broker connection", 4),
    ("unbind", 2),
    ("policy", 3),
    ("clock", 2),
    ("repeat messages", 3),
    ("garbage messages", 1),
    ("unknown version", 2),
    ("burst", 1),
    ("rebuild", 2),
    ("unread stderr", 4),
];
/// Faults of one process.
const ONE_PROCESS_WEIGHTS: Weights = &[
    ("kill", 50),
    ("restart", 8),
    ("power loss", 12),
    ("abort", 30),
    ("stop", 2),
    ("pause", 3),
    ("clock", 2),
    ("garbage messages", 2),
    ("unknown version", 2),
    ("burst", 2),
    ("rebuild", 2),
    ("full disk", 2),
    ("unread stderr", 6),
];

/// Kinds of stderr whose reader is missing or does not read.
const UNREAD_STDERR: [Stderr; 4] = [
    Stderr::Closed,
    Stderr::Full,
    Stderr::Unread,
    Stderr::UnreadNonBlocking,
];

/// Policies that would drop or expire operations if they applied to the schedule queue.
const POLICIES: [&str; 3] = [
    r#"{"max-length":20}"#,
    r#"{"max-length-bytes":20000}"#,
    r#"{"message-ttl":1000}"#,
];

/// Shift of a wrong clock, in seconds.
const CLOCK_OFFSET_SECONDS: i32 = 3_600;
/// Forward shift of the clock of a program that sends notifications, in seconds. Must be shorter
/// than the final wait for notifications, which are delayed by as much.
const NOTIFIER_CLOCK_OFFSET_SECONDS: i32 = 20;
/// Every so many bursts, the burst is followed by a flood.
const BURSTS_PER_FLOOD: usize = 4;
/// Share of the faults with a duration during which a second fault is injected.
const COMBINED_SHARE: f64 = 0.35;
/// Share of the faults whose recovery overlaps with the next fault.
const OVERLAP_SHARE: f64 = 0.25;
/// Kinds of faults that need programs with failpoints.
const FAILPOINT_FAULTS: [&str; 3] = ["abort", "abort with standby", "stop"];

/// A program and the name of one of its failpoints.
pub type Failpoint = (&'static str, &'static str);

/// Generator of a sequence of faults.
pub struct Plan {
    services: Vec<String>,
    members: usize,
    bursts: usize,
    weights: Vec<(&'static str, u32)>,
    /// Failpoints that are still unused in this pass over all of them.
    failpoints: Vec<Failpoint>,
}

/// Next step of a plan.
pub struct Step {
    /// Kind of the fault in the table of weights.
    pub kind: &'static str,
    /// Fault to inject.
    pub fault: Fault,
    /// True if the next fault is injected before the system has recovered.
    pub overlaps_next: bool,
}

impl Plan {
    /// Creates a plan for these services. Release programs have no failpoints.
    #[must_use]
    pub fn new(kind: Kind, services: &[String], members: usize, is_released: bool) -> Self {
        let weights = match kind {
            Kind::Servers => SERVERS_WEIGHTS,
            Kind::Embedded => ONE_PROCESS_WEIGHTS,
        };
        let is_possible =
            |(name, _): &&(&str, u32)| !is_released || !FAILPOINT_FAULTS.contains(name);
        Self {
            services: services.to_vec(),
            members,
            bursts: 0,
            weights: weights.iter().filter(is_possible).copied().collect(),
            failpoints: Vec::new(),
        }
    }

    /// Returns the kinds of faults that can occur.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.weights.iter().map(|(name, _)| *name)
    }

    /// Returns all failpoints that are used.
    #[must_use]
    pub fn all_failpoints(&self) -> Vec<Failpoint> {
        if !self.kinds().any(|kind| FAILPOINT_FAULTS.contains(&kind)) {
            return Vec::new();
        }
        let is_deployed = |program: &str| self.services.iter().any(|name| name == program);
        let of_program = |(program, failpoints): &(&'static str, &'static [&'static str])| {
            let program = *program;
            failpoints
                .iter()
                .map(move |failpoint| (program, *failpoint))
                .collect()
        };
        let deployed = FAILPOINTS
            .iter()
            .filter(|(program, _)| is_deployed(program));
        deployed
            .flat_map(|one| -> Vec<Failpoint> { of_program(one) })
            .collect()
    }

    /// Returns the next step.
    pub fn next(&mut self, random: &mut StdRng) -> Step {
        let kind = pick(&self.weights, random);
        let mut fault = self.fault(kind, random);
        if fault.has_duration() && random.random_bool(COMBINED_SHARE) {
            let which = vec![self.service(random)];
            // A stopped process cannot handle SIGTERM.
            let is_stopped = matches!(fault, Fault::Pause(..) | Fault::Stop(..));
            let other = match is_stopped || random.random_bool(0.7) {
                true => Fault::Kill(which),
                false => Fault::Restart(which),
            };
            fault = Fault::Combined(Box::new(fault), Box::new(other));
        }
        Step {
            kind,
            fault,
            overlaps_next: random.random_bool(OVERLAP_SHARE),
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
                let (program, failpoint, count) = self.next_failpoint(random);
                Fault::Abort(program, failpoint, count)
            }
            "abort with standby" => {
                let (program, failpoint, count) = self.next_failpoint(random);
                Fault::AbortWithStandby(program, failpoint, count)
            }
            "restart" => {
                let count = random.random_range(1..=2);
                let mut which: Vec<_> = (0..count).map(|_| self.service(random)).collect();
                which.dedup();
                Fault::Restart(which)
            }
            "power loss" => Fault::PowerLoss(millis(400, 2_500), random.random()),
            "stop" => {
                let (program, failpoint, count) = self.next_failpoint(random);
                Fault::Stop(program, failpoint, count, pause(program, random))
            }
            "pause" => {
                let service = self.service(random);
                let time = pause(&service, random);
                Fault::Pause(service, time)
            }
            "kill database" => {
                let time = millis(0, 1_500);
                Fault::KillDatabase(self.member(random), time, self.maybe_service(random))
            }
            "pause database" => {
                let time = millis(500, 4_000);
                Fault::PauseDatabase(self.member(random), time)
            }
            "step down" => Fault::StepDown,
            "kill broker" => Fault::KillBroker(self.maybe_service(random)),
            "pause broker" => Fault::PauseBroker(millis(500, 7_000)),
            "alarm" => Fault::Alarm(millis(500, 3_000)),
            "database connection" => {
                let time = millis(300, 3_000);
                Fault::DatabaseConnection(self.member(random), mode(random), time)
            }
            "broker connection" => {
                let time = millis(300, 3_000);
                Fault::BrokerConnection(mode(random), time)
            }
            "unbind" => Fault::Unbind(millis(100, 1_000)),
            "policy" => {
                let policy = POLICIES[random.random_range(0..POLICIES.len())];
                Fault::Policy(policy, Duration::from_secs(random.random_range(1..4)))
            }
            "clock" => {
                let program = self.program(random);
                // Notifications scheduled by a fast clock are late by the same amount.
                let notifies = matches!(program, "bakehouse" | "notifier");
                let seconds = match random.random_bool(0.5) {
                    true => -CLOCK_OFFSET_SECONDS,
                    false if notifies => NOTIFIER_CLOCK_OFFSET_SECONDS,
                    false => CLOCK_OFFSET_SECONDS,
                };
                Fault::Clock(program, seconds)
            }
            "repeat messages" => Fault::RepeatMessages,
            "garbage messages" => Fault::GarbageMessages,
            "unknown version" => Fault::UnknownVersion,
            "rebuild" => Fault::Rebuild,
            "unread stderr" => {
                let service = self.service(random);
                Fault::UnreadStderr(
                    service,
                    UNREAD_STDERR[random.random_range(0..UNREAD_STDERR.len())],
                )
            }
            "burst" => {
                let time = millis(1_000, 2_500);
                self.bursts += 1;
                if self.bursts.is_multiple_of(BURSTS_PER_FLOOD) {
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

    fn maybe_service(&self, random: &mut StdRng) -> Option<String> {
        random.random_bool(0.5).then(|| self.service(random))
    }

    fn member(&self, random: &mut StdRng) -> MemberChoice {
        match random.random_bool(0.5) {
            true => MemberChoice::Primary,
            false => MemberChoice::Member(random.random_range(0..self.members)),
        }
    }

    fn program(&self, random: &mut StdRng) -> &'static str {
        let programs: Vec<&'static str> = FAILPOINTS
            .iter()
            .map(|(program, _)| *program)
            .filter(|program| self.services.iter().any(|name| name == program))
            .collect();
        programs[random.random_range(0..programs.len())]
    }

    /// Returns a program, one of its failpoints, and the number of the pass at which to act. Every
    /// failpoint is used once before one is used again.
    fn next_failpoint(&mut self, random: &mut StdRng) -> (&'static str, &'static str, u32) {
        if self.failpoints.is_empty() {
            self.failpoints = self.all_failpoints();
            self.failpoints.shuffle(random);
        }
        let (program, failpoint) = self
            .failpoints
            .pop()
            .unwrap_or(("bakehouse", "embedded.written"));
        // Reached once in the lifetime of a process.
        let max_count =
            if failpoint.starts_with("mongodb.session") || is_rebuild_failpoint(failpoint) {
                1
            } else {
                12
            };
        (program, failpoint, random.random_range(1..=max_count))
    }
}

/// Checks whether a failpoint is only reached during a rebuild.
#[must_use]
pub fn is_rebuild_failpoint(failpoint: &str) -> bool {
    let mongodb_swap = ["mongodb.replacing", "mongodb.renamed"];
    failpoint.starts_with("rebuild.") || mongodb_swap.contains(&failpoint)
}

/// Returns the duration of a pause after which other instances have taken over.
fn pause(service: &str, random: &mut StdRng) -> Duration {
    // The broker assigns the queue to another consumer after two missed heartbeats.
    let millis = match service.starts_with("events-writer") {
        true => 11_000..15_000,
        false => 1_600..3_500,
    };
    Duration::from_millis(random.random_range(millis))
}

/// Picks a kind of fault by its weight.
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

/// Returns a random mode of a proxy.
fn mode(random: &mut StdRng) -> ProxyMode {
    match random.random_range(0..4) {
        0 => ProxyMode::Slow(Duration::from_millis(random.random_range(10..150))),
        1 => ProxyMode::HalfOpen,
        2 => ProxyMode::Cut,
        _ => ProxyMode::DropAnswersAfter(random.random_range(0..6_000)),
    }
}
