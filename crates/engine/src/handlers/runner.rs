//! Runner of one generation of one handler: from feeds to stores, batch by batch.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::handler::HandlerOutput;
use super::{AnyHandler, Effect, FeedEvent, Feeds, Generation, IssuedCommand, Needs};
use crate::fault_injection::failpoint;
use crate::model::ids;
use crate::ports::{
    EventLog, Feed, FeedSource, HandlerCommit, Head, RowStore, Scheduler, StoreError, contiguous,
};
use crate::{Frame, LogEntry, Notification, Operation, Position, Terms, Timestamp};

/// Dependencies of handler runners.
#[derive(Clone)]
pub struct HandlerDeps {
    /// Sources of the feeds.
    pub feeds: Feeds,
    /// Store of the rows.
    pub rows: Arc<dyn RowStore>,
    /// Receiver of issued commands.
    pub scheduler: Arc<dyn Scheduler>,
    /// Log of the own domain, which has the correlation ids of its operations.
    pub log: Arc<dyn EventLog>,
    /// Name of the own domain.
    pub domain: &'static str,
}

/// Start position of a generation that has no checkpoint yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// First event of the feed.
    Beginning,
    /// Current head of the feed.
    Head,
}

/// Runner that handles all feeds of a handler.
pub struct HandlerRunner {
    deps: HandlerDeps,
    handler: AnyHandler,
    pub(super) generation: Generation,
    start: Start,
    max_batch: usize,
    feeds: HashMap<&'static str, Arc<dyn FeedSource>>,
    /// Checkpoint; `None` if it must be read from the store.
    checkpoint: Option<HandlerCheckpoint>,
    /// Feed and end of a batch that has issued commands and is not committed yet.
    unfinished: Option<(&'static str, Position)>,
}

/// Checkpoint of a generation as this runner has left it. The revision differs if another instance
/// has committed since.
#[derive(Default)]
struct HandlerCheckpoint {
    revision: u64,
    /// Epoch and position of each feed.
    feeds: HashMap<&'static str, (String, Position)>,
}

/// Result of polling all feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Polled {
    /// True if a batch was handled.
    pub has_progressed: bool,
    /// True if all feeds are handled up to their heads.
    pub is_live: bool,
}

impl HandlerRunner {
    pub(super) fn new(
        deps: HandlerDeps,
        handler: AnyHandler,
        generation: Generation,
        start: Start,
        max_batch: usize,
    ) -> Self {
        Self {
            deps,
            handler,
            generation,
            start,
            max_batch,
            feeds: HashMap::new(),
            checkpoint: None,
            unfinished: None,
        }
    }

    /// Handles one batch of each feed. An unavailable feed does not hold up the others; the first
    /// error is returned if no batch was handled. An unfinished batch is handled first and holds up
    /// all others until it is committed: it has issued commands based on the current rows, so they
    /// must not change before.
    pub(crate) async fn poll_feeds(&mut self) -> Result<Polled, StoreError> {
        let mut result = Polled {
            has_progressed: false,
            is_live: true,
        };
        let mut failure = None;
        let mut names = self.handler.feeds().to_vec();
        let unfinished = self.unfinished.map(|(name, _)| name);
        names.sort_by_key(|name| Some(*name) != unfinished);
        for name in names {
            match self.handle_batch(name).await {
                Ok(has_progressed) => {
                    result.has_progressed |= has_progressed;
                    result.is_live &= !has_progressed && self.feed(name)?.is_live();
                }
                Err(error) => {
                    result.is_live = false;
                    failure.get_or_insert(error);
                }
            }
            // Its events may still be in transit, or come in smaller batches.
            if self.unfinished.is_some() {
                result.is_live = false;
                break;
            }
        }
        match failure {
            Some(error) if result.has_progressed => {
                tracing::warn!(
                    handler = self.handler.name(),
                    "continuing with other feeds: {error}"
                );
                Ok(result)
            }
            Some(error) => Err(error),
            None => Ok(result),
        }
    }

