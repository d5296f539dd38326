//! Report of a run, as text and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bakehouse_dev_servers::power_loss::Loss;
use serde_json::{Value, json};

use crate::clients::{Workload, lock};
use crate::fault::plan::{Plan, Step};
use crate::findings::Findings;

mod text;

/// Limit of the 99th percentile of recoveries after faults of services.
const SERVICES_RECOVERY_LIMIT: Duration = Duration::from_secs(2);
/// Limit of the 99th percentile of recoveries after servers are available again.
const SERVERS_RECOVERY_LIMIT: Duration = Duration::from_secs(5);
/// Limit of each recovery after a flood, whose accepted orders are processed first.
const FLOOD_RECOVERY_LIMIT: Duration = Duration::from_secs(10);
/// Number of recoveries from which on the 99th percentile is checked.
const MIN_SAMPLES: usize = 100;
/// Limit of the memory of a service, in KiB. It includes 64 MiB for unconfirmed operations and
/// 50 KiB for each of the thousands of concurrent requests of a flood.
const MAX_MEMORY_KIB: u64 = 384 * 1024;

/// Figures of a run.
#[derive(Default)]
pub struct Report {
    /// `servers` or `embedded`.
    pub world: String,
    /// Seed of the sequence of faults.
    pub seed: u64,
    /// Time for which faults were injected, in seconds.
    pub seconds: f64,
    /// Requests that were answered with 202.
    pub accepted: u64,
    /// Requests without an answer, or with a 5xx.
    pub unavailable: u64,
    /// Requests that were finally refused.
    pub refused: u64,
    /// Requests whose outcome the client does not know.
    pub unknown: u64,
    /// Events in the log.
    pub events: u64,
    /// Orders that were placed.
    pub orders: u64,
    /// Frames of subscribers that were checked.
    pub frames: u64,
    /// Kills and aborts at failpoints, by program.
    pub kills: BTreeMap<String, u64>,
    /// Aborts and stops at failpoints, by failpoint.
    pub failpoints: BTreeMap<String, u64>,
    /// Failpoints that a program did not reach in time, so that it was killed instead.
    pub failpoints_missed: BTreeMap<String, u64>,
    /// Rebuilds, by target.
    pub rebuilds: BTreeMap<String, u64>,
    /// Requests of the intruder that were rejected.
    pub rejected: u64,
    /// Events that the webhook receiver was notified of.
    pub notified: u64,
    /// Repeated notifications.
    pub notified_again: u64,
    /// Answers to writes by status; 0 counts missing answers.
    pub answers: BTreeMap<u16, u64>,
    /// Faults of each kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Planned kinds of faults that were never injected.
    pub never_injected: BTreeSet<&'static str>,
    /// Planned failpoints at which no program ended or stopped.
    pub failpoints_never_reached: BTreeSet<String>,
    /// Faults whose recovery overlapped with the next fault.
    pub overlapping: u64,
    /// Restarts by SIGTERM.
    pub restarts: u64,
    /// Requests that were repeated, sent twice at once or raced, by kind.
    pub special_requests: BTreeMap<&'static str, u64>,
    /// Number of reads at the end, by kind.
    pub reads: BTreeMap<&'static str, u64>,
    /// Totals of the power losses.
    pub power: Loss,
    /// Faults that could not be injected, with the reason.
    pub skipped: BTreeMap<String, u64>,
    /// Times until a new order could be read, after faults of services.
    pub services: Vec<Duration>,
    /// Times until a new order could be read, after servers were available again.
    pub servers: Vec<Duration>,
    /// Results of the floods.
    pub floods: Vec<Flood>,
    /// Peak resident memory of each service, in KiB.
    pub memory: BTreeMap<String, u64>,
    /// Close codes of subscribers' connections; 0 counts connections that ended without one.
    pub closes: BTreeMap<u16, u64>,
    /// Violated guarantees.
    pub findings: Findings,
}

/// Result of a flood: more orders per second than the system has capacity for.
pub struct Flood {
    /// Requests per second that were accepted in the burst before, in which every client waits for
    /// its answers.
    pub capacity: f64,
    /// Orders per second that were sent, independent of answers.
    pub offered: f64,
    /// Total number of orders.
    pub orders: u64,
    /// Number of accepted orders; the others got 429, 503 or no answer.
    pub accepted: u64,
    /// Time until the last answer or timeout.
    pub answered_within: Duration,
    /// Time from then until a new order could be read.
    pub recovered_within: Option<Duration>,
}

impl Flood {
    fn json(&self) -> Value {
        let millis = |time: Duration| time.as_millis() as u64;
        json!({
            "capacity_per_s": self.capacity.round(), "offered_per_s": self.offered.round(),
            "orders": self.orders, "accepted": self.accepted,
            "answered_ms": millis(self.answered_within),
            "recovered_ms": self.recovered_within.map(millis),
        })
    }

    fn text(&self) -> String {
        format!(
            "flood: {:.0} orders/s with a capacity of {:.0} requests/s; {} of {} accepted, last answer \
             after {:.1?}; recovered within {:.1?}",
            self.offered,
            self.capacity,
            self.accepted,
            self.orders,
            self.answered_within,
            self.recovered_within.unwrap_or_default()
        )
    }
}

impl Report {
    /// Counts a kill of a program.
    pub fn killed(&mut self, program: &str) {
        *self.kills.entry(program.to_owned()).or_default() += 1;
    }

