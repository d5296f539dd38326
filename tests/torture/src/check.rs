//! Whether every promise was kept: what clients remember against the log, the log against
//! the rules, and what is read and was heard against both. Each thing is looked at once.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::ledger::{Answer, Entry};
use crate::log::Row;
use crate::model::{Orders, Verdict, time};
use crate::partner::{Heard, KINDS};
use crate::reads::{Reads, check_reads};
use crate::watchers::{Seen, hash};

/// How many of each kind are told in words.
const SHOWN: usize = 3;
/// Of these words, so many characters.
const WORDS: usize = 700;
/// Whoever was killed between sending and noting that sends again; hardly ever so often.
const AGAIN: u32 = 6;

/// What was found.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How many of each kind.
    pub counts: BTreeMap<&'static str, u64>,
    /// The first of each kind, in words.
    pub shown: Vec<String>,
}

impl Findings {
    /// One more.
    pub fn note(&mut self, kind: &'static str, what: impl FnOnce() -> String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= SHOWN as u64 {
            let words: String = what().chars().take(WORDS).collect();
            self.shown.push(format!("{kind}: {words}"));
        }
    }

    /// One more, unless it is so.
    pub(crate) fn expect(
        &mut self,
        is_so: bool,
        kind: &'static str,
        what: impl FnOnce() -> String,
    ) {
        if !is_so {
            self.note(kind, what);
        }
    }
}

/// All that is to be looked at.
pub struct Evidence {
    /// What each client remembers.
    pub ledgers: Vec<Vec<Entry>>,
    /// The log, from its store.
    pub log: Vec<Row>,
    /// The feed from its beginning, as an operator gets it.
    pub feed: Vec<String>,
    /// The whole list, newest first.
    pub list: Vec<Value>,
    /// Orders that are not on the list, by their ids.
    pub others: HashMap<String, Value>,
    /// What subscribers saw.
    pub seen: Vec<Seen>,
    /// Receipts, histories, files and filtered lists.
    pub reads: Reads,
    /// What another program was told.
    pub heard: Heard,
    /// Orders that were spoiled on purpose.
    pub spoiled: HashSet<String>,
}

/// What the log must have led to.
struct Told {
    position: u64,
    hash: u64,
    kind: String,
    owner: String,
}

/// Looks at all of it.
#[must_use]
pub fn check(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let Evidence {
        ledgers,
        log,
        spoiled,
        ..
    } = evidence;
    let positions = check_ledgers(ledgers, log, spoiled, &mut findings);
    check_orders_of_clients(evidence, &positions, &mut findings);
    check_positions(&evidence.log, &mut findings);
    let (orders, told) = check_log(evidence, &mut findings);
    check_documents(evidence, &orders, &mut findings);
    for seen in &evidence.seen {
        check_subscriber(seen, &told, &mut findings);
    }
    check_partner(&evidence.heard, &told, &mut findings);
    check_reads(evidence, &orders, &mut findings);
    findings
}

/// Looks at what can still be looked at where nothing recovers: the log.
pub fn check_log_alone(
    ledgers: &[Vec<Entry>],
    log: &[Row],
    spoiled: &[String],
    findings: &mut Findings,
) {
    let spoiled = spoiled.iter().cloned().collect();
    check_ledgers(ledgers, log, &spoiled, findings);
    check_positions(log, findings);
}

/// Every 202 once, everything else at most once, and nothing that nobody asked for.
fn check_ledgers(
    ledgers: &[Vec<Entry>],
    log: &[Row],
    spoiled: &HashSet<String>,
    findings: &mut Findings,
) -> HashMap<Uuid, u64> {
    let mut found: HashMap<Uuid, &Row> = HashMap::new();
    for row in log {
        if let Some(first) = found.insert(row.correlation, row) {
            findings.note("doubled", || format!("{first:?} and {row:?}"));
        }
    }
    let mut known = HashSet::new();
    for entry in ledgers.iter().flatten() {
        known.insert(entry.correlation);
        let row = found.get(&entry.correlation);
        match (&entry.answer, row) {
            (Answer::Accepted { operation }, Some(row)) => {
                let is_it = *operation == row.operation && entry.order.as_ref() == Some(&row.order);
                findings.expect(is_it, "accepted as another", || {
                    format!("{entry:?}: {row:?}")
                });
            }
            (Answer::Accepted { .. }, None) => findings.note("lost", || format!("{entry:?}")),
            (Answer::Refused(_), Some(row)) => {
                findings.note("refused and there", || format!("{entry:?}: {row:?}"));
            }
            // Somebody else was faster.
            (Answer::Refused(412), None) if entry.expected.is_some() => {}
            // All of them know what may be asked for, and in which words.
            (Answer::Refused(_), None) => findings.note("refused", || format!("{entry:?}")),
            (Answer::Unknown, _) => {}
        }
    }
    for row in log {
        let is_known = known.contains(&row.correlation) || spoiled.contains(&row.order);
        findings.expect(is_known, "never asked for", || format!("{row:?}"));
    }
    found
        .into_iter()
        .map(|(correlation, row)| (correlation, row.position))
        .collect()
}

