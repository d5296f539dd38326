//! What must be true of every run, found out from the stores, by rules of its own.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bakehouse_engine::handlers::FeedEvent;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{EventLog, PresentationReader};
use bakehouse_engine::stages::bake::as_of;
use bakehouse_engine::{EntryStatus, Frame, LogEntry, Operation, Position};
use bakehouse_testkit::counter::{Command, Counter, Document};
use bakehouse_testkit::handler_runners::{Row, tally};
use uuid::Uuid;

use crate::run::has_poison;
use crate::world::{GUESTS, World};

/// What a seed has come to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Of everything that was observed: the same seed has the same.
    pub fingerprint: String,
    /// Events in the log.
    pub events: usize,
    /// What promises were broken, and how.
    pub faults: Vec<String>,
}

/// What a client was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// 202.
    Accepted,
    /// Nothing that it could rely on.
    Unknown,
}

/// What a client sent, in its own ledger.
#[derive(Debug)]
pub(crate) struct Sent {
    pub(crate) operation: Operation,
    pub(crate) answer: Answer,
    /// Whether its identity had been used before.
    pub(crate) is_conflict: bool,
}

/// What a subscriber has seen, from the first position on; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Subscriber(Arc<Mutex<Vec<Position>>>);

impl Subscriber {
    fn seen(&self) -> MutexGuard<'_, Vec<Position>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last position; 0: none yet.
    pub(crate) fn cursor(&self) -> Position {
        self.seen().last().copied().unwrap_or_default()
    }

    pub(crate) fn saw(&self, positions: impl Iterator<Item = Position>) {
        self.seen().extend(positions);
    }
}

/// How many commands the process has given, and how many changes it should have seen.
pub(crate) async fn echoes(world: &World) -> (usize, usize) {
    let frames = world
        .presentation
        .frames(0, usize::MAX)
        .await
        .unwrap_or_default();
    let facts = frames.iter().filter_map(|frame| FeedEvent::of(frame).ok());
    let changes = facts
        .filter(|fact| fact.entity_id != "echo" && fact.is_change())
        .count();
    let events = world.log.read(0, usize::MAX).await.unwrap_or_default();
    let is_echo = |event: &&LogEntry| event.operation.terms.actor.is_some();
    (events.iter().filter(is_echo).count(), changes)
}

/// Everything at once.
pub(crate) async fn check(world: &World, sent: &[Vec<Sent>], seen: &[Subscriber]) -> Outcome {
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
    checker.verdicts(has_poison(world.seed));
    checker.feed(seen);
    checker.documents(world).await;
    checker.followers(world).await;
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
    fn expect(&mut self, is_so: bool, otherwise: impl FnOnce() -> String) {
        if !is_so {
            self.faults.push(otherwise());
        }
    }

    /// Every 202 once, what is unknown at most once, nothing else; in each client's order.
    fn log(&mut self, sent: &[Vec<Sent>]) {
        let mut places: HashMap<Uuid, Position> = HashMap::new();
        let mut conflicts: HashMap<Uuid, usize> = HashMap::new();
        let events = std::mem::take(&mut self.events);
        for (event, expected) in events.iter().zip(1..) {
            self.expect(event.position == expected, || {
                format!("gap before {}", event.position)
            });
            if let Some(of) = event.operation.conflicts_with {
                *conflicts.entry(of).or_default() += 1;
                continue;
            }
            let before = places.insert(event.operation.operation_id, event.position);
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
                    // Where the first one never came, this one is the first.
                    let is_kept = conflicts.contains_key(&id) || unknown.contains(&id);
                    let is_needed = one.answer == Answer::Accepted;
                    self.expect(is_kept || !is_needed, || format!("lost: conflict {id}"));
                    continue;
                }
                if one.answer == Answer::Unknown {
                    unknown.insert(id);
                }
                match places.get(&id) {
                    Some(place) => {
                        known += 1;
                        let (place, before) = (*place, last);
                        self.expect(place > before, || {
                            format!("reordered: {place} after {before}")
                        });
                        last = place;
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
            format!("{ours} operations of clients, {known} were sent")
        });
        self.events = events;
    }

    /// As a model of the domain's own has it, in the order of the log.
    fn verdicts(&mut self, has_poison: bool) {
        let events = std::mem::take(&mut self.events);
        let mut values: HashMap<&str, i64> = HashMap::new();
        for event in &events {
            let position = event.position;
            let is_settled = [EntryStatus::Executed, EntryStatus::Rejected].contains(&event.status);
            self.expect(is_settled, || {
                format!("{position} has no verdict: {:?}", event.status)
            });
            if has_poison {
                // What was parked on the way has its effect elsewhere.
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

    /// One frame a position, and every subscriber's sequence the log's.
    fn feed(&mut self, seen: &[Subscriber]) {
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
        for (is_so, expected) in pairs {
            self.expect(is_so, || format!("no frame at {expected}"));
        }
        for subscriber in seen {
            let seen = subscriber.seen().clone();
            let whole: Vec<Position> = (1..=events as Position).collect();
            self.expect(seen == whole, || {
                let at = seen
                    .iter()
                    .zip(&whole)
                    .position(|(seen, whole)| seen != whole);
                format!(
                    "a subscriber saw {} of {}, other at {at:?}",
                    seen.len(),
                    whole.len()
                )
            });
        }
    }

    /// The presentation is the fold of the log.
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

    /// Rows, commands and notifications are those that the frames lead to.
    async fn followers(&mut self, world: &World) {
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
        let told = world.states.notifications().len();
        self.expect(told == 2 * (changes / 3), || {
            format!("{told} notifications for {changes} changes")
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
