//! Checks of the final state: client ledgers against the log, the log against the model, and
//! documents, frames and notifications against both.

use std::collections::{HashMap, HashSet};

use serde_json::{Value, json};
use uuid::Uuid;

use crate::evidence::Evidence;
use crate::findings::Findings;
use crate::ledger::{Answer, Entry};
use crate::log::Row;
use crate::model::{Orders, Verdict, time};
use crate::subscribers::{SubscriberRecord, hash};
use crate::webhook_receiver::{EVENT_TYPES, ReceivedNotifications};

mod reads;

use self::reads::check_reads;

/// Maximum number of acknowledged deliveries of one notification. A kill between delivery and its
/// record leads to a repetition.
const MAX_ACKNOWLEDGED: u32 = 6;

/// Frame that an event of the log must lead to.
struct ExpectedFrame {
    position: u64,
    hash: u64,
    kind: String,
    owner: String,
}

/// Runs all checks.
#[must_use]
pub fn check(evidence: &Evidence) -> Findings {
    let mut findings = Findings::default();
    let Evidence {
        ledgers,
        log,
        poisoned,
        ..
    } = evidence;
    let positions = check_ledgers(ledgers, log, poisoned, &mut findings);
    check_client_order(evidence, &positions, &mut findings);
    check_positions(&evidence.log, &mut findings);
    let (orders, expected_frames) = check_log(evidence, &mut findings);
    check_documents(evidence, &orders, &mut findings);
    for record in &evidence.subscribers {
        check_subscriber(record, &expected_frames, &mut findings);
    }
    check_notifications(&evidence.notifications, &expected_frames, &mut findings);
    check_reads(evidence, &orders, &mut findings);
    findings
}

/// Checks only the log, for systems that do not recover.
pub fn check_log_alone(
    ledgers: &[Vec<Entry>],
    log: &[Row],
    poisoned: &[String],
    findings: &mut Findings,
) {
    let poisoned = poisoned.iter().cloned().collect();
    check_ledgers(ledgers, log, &poisoned, findings);
    check_positions(log, findings);
}

/// Checks that every accepted request is in the log once, every other one at most once, and that
/// every event has a request. Returns positions by correlation id.
fn check_ledgers(
    ledgers: &[Vec<Entry>],
    log: &[Row],
    poisoned: &HashSet<String>,
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
                let matches =
                    *operation == row.operation && entry.order.as_ref() == Some(&row.order);
                findings.expect(matches, "accepted under another identity", || {
                    format!("{entry:?}: {row:?}")
                });
            }
            (Answer::Accepted { .. }, None) => findings.note("lost", || format!("{entry:?}")),
            (Answer::Refused(_), Some(row)) => {
                findings.note("refused but stored", || format!("{entry:?}: {row:?}"));
            }
            // Another client changed the order first.
            (Answer::Refused(412), None) if entry.expected.is_some() => {}
            // Clients send only valid requests.
            (Answer::Refused(_), None) => findings.note("refused", || format!("{entry:?}")),
            (Answer::Unknown, _) => {}
        }
    }
    for row in log {
        let is_known = known.contains(&row.correlation) || poisoned.contains(&row.order);
        findings.expect(is_known, "event without request", || format!("{row:?}"));
    }
    found
        .into_iter()
        .map(|(correlation, row)| (correlation, row.position))
        .collect()
}

/// Checks that accepted requests of each client are in the log in the order in which it sent them.
fn check_client_order(
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

/// Checks that positions have no gaps, creation times do not decrease, and every event has a
/// verdict with its time.
fn check_positions(log: &[Row], findings: &mut Findings) {
    let mut last = i64::MIN;
    for (expected, row) in (1..).zip(log) {
        findings.expect(row.position == expected, "gap in the log", || {
            format!("{expected} is {row:?}")
        });
        findings.expect(row.created >= last, "creation time decreases", || {
            format!("{row:?}")
        });
        last = row.created;
        let is_settled = row.status != "stored" && row.status != "parked";
        findings.expect(is_settled, "no verdict", || format!("{row:?}"));
        let is_timed = row.executed.is_some();
        findings.expect(is_timed || !is_settled, "no time of execution", || {
            format!("{row:?}")
        });
    }
}

/// Checks every verdict and frame against the model. Returns the orders and frames that the log
/// must lead to.
fn check_log(evidence: &Evidence, findings: &mut Findings) -> (Orders, Vec<ExpectedFrame>) {
    let entries: HashMap<Uuid, &Entry> = evidence
        .ledgers
        .iter()
        .flatten()
        .map(|entry| (entry.correlation, entry))
        .collect();
    let mut orders = Orders::default();
    let mut expected_frames = Vec::new();
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
        let is_of_event = frame["position"] == row.position;
        findings.expect(is_of_event, "gap in the feed", || {
            format!("{frame} for {row:?}")
        });
        let mut sender = None;
        if let Some(entry) = entries.get(&row.correlation) {
            let verdict = orders.execute(row, entry, &frame);
            // A rejection is visible to the client that sent the request.
            let is_refused = matches!(verdict, Verdict::Rejected(..));
            sender = is_refused.then_some(entry.subject.as_str());
            if !evidence.poisoned.contains(&row.order) {
                check_event(row, &verdict, &frame, findings);
            }
        }
        expected_frames.push(ExpectedFrame {
            position: row.position,
            hash: hash(text),
            kind: frame["type"].as_str().unwrap_or_default().to_owned(),
            owner: sender
                .or(orders.owner(&row.order))
                .unwrap_or_default()
                .to_owned(),
        });
    }
    (orders, expected_frames)
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
            let holds = frame["reason"] == expected["reason"] && frame["code"] == expected["code"];
            findings.expect(holds, "wrong reason of a rejection", || {
                format!("expected {expected}, found {frame}")
            });
            "rejected"
        }
    };
    findings.expect(row.status == status, "wrong verdict", || {
        format!("expected {status}, found {row:?}")
    });
    findings.expect(*frame == expected, "wrong frame", || {
        format!("expected {expected}, found {frame}")
    });
}