/// Who asked for one thing after the other gets it in that order.
fn check_orders_of_clients(
    evidence: &Evidence,
    positions: &HashMap<Uuid, u64>,
    findings: &mut Findings,
) {
    for ledger in &evidence.ledgers {
        let mut last = 0;
        let accepted = ledger
            .iter()
            .filter(|entry| matches!(entry.answer, Answer::Accepted { .. }));
        for entry in accepted {
            if let Some(position) = positions.get(&entry.correlation) {
                findings.expect(*position > last, "reordered", || {
                    format!("{position} after {last}: {entry:?}")
                });
                last = *position;
            }
        }
    }
}

/// 1, 2, 3, …, and times that never go back.
fn check_positions(log: &[Row], findings: &mut Findings) {
    let mut last = i64::MIN;
    for (expected, row) in (1..).zip(log) {
        findings.expect(row.position == expected, "gap in the log", || {
            format!("{expected} is {row:?}")
        });
        findings.expect(row.created >= last, "time goes back", || format!("{row:?}"));
        last = row.created;
        let is_settled = row.status != "stored" && row.status != "parked";
        findings.expect(is_settled, "no verdict", || format!("{row:?}"));
        let is_timed = row.executed.is_some();
        findings.expect(is_timed || !is_settled, "no time of execution", || {
            format!("{row:?}")
        });
    }
}

/// Every verdict by the rules, and every frame what it must be.
fn check_log(evidence: &Evidence, findings: &mut Findings) -> (Orders, Vec<Told>) {
    let entries: HashMap<Uuid, &Entry> = evidence
        .ledgers
        .iter()
        .flatten()
        .map(|entry| (entry.correlation, entry))
        .collect();
    let mut orders = Orders::default();
    let mut told = Vec::new();
    findings.expect(
        evidence.feed.len() == evidence.log.len(),
        "gap in the feed",
        || {
            format!(
                "{} frames of {} events",
                evidence.feed.len(),
                evidence.log.len()
            )
        },
    );
    for (row, text) in evidence.log.iter().zip(&evidence.feed) {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        let is_its = frame["position"] == row.position;
        findings.expect(is_its, "gap in the feed", || format!("{frame} for {row:?}"));
        let mut sender = None;
        if let Some(entry) = entries.get(&row.correlation) {
            let verdict = orders.execute(row, entry, &frame);
            // A refusal is theirs who asked.
            let is_refused = matches!(verdict, Verdict::Rejected(..));
            sender = is_refused.then_some(entry.subject.as_str());
            if !evidence.spoiled.contains(&row.order) {
                check_event(row, &verdict, &frame, findings);
            }
        }
        told.push(Told {
            position: row.position,
            hash: hash(text),
            kind: frame["type"].as_str().unwrap_or_default().to_owned(),
            owner: sender
                .or(orders.owner(&row.order))
                .unwrap_or_default()
                .to_owned(),
        });
    }
    (orders, told)
}

fn check_event(row: &Row, verdict: &Verdict, frame: &Value, findings: &mut Findings) {
    let mut expected = json!({
        "position": row.position, "order_id": row.order, "operation_id": row.operation,
        "at": time(row.created),
    });
    let status = match verdict {
        Verdict::Changed(kind, document) => {
            expected["type"] = json!(kind);
            expected["order"] = document.clone();
            "executed"
        }
        Verdict::Rejected(reason, code) => {
            expected["type"] = json!("order.rejected");
            expected["reason"] = json!(reason);
            if let Some(code) = code {
                expected["code"] = json!(code);
            }
            let is_so = frame["reason"] == expected["reason"] && frame["code"] == expected["code"];
            findings.expect(is_so, "refused for another reason", || {
                format!("expected {expected}, found {frame}")
            });
            "rejected"
        }
    };
    findings.expect(row.status == status, "wrong verdict", || {
        format!("{status} expected, {row:?}")
    });
    findings.expect(*frame == expected, "wrong frame", || {
        format!("expected {expected}, found {frame}")
    });
}

