//! Invariants of every run, checked on the stores by rules independent of the engine.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;

use bakehouse_engine::handlers::FeedEvent;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{EventLog, PresentationReader};
use bakehouse_engine::stages::bake::as_of;
use bakehouse_engine::{EntryStatus, Frame, LogEntry, Position};
use bakehouse_testkit::counter::{Command, Counter, Document};
use bakehouse_testkit::handler_runners::{Row, tally};
use uuid::Uuid;

use crate::observations::{Answer, Sent, Subscriber, has_unreadable};
use crate::world::{GUESTS, World};

/// Outcome of one seed.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Fingerprint of everything observed; equal for equal seeds.
    pub fingerprint: String,
    /// Number of entries in the log.
    pub events: usize,
    /// Violated invariants, one text each.
    pub faults: Vec<String>,
}

/// Returns the number of commands that the process has issued, and of changes that it should
/// have handled.
pub(crate) async fn echoes(world: &World) -> (usize, usize) {
    let frames = world
        .presentation
        .frames(0, usize::MAX)
        .await
        .unwrap_or_default();
    let feed_events = frames.iter().filter_map(|frame| FeedEvent::of(frame).ok());
    let changes = feed_events
        .filter(|event| event.entity_id != "echo" && event.is_change())
        .count();
    let events = world.log.read(0, usize::MAX).await.unwrap_or_default();
    let is_echo = |event: &&LogEntry| event.operation.terms.actor.is_some();
    (events.iter().filter(is_echo).count(), changes)
}

/// Checks all invariants.
pub(crate) async fn check(
    world: &World,
    sent: &[Vec<Sent>],
    subscribers: &[Subscriber],
) -> Outcome {
    let mut checker = Checker {
        faults: Vec::new(),
        events: Vec::new(),
        frames: Vec::new(),
    };
    match world.log.read(0, usize::MAX).await {
        Ok(events) => checker.events = events,
        Err(error) => checker.faults.push(format!("the log: {error}")),
    }
    checker.frames = world
        .presentation
        .frames(0, usize::MAX)
        .await
        .unwrap_or_default();
    checker.log(sent);
    checker.verdicts(has_unreadable(world.seed));
    checker.feed(subscribers);
    checker.documents(world).await;
    checker.handlers(world).await;
    Outcome {
        fingerprint: checker.fingerprint(),
        events: checker.events.len(),
        faults: checker.faults,
    }
}

struct Checker {
    faults: Vec<String>,
    events: Vec<LogEntry>,
    frames: Vec<Frame>,
}

impl Checker {
    fn expect(&mut self, holds: bool, fault: impl FnOnce() -> String) {
        if !holds {
            self.faults.push(fault());
        }
    }

    /// Checks that the log holds accepted operations once, unknown ones at most once and no others,
    /// in the order of each client.
    fn log(&mut self, sent: &[Vec<Sent>]) {
        let mut positions: HashMap<Uuid, Position> = HashMap::new();
        let mut conflicts: HashMap<Uuid, usize> = HashMap::new();
        let events = std::mem::take(&mut self.events);
        for (event, expected) in events.iter().zip(1..) {
            self.expect(event.position == expected, || {
                format!("gap before {}", event.position)
            });
            if let Some(id) = event.operation.conflicts_with {
                *conflicts.entry(id).or_default() += 1;
                continue;
            }
            let before = positions.insert(event.operation.operation_id, event.position);
            self.expect(before.is_none(), || {
                format!("doubled at {}", event.position)
            });
        }
        let mut known = 0;
        for ledger in sent {
            let mut last = 0;
            let mut unknown = HashSet::new();
            for one in ledger {
                let id = one.operation.operation_id;
                if one.is_conflict {
                    // If the first operation was never stored, this one takes its identity.
                    let is_kept = conflicts.contains_key(&id) || unknown.contains(&id);
                    let is_required = one.answer == Answer::Accepted;
                    self.expect(is_kept || !is_required, || format!("lost: conflict {id}"));
                    continue;
                }
                if one.answer == Answer::Unknown {
                    unknown.insert(id);
                }
                match positions.get(&id) {
                    Some(position) => {
                        known += 1;
                        let (position, before) = (*position, last);
                        self.expect(position > before, || {
                            format!("reordered: {position} after {before}")
                        });
                        last = position;
                    }
                    None if one.answer == Answer::Accepted => {
                        self.faults
                            .push(format!("lost: {id} was answered with 202"));
                    }
                    None => {}
                }
            }
        }
        let is_ours = |event: &&LogEntry| {
            let operation = &event.operation;
            operation.terms.actor.is_none()
                && operation.conflicts_with.is_none()
                && !operation.operation.is_resolution()
        };
        let ours = events.iter().filter(is_ours).count();
        self.expect(ours == known, || {
            format!("{ours} operations of clients are stored, {known} were sent")
        });
        self.events = events;
    }

