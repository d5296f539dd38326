//! The report in words.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{Display, Write};

use super::{Report, figures};

impl Report {
    /// Report in words.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        let j = self.json();
        let mut line = |what: String| {
            // Writing to text never fails.
            let _ = writeln!(text, "{what}");
        };
        line(format!(
            "{} world, seed {}, {:.1} min",
            self.world,
            self.seed,
            self.seconds / 60.0
        ));
        line(format!(
            "accepted {}, refused {}, unknown {}, answers 5xx or none {}",
            self.accepted, self.refused, self.unknown, self.unavailable
        ));
        line(format!(
            "events {}, orders {}, frames compared {}",
            self.events, self.orders, self.frames
        ));
        line(format!(
            "lost {}, doubled {}, reordered {}, gaps {}",
            j["lost"], j["doubled"], j["reordered"], j["gaps"]
        ));
        line(format!("kills {}: {}", self.all_kills(), list(&self.kills)));
        line(format!("ended between two writes: {}", list(&self.places)));
        if !self.unreached.is_empty() {
            line(format!("killed elsewhere: {}", list(&self.unreached)));
        }
        if !self.never_at.is_empty() {
            line(format!("NEVER ended at: {}", names(&self.never_at)));
        }
        line(format!("faults: {}", list(&self.faults)));
        line(format!(
            "{} of them during a recovery; {} orderly restarts",
            self.rushed, self.restarts
        ));
        if !self.never.is_empty() {
            line(format!("NEVER befell: {}", names(&self.never)));
        }
        let power = &self.power;
        line(format!(
            "losses of power took {} writes and {} names; {} operations, {} syncs",
            power.writes, power.names, power.records, power.syncs
        ));
        line(format!("requests: {}", list(&self.tricks)));
        line(format!("read at the end: {}", list(&self.reads)));
        line(format!("made anew: {}", list(&self.rounds)));
        line(format!("answers to writes: {}", list(&self.answers)));
        line(format!("turned away {} times", self.turned_away));
        line(format!(
            "notified of {} events, {} times again",
            self.notified, self.notified_again
        ));
        if !self.skipped.is_empty() {
            line(format!("not brought about: {}", list(&self.skipped)));
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
        line(format!("closes of the feed: {}", list(&self.closes)));
        for finding in &self.findings.shown {
            line(format!("! {finding}"));
        }
        if self.is_clean() {
            line("every promise was kept".into());
        } else {
            line(format!("NOT KEPT: {}", list(&self.findings.counts)));
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