/// What is read is what the log comes to.
fn check_documents(evidence: &Evidence, orders: &Orders, findings: &mut Findings) {
    let mut listed: HashMap<&str, &Value> = HashMap::new();
    let mut last = u64::MAX;
    for document in &evidence.list {
        let id = document["id"].as_str().unwrap_or_default();
        let is_twice = listed.insert(id, document).is_some();
        findings.expect(!is_twice, "listed twice", || format!("{document}"));
        let number = document["number"].as_u64().unwrap_or_default();
        findings.expect(number < last, "list out of order", || format!("{document}"));
        last = number;
    }
    for (id, expected, is_listed) in orders.documents() {
        let on_list = listed.remove(id);
        findings.expect(on_list.is_some() == is_listed, "list", || {
            format!(
                "{id} is on the list: {}, expected: {is_listed}",
                on_list.is_some()
            )
        });
        let found = on_list.or_else(|| evidence.others.get(id));
        if evidence.spoiled.contains(id) {
            // Its change waited until an operator had spoken, so it took effect there.
            let is_paid = found.is_some_and(|one| one["status"] == "paid" && one["version"] == 2);
            let was_asked = expected["version"] == 2;
            findings.expect(is_paid || !was_asked, "wrong document", || {
                format!("{id} was spoiled and mended: {found:?}")
            });
        } else {
            findings.expect(found == Some(&expected), "wrong document", || {
                format!("expected {expected}, found {found:?}")
            });
        }
    }
    for (id, document) in listed {
        findings.note("never placed", || format!("{id}: {document}"));
    }
}

/// What somebody saw is what the log has for them, in its order, each once.
fn check_subscriber(seen: &Seen, told: &[Told], findings: &mut Findings) {
    for complaint in &seen.complaints {
        findings.note("complaint of a subscriber", || {
            format!("{:?}: {complaint}", seen.filter)
        });
    }
    let is_theirs = |one: &&Told| {
        let owner = seen.filter.owner.as_ref();
        let kinds = seen.filter.kinds;
        owner.is_none_or(|owner| one.owner == *owner)
            && (kinds.is_empty() || kinds.contains(&one.kind.as_str()))
    };
    let mut expected = told
        .iter()
        .filter(is_theirs)
        .map(|one| (one.position, one.hash));
    for (position, text) in &seen.frames {
        let next = expected.next();
        if next == Some((*position, *text)) {
            continue;
        }
        let of_others = told
            .get(
                usize::try_from(*position)
                    .unwrap_or_default()
                    .wrapping_sub(1),
            )
            .filter(is_theirs)
            .is_none();
        let kind = if of_others {
            "not theirs to see"
        } else {
            "gap for a subscriber"
        };
        findings.note(kind, || {
            format!("{:?}: {position} instead of {next:?}", seen.filter)
        });
        return;
    }
    let left = expected.count();
    findings.expect(left == 0, "gap for a subscriber", || {
        format!("{:?}: {left} at the end were not seen", seen.filter)
    });
}

/// Whoever is notified hears of everything that they asked for, and of nothing else; if
/// more than once, then in the same words.
fn check_partner(heard: &Heard, told: &[Told], findings: &mut Findings) {
    for complaint in &heard.complaints {
        findings.note("complaint of a partner", || complaint.clone());
    }
    for one in told {
        let (position, kind) = (one.position, &one.kind);
        let message = heard.messages.get(&position);
        match (message, KINDS.contains(&kind.as_str())) {
            (Some(message), true) => {
                let is_it = message.hash == one.hash && message.kind == *kind;
                findings.expect(is_it, "notified of what never was", || {
                    format!("{kind} at {position}: {message:?}")
                });
                findings.expect(message.taken <= AGAIN, "notified again and again", || {
                    format!("{kind} at {position}: {message:?}")
                });
            }
            (None, true) => findings.note("not notified", || format!("{kind} at {position}")),
            (Some(message), false) => {
                findings.note("notified unasked", || {
                    format!("{kind} at {position}: {message:?}")
                });
            }
            (None, false) => {}
        }
    }
    let end = told.last().map_or(0, |one| one.position);
    for (position, message) in heard.messages.range(end + 1..) {
        findings.note("notified of what never was", || {
            format!("{position}: {message:?}")
        });
    }
}