    /// Returns the known position of each feed.
    pub(super) fn positions(&self) -> HashMap<&'static str, Position> {
        let feeds = self.checkpoint.iter().flat_map(|known| &known.feeds);
        feeds
            .map(|(name, (_, position))| (*name, *position))
            .collect()
    }

    /// Stores the start position in the own feed if the generation has no checkpoint yet.
    pub(super) async fn open_own_feed(&mut self) -> Result<(), StoreError> {
        let own = self.deps.domain;
        if self.handler.feeds().contains(&own) {
            let mut checkpoint = self.take_checkpoint().await?;
            self.feed_position(own, &mut checkpoint).await?;
            self.checkpoint = Some(checkpoint);
        }
        Ok(())
    }

    /// Checks whether the own feed, its only one, is handled up to `baked`.
    pub(crate) async fn is_up_to_date(&mut self, baked: Position) -> Result<bool, StoreError> {
        self.open_own_feed().await?;
        Ok(self.positions().get(self.deps.domain) == Some(&baked))
    }

    fn feed(&mut self, name: &'static str) -> Result<Arc<dyn FeedSource>, StoreError> {
        if let Some(feed) = self.feeds.get(name) {
            return Ok(feed.clone());
        }
        let feed = self.deps.feeds.open(name)?;
        self.feeds.insert(name, feed.clone());
        Ok(feed)
    }

    /// Takes the checkpoint out, or reads it from the store. Callers put it back only if they know
    /// that it matches the store.
    async fn take_checkpoint(&mut self) -> Result<HandlerCheckpoint, StoreError> {
        if let Some(checkpoint) = self.checkpoint.take() {
            return Ok(checkpoint);
        }
        // Read before any feed's position, so that a commit in between is detected.
        let nothing = Needs::nothing();
        let loaded = self.deps.rows.load(&self.generation, &nothing).await?;
        Ok(HandlerCheckpoint {
            revision: loaded.revision,
            feeds: HashMap::new(),
        })
    }

    /// Returns the epoch and position of a feed; opens it in the store if necessary.
    async fn feed_position(
        &mut self,
        name: &'static str,
        checkpoint: &mut HandlerCheckpoint,
    ) -> Result<(String, Position), StoreError> {
        if let Some(known) = checkpoint.feeds.get(name) {
            return Ok(known.clone());
        }
        let Head { epoch, position } = self.feed(name)?.head().await?;
        let start = match self.start {
            Start::Head => position,
            Start::Beginning => 0,
        };
        let feed = Feed {
            name,
            epoch: &epoch,
        };
        let position = self.deps.rows.open(&self.generation, &feed, start).await?;
        checkpoint.feeds.insert(name, (epoch.clone(), position));
        Ok((epoch, position))
    }

    /// Handles the next batch of a feed. Returns `false` if there are no events.
    async fn handle_batch(&mut self, name: &'static str) -> Result<bool, StoreError> {
        let mut checkpoint = self.take_checkpoint().await?;
        let from = self.feed_position(name, &mut checkpoint).await;
        if let Ok((_, from)) = &from {
            // The batch may have been committed by another instance, or its answer was lost.
            self.mark_finished(name, *from);
        }
        let frames = match &from {
            Ok((_, from)) => self.feed(name)?.frames(*from, self.max_batch).await,
            Err(error) => Err(error.clone()),
        };
        let (epoch, from, frames) = match (from, frames) {
            (Ok((epoch, from)), Ok(frames)) if !frames.is_empty() => (epoch, from, frames),
            (_, frames) => {
                // Nothing was written: the checkpoint is still valid.
                self.checkpoint = Some(checkpoint);
                return frames.map(|_| false);
            }
        };
        let frames = contiguous(from, frames)?;
        let events = parse_events(name, &frames)?;
        let Some((output, count)) = self.handle(&events, checkpoint.revision).await? else {
            // Another instance has committed: continue from its checkpoint.
            return Ok(true);
        };
        let to = from + count as Position;
        let mut commit = HandlerCommit {
            generation: self.generation.clone(),
            revision: checkpoint.revision,
            feed: name.to_owned(),
            from,
            to,
            rows: output.writes,
            notifications: Vec::new(),
        };
        // Index of the last event with effects, and number of its last effect.
        let mut last = (usize::MAX, 0);
        for (index, effect) in output.effects {
            // Effects are numbered per event, so that their ids do not depend on the batches.
            last = (index, if last.0 == index { last.1 + 1 } else { 0 });
            let effect_id = self.effect_id(&events[index], last.1);
            match effect {
                // Scheduled before the commit: if repeated, the log drops the duplicate.
                Effect::Command(command) => {
                    self.unfinished = self.unfinished.max(Some((name, to)));
                    self.schedule(effect_id, &events[index], command).await?;
                    failpoint("follower.given");
                }
                Effect::Notify(request) => {
                    let (at, now) = (events[index].at, Timestamp::now());
                    let operation = events[index].operation_id;
                    let one = Notification::requested(operation, &frames[index], at, request, now);
                    commit.notifications.push(Notification {
                        id: effect_id,
                        ..one
                    });
                }
            }
        }
        failpoint("follower.handled");
        self.deps.rows.commit(&commit).await?;
        failpoint("follower.committed");
        checkpoint.revision += 1;
        checkpoint.feeds.insert(name, (epoch, to));
        self.checkpoint = Some(checkpoint);
        self.mark_finished(name, to);
        Ok(true)
    }

    /// Clears the unfinished batch of a feed if it is committed up to its end.
    fn mark_finished(&mut self, name: &str, up_to: Position) {
        self.unfinished
            .take_if(|(unfinished, end)| *unfinished == name && *end <= up_to);
    }

    /// Derives the id of an effect. It does not depend on the epoch, so that it stays the same after
    /// a restore.
    fn effect_id(&self, event: &FeedEvent, number: usize) -> Uuid {
        let (operation, number) = (event.operation_id.to_string(), number.to_string());
        let name = self.handler.name();
        ids::derived(&["effect", name, &event.feed, &operation, &number])
    }

    /// Handles the events up to the first that fails. Returns the output and the number of handled
    /// events; `None` if the rows are not at the expected revision.
    async fn handle(
        &self,
        events: &[FeedEvent],
        revision: u64,
    ) -> Result<Option<(HandlerOutput, usize)>, StoreError> {
        let mut count = events.len();
        let mut last_failure = None;
        while count > 0 {
            let run = &events[..count];
            let done = match self.handler.needs(run) {
                Ok(needs) => {
                    let loaded = self.deps.rows.load(&self.generation, &needs).await?;
                    if loaded.revision != revision {
                        return Ok(None);
                    }
                    self.handler.handle(run, loaded.rows)
                }
                Err(failure) => Err(failure),
            };
            match done {
                Ok(output) => return Ok(Some((output, count))),
                // Handle the events before the failed one without it.
                Err(failure) => {
                    count = failure.after.min(count - 1);
                    last_failure = Some(failure);
                }
            }
        }
        let name = self.handler.name();
        let reason = last_failure.map_or_else(String::new, |failure| failure.to_string());
        Err(StoreError::Corrupt(format!("{name} failed at {reason}")))
    }

    /// Schedules a command that an event has caused.
    async fn schedule(
        &self,
        effect_id: Uuid,
        event: &FeedEvent,
        command: IssuedCommand,
    ) -> Result<(), StoreError> {
        let name = self.handler.name();
        let terms = Terms {
            actor: Some(format!("process:{name}")),
            ..Terms::default()
        };
        let IssuedCommand {
            service_name,
            schema_version,
            entity_id,
            verb,
            payload,
        } = command;
        let operation = Operation {
            operation_id: effect_id,
            service_name: service_name.to_owned(),
            operation: verb,
            fingerprint: Operation::content_fingerprint(verb, &entity_id, &payload, &terms),
            entity_id,
            payload,
            schema_version,
            correlation_id: self.correlation_id(event).await?,
            terms,
            causation_id: Some(event.operation_id),
            conflicts_with: None,
            accepted_at: Timestamp::now(),
        };
        let scheduled = self.deps.scheduler.schedule(&operation).await;
        scheduled.map_err(StoreError::unavailable)
    }

    /// Returns the correlation id of an event; for an event of another service, its operation id.
    async fn correlation_id(&self, event: &FeedEvent) -> Result<Uuid, StoreError> {
        if event.feed != self.deps.domain {
            return Ok(event.operation_id);
        }
        let entries = self.deps.log.read(event.position - 1, 1).await?;
        let known = entries
            .first()
            .map(|entry: &LogEntry| entry.operation.correlation_id);
        Ok(known.unwrap_or(event.operation_id))
    }
}

/// Parses frames and checks that they belong to the feed of this name.
fn parse_events(name: &str, frames: &[Frame]) -> Result<Vec<FeedEvent>, StoreError> {
    let mut events = Vec::with_capacity(frames.len());
    for frame in frames {
        let event = FeedEvent::of(frame).map_err(StoreError::corrupt)?;
        if event.feed != name {
            let other = event.feed;
            return Err(StoreError::Corrupt(format!(
                "the source of the feed {name:?} delivers the feed {other:?}"
            )));
        }
        events.push(event);
    }
    Ok(events)
}
