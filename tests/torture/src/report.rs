//! What is told at the end, in words and as JSON.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bakehouse_dev_servers::power_loss::Loss;
use serde_json::{Value, json};

use crate::check::Findings;
use crate::clients::{Pace, lock};
use crate::fault::plan::{Plan, Step};

mod text;

/// How long 99 of 100 recoveries may take after something befell services…
const LIMIT_OF_SERVICES: Duration = Duration::from_secs(2);
/// …and after what they stand on was back.
const LIMIT_OF_SERVERS: Duration = Duration::from_secs(5);
/// …and each after a flood, which leaves behind what was accepted.
const LIMIT_OF_FLOODS: Duration = Duration::from_secs(10);
/// Recoveries of which a 99th percentile says something.
const ENOUGH: usize = 100;
/// What a service may take, in KiB: 64 MiB of it for operations that are not confirmed, and
/// 50 KiB for each of the thousands who wait for an answer at once in a flood.
const MEMORY: u64 = 384 * 1024;

/// Figures of a run.
#[derive(Default)]
pub struct Report {
    /// `servers` or `embedded`.
    pub world: String,
    /// Leads to the same faults again.
    pub seed: u64,
    /// How long things went wrong, in seconds.
    pub seconds: f64,
    /// Requests that were answered with 202.
    pub accepted: u64,
    /// Answers that were none, or 5xx.
    pub unavailable: u64,
    /// Requests that were refused for good.
    pub refused: u64,
    /// Requests of which nobody was told what came of them.
    pub unknown: u64,
    /// Events in the log.
    pub events: u64,
    /// Orders.
    pub orders: u64,
    /// Frames that subscribers were checked for.
    pub frames: u64,
    /// SIGKILLs and ends between two writes, of each program.
    pub kills: BTreeMap<String, u64>,
    /// Ends and stops between two writes, by place.
    pub places: BTreeMap<String, u64>,
    /// Places that a program did not come to in time, so that it was killed elsewhere.
    pub unreached: BTreeMap<String, u64>,
    /// Rounds of making anew, by part.
    pub rounds: BTreeMap<String, u64>,
    /// How often somebody was turned away who wanted what is not theirs.
    pub turned_away: u64,
    /// Events that another program was notified of.
    pub notified: u64,
    /// Of these, how often it was notified of one again.
    pub notified_again: u64,
    /// Answers to writes by their status; 0: none.
    pub answers: BTreeMap<u16, u64>,
    /// Faults of each kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Kinds that are planned and never befell.
    pub never: BTreeSet<&'static str>,
    /// Places between two writes that are planned, and that no program ended or stopped at.
    pub never_at: BTreeSet<String>,
    /// Faults after which nobody waited for the recovery before the next one.
    pub rushed: u64,
    /// Orderly restarts.
    pub restarts: u64,
    /// Requests that were repeated, doubled or raced.
    pub tricks: BTreeMap<&'static str, u64>,
    /// Number of reads at the end, by kind.
    pub reads: BTreeMap<&'static str, u64>,
    /// Losses of power in figures.
    pub power: Loss,
    /// Faults that could not be brought about.
    pub skipped: BTreeMap<String, u64>,
    /// Until an order placed afterwards could be read: after something befell services…
    pub services: Vec<Duration>,
    /// …and after what they stand on was back.
    pub servers: Vec<Duration>,
    /// More orders than there was capacity for.
    pub floods: Vec<Flood>,
    /// Resident memory of each service at most, in KiB.
    pub memory: BTreeMap<String, u64>,
    /// By which codes subscribers were sent away; 0: the connection just ended.
    pub closes: BTreeMap<u16, u64>,
    /// What was found.
    pub findings: Findings,
}

/// More orders than there was capacity for, and what came of them.
pub struct Flood {
    /// Requests a second that were accepted just before, by as many clients as there may
    /// be, each of whom waits for its answer.
    pub capacity: f64,
    /// Orders a second that were sent, whether or not there were answers.
    pub offered: f64,
    /// How many in all.
    pub orders: u64,
    /// How many of them were accepted; the others were told 429 or 503, or nothing.
    pub accepted: u64,
    /// When there was an answer to the last of them, or its sender gave up.
    pub answered_within: Duration,
    /// From then on, until an order placed afterwards could be read.
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
            "flood: {:.0} orders a second where {:.0} requests are what there is capacity for; of {} \
             were {} accepted within {:.1?}; recovered within {:.1?}",
            self.offered,
            self.capacity,
            self.orders,
            self.accepted,
            self.answered_within,
            self.recovered_within.unwrap_or_default()
        )
    }
}

impl Report {
    /// One more SIGKILL, or the like.
    pub fn killed(&mut self, program: &str) {
        *self.kills.entry(program.to_owned()).or_default() += 1;
    }

    /// Notes all that is planned; faults that are brought about are taken off.
    pub fn plan(&mut self, plan: &Plan) {
        self.never = plan.kinds().collect();
        let all = plan.all_places().into_iter();
        self.never_at = all.map(|(program, place)| at(program, place)).collect();
    }