    /// Compares the verdicts with those of an independent model of the domain.
    fn verdicts(&mut self, has_unreadable: bool) {
        let events = std::mem::take(&mut self.events);
        let mut values: HashMap<&str, i64> = HashMap::new();
        for event in &events {
            let position = event.position;
            let is_settled = [EntryStatus::Executed, EntryStatus::Rejected].contains(&event.status);
            self.expect(is_settled, || {
                format!("{position} has no verdict: {:?}", event.status)
            });
            if has_unreadable {
                // A parked operation takes effect at another position.
                continue;
            }
            let expected = match serde_json::from_str(event.operation.payload.get()) {
                _ if event.operation.conflicts_with.is_some() => None,
                Ok(Command::Add(by)) => Some(values.get(event.entity_id()).unwrap_or(&0) + by),
                Ok(Command::Take(by)) => values
                    .get(event.entity_id())
                    .map(|value| value - by)
                    .filter(|value| *value >= 0),
                Err(_) => None,
            };
            let is_executed = event.status == EntryStatus::Executed;
            self.expect(is_executed == expected.is_some(), || {
                format!(
                    "{position} is {:?}, by the model {expected:?}",
                    event.status
                )
            });
            if let Some(value) = expected {
                values.insert(event.entity_id(), value);
            }
        }
        self.events = events;
    }

    /// Checks that every position has one frame, and that each subscriber received all positions in
    /// order.
    fn feed(&mut self, subscribers: &[Subscriber]) {
        let (events, frames) = (self.events.len(), self.frames.len());
        self.expect(events == frames, || {
            format!("{frames} frames of {events} events")
        });
        let pairs: Vec<(bool, Position)> = self
            .frames
            .iter()
            .zip(1..)
            .map(|(frame, expected)| (frame.position == expected, expected))
            .collect();
        for (is_expected, expected) in pairs {
            self.expect(is_expected, || format!("no frame at {expected}"));
        }
        for subscriber in subscribers {
            let received = subscriber.received().clone();
            let expected: Vec<Position> = (1..=events as Position).collect();
            self.expect(received == expected, || {
                let at = received
                    .iter()
                    .zip(&expected)
                    .position(|(received, expected)| received != expected);
                format!(
                    "a subscriber received {} of {} frames, first difference at {at:?}",
                    received.len(),
                    expected.len()
                )
            });
        }
    }

    /// Checks that every document is the fold of its entity's log entries.
    async fn documents(&mut self, world: &World) {
        let events = std::mem::take(&mut self.events);
        let mut histories: HashMap<&str, Vec<LogEntry>> = HashMap::new();
        for event in &events {
            histories
                .entry(event.entity_id())
                .or_default()
                .push(event.clone());
        }
        for (id, history) in histories {
            let stored = world.presentation.document(id).await.ok().flatten();
            let number = stored.as_ref().map_or(0, |stored| stored.number);
            let folded = as_of::<Counter>(&history, number).ok().flatten();
            let parse = |json: &bakehouse_engine::Json| -> Option<Document> {
                serde_json::from_str(json.get()).ok()
            };
            let stored = stored.and_then(|stored| parse(&stored.body));
            let folded = folded.as_ref().and_then(parse);
            self.expect(stored == folded, || {
                format!("{id}: {stored:?}, by the log {folded:?}")
            });
        }
        self.events = events;
    }

    /// Checks the rows, commands and notifications that the handlers derived from the frames.
    async fn handlers(&mut self, world: &World) {
        let found = tally(&world.rows).await;
        let expected = Row {
            counters: self.frames.len() as u64,
            guests: GUESTS,
        };
        self.expect(found.as_ref() == Some(&expected), || {
            format!("the read model has {found:?}, by the feed {expected:?}")
        });
        let (echoes, changes) = echoes(world).await;
        self.expect(echoes == changes / 3, || {
            format!("{echoes} commands of the process for {changes} changes")
        });
        let notified = world.states.notifications().len();
        self.expect(notified == 2 * (changes / 3), || {
            format!("{notified} notifications for {changes} changes")
        });
    }

    fn fingerprint(&self) -> String {
        let mut text = String::new();
        for event in &self.events {
            let (id, status) = (event.entity_id(), event.status.as_str());
            let _ = write!(text, "{} {id} {status} {:?};", event.position, event.reason);
        }
        for frame in &self.frames {
            let _ = write!(text, "{};", frame.kind);
        }
        ids::fingerprint(&[&text])
    }
}