    /// Records everything that a plan contains, to report what was never injected.
    pub fn expect_plan(&mut self, plan: &Plan) {
        self.never_injected = plan.kinds().collect();
        let all = plan.all_failpoints().into_iter();
        self.failpoints_never_reached = all
            .map(|(program, failpoint)| failpoint_of(program, failpoint))
            .collect();
    }

    /// Counts an injected fault.
    pub fn record_fault(&mut self, step: &Step) {
        *self.faults.entry(step.fault.name()).or_default() += 1;
        self.never_injected.remove(step.kind);
    }

    /// Counts a failpoint at which a program ended or stopped.
    pub fn failpoint_reached(&mut self, program: &str, failpoint: &str) {
        let failpoint = failpoint_of(program, failpoint);
        self.failpoints_never_reached.remove(&failpoint);
        *self.failpoints.entry(failpoint).or_default() += 1;
    }

    /// Counts a failpoint that a program did not reach in time.
    pub fn failpoint_missed(&mut self, program: &str, failpoint: &str) {
        *self
            .failpoints_missed
            .entry(failpoint_of(program, failpoint))
            .or_default() += 1;
    }

    /// Adds the answers that clients got.
    pub fn add_answers(&mut self, workload: &Workload) {
        for (status, count) in lock(&workload.answers).iter() {
            *self.answers.entry(*status).or_default() += count;
            match status {
                202 => self.accepted += count,
                400..500 => {}
                _ => self.unavailable += count,
            }
        }
        for (kind, count) in lock(&workload.special_requests).iter() {
            *self.special_requests.entry(kind).or_default() += count;
        }
        for violation in lock(&workload.violations).iter() {
            let findings = &mut self.findings;
            findings.note("unexpected answer", || violation.clone());
        }
    }

    /// Compares recovery times and memory with their limits.
    pub fn check_limits(&mut self) {
        let limits = [
            ("services", &self.services, SERVICES_RECOVERY_LIMIT),
            ("servers", &self.servers, SERVERS_RECOVERY_LIMIT),
        ];
        for (name, times, limit) in limits {
            let figures = figures(times);
            let p99 = figures["p99"].as_u64().unwrap_or_default();
            if times.len() >= MIN_SAMPLES && u128::from(p99) > limit.as_millis() {
                let what = || format!("after {name}: p99 {p99} ms, limit {limit:?}");
                self.findings.note("slow recovery", what);
            }
        }
        for flood in &self.floods {
            let has_recovered = flood
                .recovered_within
                .is_some_and(|time| time <= FLOOD_RECOVERY_LIMIT);
            if !has_recovered || flood.accepted == 0 {
                self.findings.note("slow recovery", || flood.text());
            }
        }
        for (name, kib) in &self.memory {
            if *kib > MAX_MEMORY_KIB {
                let what = || format!("{name}: {} MiB", kib / 1024);
                self.findings.note("too much memory", what);
            }
        }
    }

    /// Records the peak memory of services.
    pub fn record_memory(&mut self, memory: BTreeMap<String, u64>) {
        for (name, now) in memory {
            let most = self.memory.entry(name).or_default();
            *most = now.max(*most);
        }
    }

    /// Returns the total number of kills.
    #[must_use]
    pub fn all_kills(&self) -> u64 {
        self.kills.values().sum()
    }

    /// Checks whether there are no findings.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.counts.is_empty()
    }

    fn found(&self, kinds: &[&str]) -> u64 {
        let counts = &self.findings.counts;
        kinds.iter().filter_map(|kind| counts.get(kind)).sum()
    }

    /// Returns the report as JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "world": self.world, "seed": self.seed, "seconds": self.seconds,
            "accepted": self.accepted, "unavailable": self.unavailable,
            "refused": self.refused, "unknown": self.unknown,
            "events": self.events, "orders": self.orders, "frames": self.frames,
            "kills": { "all": self.all_kills(), "by_program": self.kills, "by_place": self.failpoints },
            "places_not_reached": self.failpoints_missed, "answers": self.answers,
            "planned_and_never": self.never_injected, "places_never": self.failpoints_never_reached,
            "during_recovery": self.overlapping, "restarts": self.restarts,
            "tricks": self.special_requests, "reads": self.reads,
            "power": {
                "records": self.power.records, "syncs": self.power.syncs,
                "writes_lost": self.power.writes, "names_lost": self.power.names,
            },
            "faults": self.faults, "skipped": self.skipped, "rebuilds": self.rebuilds,
            "turned_away": self.rejected,
            "notified": self.notified, "notified_again": self.notified_again,
            "unauthorised": self.found(&["unauthorised", "frame of another owner"]),
            "recovery_ms": { "services": figures(&self.services), "servers": figures(&self.servers) },
            "floods": self.floods.iter().map(Flood::json).collect::<Vec<_>>(),
            "peak_memory_kib": self.memory, "closes": self.closes,
            "lost": self.found(&["lost"]), "doubled": self.found(&["doubled"]),
            "reordered": self.found(&["reordered", "creation time decreases"]),
            "gaps": self.found(&["gap in the log", "gap in the feed", "gap for a subscriber"]),
            "findings": self.findings.counts, "first_findings": self.findings.shown,
        })
    }
}

/// Returns the printed name of a failpoint.
fn failpoint_of(program: &str, failpoint: &str) -> String {
    format!("{program} at {failpoint}")
}

/// Returns count, median, 99th percentile and maximum, in milliseconds.
fn figures(times: &[Duration]) -> Value {
    let mut times: Vec<u128> = times.iter().map(Duration::as_millis).collect();
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1));
        times.get(index - 1).copied().unwrap_or_default() as u64
    };
    json!({ "count": times.len(), "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}