    /// Notes that a fault was brought about.
    pub fn befell(&mut self, step: &Step) {
        *self.faults.entry(step.fault.name()).or_default() += 1;
        self.never.remove(step.kind);
    }

    /// A program was at a place between two writes.
    pub fn was_at(&mut self, program: &str, place: &str) {
        let place = at(program, place);
        self.never_at.remove(&place);
        *self.places.entry(place).or_default() += 1;
    }

    /// It never came to a place between two writes.
    pub fn did_not_reach(&mut self, program: &str, place: &str) {
        *self.unreached.entry(at(program, place)).or_default() += 1;
    }

    /// Adds up what clients were answered.
    pub fn remember_answers(&mut self, pace: &Pace) {
        for (status, count) in lock(&pace.answers).iter() {
            *self.answers.entry(*status).or_default() += count;
            match status {
                202 => self.accepted += count,
                400..500 => {}
                _ => self.unavailable += count,
            }
        }
        for (trick, count) in lock(&pace.tricks).iter() {
            *self.tricks.entry(trick).or_default() += count;
        }
        for complaint in lock(&pace.complaints).iter() {
            let findings = &mut self.findings;
            findings.note("unexpected answer", || complaint.clone());
        }
    }

    /// Holds what was measured against what is promised, where it was measured often
    /// enough to say so.
    pub fn judge(&mut self) {
        let limits = [
            ("services", &self.services, LIMIT_OF_SERVICES),
            ("servers", &self.servers, LIMIT_OF_SERVERS),
        ];
        for (name, times, limit) in limits {
            let figures = figures(times);
            let p99 = figures["p99"].as_u64().unwrap_or_default();
            if times.len() >= ENOUGH && u128::from(p99) > limit.as_millis() {
                let what = || format!("after {name}: p99 {p99} ms, expected {limit:?} at most");
                self.findings.note("slow recovery", what);
            }
        }
        for flood in &self.floods {
            let is_over = flood
                .recovered_within
                .is_some_and(|time| time <= LIMIT_OF_FLOODS);
            if !is_over || flood.accepted == 0 {
                self.findings.note("slow recovery", || flood.text());
            }
        }
        for (name, kib) in &self.memory {
            if *kib > MEMORY {
                let what = || format!("{name}: {} MiB", kib / 1024);
                self.findings.note("too much memory", what);
            }
        }
    }

    /// Takes note of memory.
    pub fn remember(&mut self, memory: BTreeMap<String, u64>) {
        for (name, now) in memory {
            let most = self.memory.entry(name).or_default();
            *most = now.max(*most);
        }
    }

    /// How many were killed in all.
    #[must_use]
    pub fn all_kills(&self) -> u64 {
        self.kills.values().sum()
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.counts.is_empty()
    }

    fn found(&self, kinds: &[&str]) -> u64 {
        let counts = &self.findings.counts;
        kinds.iter().filter_map(|kind| counts.get(kind)).sum()
    }

    /// All of it.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "world": self.world, "seed": self.seed, "seconds": self.seconds,
            "accepted": self.accepted, "unavailable": self.unavailable,
            "refused": self.refused, "unknown": self.unknown,
            "events": self.events, "orders": self.orders, "frames": self.frames,
            "kills": { "all": self.all_kills(), "by_program": self.kills, "by_place": self.places },
            "places_not_reached": self.unreached, "answers": self.answers,
            "planned_and_never": self.never, "places_never": self.never_at,
            "during_recovery": self.rushed, "restarts": self.restarts,
            "tricks": self.tricks, "reads": self.reads,
            "power": {
                "records": self.power.records, "syncs": self.power.syncs,
                "writes_lost": self.power.writes, "names_lost": self.power.names,
            },
            "faults": self.faults, "skipped": self.skipped, "made_anew": self.rounds,
            "turned_away": self.turned_away,
            "notified": self.notified, "notified_again": self.notified_again,
            "unauthorised": self.found(&["unauthorised", "not theirs to see"]),
            "recovery_ms": { "services": figures(&self.services), "servers": figures(&self.servers) },
            "floods": self.floods.iter().map(Flood::json).collect::<Vec<_>>(),
            "peak_memory_kib": self.memory, "closes": self.closes,
            "lost": self.found(&["lost"]), "doubled": self.found(&["doubled"]),
            "reordered": self.found(&["reordered", "time goes back"]),
            "gaps": self.found(&["gap in the log", "gap in the feed", "gap for a subscriber"]),
            "findings": self.findings.counts, "first_findings": self.findings.shown,
        })
    }
}

/// A place of a program.
fn at(program: &str, place: &str) -> String {
    format!("{program} at {place}")
}

/// Count, median, 99th percentile and the longest, in milliseconds.
fn figures(times: &[Duration]) -> Value {
    let mut times: Vec<u128> = times.iter().map(Duration::as_millis).collect();
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share).ceil() as usize).clamp(1, times.len().max(1));
        times.get(index - 1).copied().unwrap_or_default() as u64
    };
    json!({ "count": times.len(), "p50": at(0.5), "p99": at(0.99), "max": at(1.0) })
}
