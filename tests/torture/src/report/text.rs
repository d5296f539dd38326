//! Report of a run as text.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};

use super::{Report, figures};

impl Report {
    /// Returns the report as text.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let j = self.json();
        let mut line = |what: String| {
            // Writing to a string never fails.
            let _ = writeln!(text, "{what}");
        };
        line(format!(
            "{}, seed {}, {:.1} min",
            self.world,
            self.seed,
            self.seconds / 60.0
        ));
        line(format!(
            "requests: {} accepted, {} refused, {} of unknown outcome, {} answered 5xx or not at all",
            self.accepted, self.refused, self.unknown, self.unavailable
        ));
        line(format!(
            "{} events, {} orders, {} frames of subscribers compared",
            self.events, self.orders, self.frames
        ));
        line(format!(
            "lost {}, doubled {}, reordered {}, gaps {}",
            j["lost"], j["doubled"], j["reordered"], j["gaps"]
        ));
        line(format!("kills {}: {}", self.all_kills(), list(&self.kills)));
        line(format!(
            "ended or stopped at failpoints: {}",
            list(&self.failpoints)
        ));
        if !self.failpoints_missed.is_empty() {
            line(format!(
                "failpoints not reached in time: {}",
                list(&self.failpoints_missed)
            ));
        }
        if !self.failpoints_never_reached.is_empty() {
            line(format!(
                "failpoints NEVER reached: {}",
                names(&self.failpoints_never_reached)
            ));
        }
        line(format!("faults: {}", list(&self.faults)));
        line(format!(
            "{} of them during a recovery; {} restarts by SIGTERM",
            self.overlapping, self.restarts
        ));
        if !self.never_injected.is_empty() {
            line(format!(
                "faults NEVER injected: {}",
                names(&self.never_injected)
            ));
        }
        let power = &self.power;
        line(format!(
            "power losses: {} writes and {} names lost; {} operations and {} syncs recorded",
            power.writes, power.names, power.records, power.syncs
        ));
        line(format!(
            "repeated and racing requests: {}",
            list(&self.special_requests)
        ));
        line(format!("final reads: {}", list(&self.reads)));
        line(format!("rebuilds: {}", list(&self.rebuilds)));
        line(format!("answers to writes: {}", list(&self.answers)));
        line(format!("intruder: {} requests rejected", self.rejected));
        line(format!(
            "webhooks: {} events, {} repeated notifications",
            self.notified, self.notified_again
        ));
        if !self.skipped.is_empty() {
            line(format!("faults not injected: {}", list(&self.skipped)));
        }
        for (name, times) in [("services", &self.services), ("servers", &self.servers)] {
            let f = figures(times);
            line(format!(
                "recovery after {name}: {} times, p50 {} ms, p99 {} ms, max {} ms",
                f["count"], f["p50"], f["p99"], f["max"]
            ));
        }
        for flood in &self.floods {
            line(flood.text());
        }
        let memory = self
            .memory
            .iter()
            .map(|(name, kib)| (name, kib / 1024))
            .collect();
        line(format!("peak memory in MiB: {}", list(&memory)));
        line(format!("close codes of the feed: {}", list(&self.closes)));
        for finding in &self.findings.shown {
            line(format!("! {finding}"));
        }
        if self.is_clean() {
            line("ok: every guarantee was kept".into());
        } else {
            line(format!("FAILED: {}", list(&self.findings.counts)));
        }
        text
    }
}

fn list<K: Display, V: Display>(all: &BTreeMap<K, V>) -> String {
    let all: Vec<String> = all
        .iter()
        .map(|(key, value)| format!("{key} {value}"))
        .collect();
    all.join(", ")
}

fn names<T: AsRef<str>>(all: &BTreeSet<T>) -> String {
    let all: Vec<&str> = all.iter().map(AsRef::as_ref).collect();
    all.join(", ")
}