/// Checks documents and the list of orders against the model.
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
        findings.expect(on_list.is_some() == is_listed, "wrong list", || {
            format!("{id}: listed: {}, expected: {is_listed}", on_list.is_some())
        });
        let found = on_list.or_else(|| evidence.unlisted.get(id));
        if evidence.poisoned.contains(id) {
            // Its change was executed only after an operator had discarded the parked operation.
            let is_paid = found.is_some_and(|one| one["status"] == "paid" && one["version"] == 2);
            let was_asked = expected["version"] == 2;
            findings.expect(is_paid || !was_asked, "wrong document", || {
                format!("{id}, after its parked operation was discarded: {found:?}")
            });
        } else {
            findings.expect(found == Some(&expected), "wrong document", || {
                format!("expected {expected}, found {found:?}")
            });
        }
    }
    for (id, document) in listed {
        findings.note("document without order", || format!("{id}: {document}"));
    }
}

/// Checks that a subscriber got exactly the frames of its filter, in order, each once.
fn check_subscriber(
    record: &SubscriberRecord,
    expected_frames: &[ExpectedFrame],
    findings: &mut Findings,
) {
    for violation in &record.violations {
        findings.note("violation seen by a subscriber", || {
            format!("{:?}: {violation}", record.filter)
        });
    }
    let is_subscribed = |one: &&ExpectedFrame| {
        let owner = record.filter.owner.as_ref();
        let kinds = record.filter.kinds;
        owner.is_none_or(|owner| one.owner == *owner)
            && (kinds.is_empty() || kinds.contains(&one.kind.as_str()))
    };
    let mut expected = expected_frames
        .iter()
        .filter(is_subscribed)
        .map(|one| (one.position, one.hash));
    for (position, text) in &record.frames {
        let next = expected.next();
        if next == Some((*position, *text)) {
            continue;
        }
        let is_of_other = expected_frames
            .get(
                usize::try_from(*position)
                    .unwrap_or_default()
                    .wrapping_sub(1),
            )
            .filter(is_subscribed)
            .is_none();
        let kind = if is_of_other {
            "frame of another owner"
        } else {
            "gap for a subscriber"
        };
        findings.note(kind, || {
            format!("{:?}: {position} instead of {next:?}", record.filter)
        });
        return;
    }
    let left = expected.count();
    findings.expect(left == 0, "gap for a subscriber", || {
        format!("{:?}: the last {left} frames are missing", record.filter)
    });
}

/// Checks that the webhook receiver was notified of all events that it subscribes to, and of no
/// others.
fn check_notifications(
    notifications: &ReceivedNotifications,
    expected_frames: &[ExpectedFrame],
    findings: &mut Findings,
) {
    for violation in &notifications.violations {
        findings.note("violation seen by the webhook receiver", || {
            violation.clone()
        });
    }
    for one in expected_frames {
        let (position, kind) = (one.position, &one.kind);
        let notification = notifications.by_position.get(&position);
        match (notification, EVENT_TYPES.contains(&kind.as_str())) {
            (Some(notification), true) => {
                let matches = notification.hash == one.hash && notification.kind == *kind;
                findings.expect(matches, "unexpected notification", || {
                    format!("{kind} at {position}: {notification:?}")
                });
                findings.expect(
                    notification.acknowledged <= MAX_ACKNOWLEDGED,
                    "too many repeated notifications",
                    || format!("{kind} at {position}: {notification:?}"),
                );
            }
            (None, true) => findings.note("not notified", || format!("{kind} at {position}")),
            (Some(notification), false) => {
                findings.note("notified without subscription", || {
                    format!("{kind} at {position}: {notification:?}")
                });
            }
            (None, false) => {}
        }
    }
    let end = expected_frames.last().map_or(0, |one| one.position);
    for (position, notification) in notifications.by_position.range(end + 1..) {
        findings.note("unexpected notification", || {
            format!("{position}: {notification:?}")
        });
    }
}
