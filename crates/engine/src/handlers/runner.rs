//! One generation of one handler: from feeds to stores, batch by batch.

use std::collections::HashMap;
use std::sync::Arc;

use uuid::Uuid;

use super::handler::HandlerOutput;
use super::process::IssuedCommand;
use super::{AnyHandler, Effect, FeedEvent, Feeds, Generation, Needs};
use crate::fault_injection::point;
use crate::model::ids;
use crate::ports::{
    EventLog, Feed, FeedSource, HandlerCommit, Head, RowStore, Scheduler, StoreError, contiguous,
};
use crate::{Frame, LogEntry, Notification, Operation, Position, Terms, Timestamp};

/// What handlers stand between.
#[derive(Clone)]
pub struct HandlerDeps {
    /// Where the feeds are.
    pub feeds: Feeds,
    /// Where the rows are.
    pub rows: Arc<dyn RowStore>,
    /// Where commands go.
    pub scheduler: Arc<dyn Scheduler>,
    /// What set off the facts of the feed of one's own.
    pub log: Arc<dyn EventLog>,
    /// Of the domain of one's own.
    pub domain: &'static str,
}

/// Whence a generation begins where it has never been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the first fact there is.
    Beginning,
    /// With what happens from now on.
    WakeSignal,
}

/// Follows all feeds of a handler.
pub struct HandlerRunner {
    deps: HandlerDeps,
    handler: AnyHandler,
    pub(super) generation: Generation,
    start: Start,
    max_batch: usize,
    feeds: HashMap<&'static str, Arc<dyn FeedSource>>,
    /// Where it is; `None`: to be read from the store.
    place: Option<Place>,
    /// The feed of which a batch has given commands, and the end of that batch, until it is
    /// committed.
    unfinished: Option<(&'static str, Position)>,
}

/// Where a generation is: as this follower has left it. Should anybody else have been
/// at work, its revision is another.
#[derive(Default)]
struct Place {
    revision: u64,
    /// How far each feed was followed, and which log it is of.
    followed: HashMap<&'static str, (String, Position)>,
}

/// What a look at all feeds has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether there was anything.
    pub is_news: bool,
    /// Whether there is no more for now.
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
            place: None,
            unfinished: None,
        }
    }

    /// One batch of each feed. A feed that is away holds up no other; the first error is
    /// told if there was nothing else. What could not be finished comes first the next
    /// time, and holds up what comes after it until it is: it has given commands by the rows
    /// as they were, and nobody may change those before.
    pub(crate) async fn look(&mut self) -> Result<Look, StoreError> {
        let mut look = Look {
            is_news: false,
            is_live: true,
        };
        let mut failure = None;
        let mut names = self.handler.feeds().to_vec();
        let unfinished = self.unfinished.map(|(name, _)| name);
        names.sort_by_key(|name| Some(*name) != unfinished);
        for name in names {
            match self.follow(name).await {
                Ok(moved) => {
                    look.is_news |= moved;
                    look.is_live &= !moved && self.feed(name)?.is_live();
                }
                Err(error) => {
                    look.is_live = false;
                    failure.get_or_insert(error);
                }
            }
            // Its facts may be on their way once more, or come in smaller batches.
            if self.unfinished.is_some() {
                look.is_live = false;
                break;
            }
        }
        match failure {
            Some(error) if look.is_news => {
                tracing::warn!(
                    handler = self.handler.name(),
                    "going on with other feeds: {error}"
                );
                Ok(look)
            }
            Some(error) => Err(error),
            None => Ok(look),
        }
    }

    /// How far each feed was followed, as far as that is known.
    pub(super) fn positions(&self) -> HashMap<&'static str, Position> {
        let followed = self.place.iter().flat_map(|place| &place.followed);
        followed
            .map(|(name, (_, position))| (*name, *position))
            .collect()
    }

    /// Settles where it begins in the feed of one's own, if it has never been at work.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        let own = self.deps.domain;
        if self.handler.feeds().contains(&own) {
            let mut place = self.place().await?;
            self.at(own, &mut place).await?;
            self.place = Some(place);
        }
        Ok(())
    }

    /// Whether it is where its one feed, that of one's own, is baked up to.
    pub(crate) async fn is_up_to_date(&mut self, baked: Position) -> Result<bool, StoreError> {
        self.begin().await?;
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

    /// Taken out: put back only by whoever knows what the store holds.
    async fn place(&mut self) -> Result<Place, StoreError> {
        if let Some(place) = self.place.take() {
            return Ok(place);
        }
        // Before any feed's position: what is committed in between shows.
        let nothing = Needs::nothing();
        let loaded = self.deps.rows.load(&self.generation, &nothing).await?;
        Ok(Place {
            revision: loaded.revision,
            followed: HashMap::new(),
        })
    }

    /// How far a feed was followed.
    async fn at(
        &mut self,
        name: &'static str,
        place: &mut Place,
    ) -> Result<(String, Position), StoreError> {
        if let Some(followed) = place.followed.get(name) {
            return Ok(followed.clone());
        }
        let Head { epoch, position } = self.feed(name)?.head().await?;
        let start = match self.start {
            Start::WakeSignal => position,
            Start::Beginning => 0,
        };
        let feed = Feed {
            name,
            epoch: &epoch,
        };
        let position = self.deps.rows.open(&self.generation, &feed, start).await?;
        place.followed.insert(name, (epoch.clone(), position));
        Ok((epoch, position))
    }

    /// The next batch of a feed. `false`: there is nothing for now.
    async fn follow(&mut self, name: &'static str) -> Result<bool, StoreError> {
        let mut place = self.place().await?;
        let from = self.at(name, &mut place).await;
        if let Ok((_, from)) = &from {
            // Committed after all: by somebody else, or the answer was lost.
            self.finish(name, *from);
        }
        let frames = match &from {
            Ok((_, from)) => self.feed(name)?.frames(*from, self.max_batch).await,
            Err(error) => Err(error.clone()),
        };
        let (epoch, from, frames) = match (from, frames) {
            (Ok((epoch, from)), Ok(frames)) if !frames.is_empty() => (epoch, from, frames),
            (_, frames) => {
                // Nothing has been written: what is known of other feeds still holds.
                self.place = Some(place);
                return frames.map(|_| false);
            }
        };
        let frames = contiguous(from, frames)?;
        let facts = facts(name, &frames)?;
        let Some((work, count)) = self.handle(&facts, place.revision).await? else {
            // Somebody else has been at work: look again, from where they are.
            return Ok(true);
        };
        let to = from + count as Position;
        let mut handling = HandlerCommit {
            generation: self.generation.clone(),
            revision: place.revision,
            feed: name.to_owned(),
            from,
            to,
            rows: work.writes,
            notifications: Vec::new(),
        };
        let mut of_fact = (usize::MAX, 0);
        for (index, effect) in work.effects {
            // Numbered within its fact: however the facts come in batches, what a fact
            // leads to is the same.
            of_fact = (index, if of_fact.0 == index { of_fact.1 + 1 } else { 0 });
            let identity = self.identity(&facts[index], of_fact.1);
            match effect {
                // Before the feed counts as followed: told again, it is dropped by the log.
                Effect::Command(order) => {
                    self.unfinished = self.unfinished.max(Some((name, to)));
                    self.give(identity, &facts[index], order).await?;
                    point("follower.given");
                }
                Effect::Notify(request) => {
                    let (at, now) = (facts[index].at, Timestamp::now());
                    let operation = facts[index].operation_id;
                    let one = Notification::requested(operation, &frames[index], at, request, now);
                    handling.notifications.push(Notification {
                        id: identity,
                        ..one
                    });
                }
            }
        }
        point("follower.handled");
        self.deps.rows.commit(&handling).await?;
        point("follower.committed");
        place.revision += 1;
        place.followed.insert(name, (epoch, to));
        self.place = Some(place);
        self.finish(name, to);
        Ok(true)
    }

    /// Notes that a feed has been followed up to here for good.
    fn finish(&mut self, name: &str, up_to: Position) {
        self.unfinished
            .take_if(|(unfinished, end)| *unfinished == name && *end <= up_to);
    }

    /// Of what a fact leads to: the same for ever, also where a store was restored and its
    /// log has begun another epoch.
    fn identity(&self, fact: &FeedEvent, number: usize) -> Uuid {
        let (operation, number) = (fact.operation_id.to_string(), number.to_string());
        let name = self.handler.name();
        ids::derived(&["effect", name, &fact.feed, &operation, &number])
    }

    /// What the facts make of the rows, as far as that can be said, and how many they
    /// are. `None`: the rows are at another revision than the one expected.
    async fn handle(
        &self,
        facts: &[FeedEvent],
        revision: u64,
    ) -> Result<Option<(HandlerOutput, usize)>, StoreError> {
        let mut count = facts.len();
        let mut failure = None;
        while count > 0 {
            let run = &facts[..count];
            let done = match self.handler.needs(run) {
                Ok(needs) => {
                    let loaded = self.deps.rows.load(&self.generation, &needs).await?;
                    if loaded.revision != revision {
                        return Ok(None);
                    }
                    self.handler.handle(run, loaded.rows)
                }
                Err(stuck) => Err(stuck),
            };
            match done {
                Ok(work) => return Ok(Some((work, count))),
                // What stands before it is done first, by itself.
                Err(stuck) => {
                    count = stuck.after.min(count - 1);
                    failure = Some(stuck);
                }
            }
        }
        let name = self.handler.name();
        let reason = failure.map_or_else(String::new, |stuck| stuck.to_string());
        Err(StoreError::Corrupt(format!("{name} failed at {reason}")))
    }

    /// Has a command carried out that a fact led to.
    async fn give(
        &self,
        identity: Uuid,
        fact: &FeedEvent,
        order: IssuedCommand,
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
        } = order;
        let operation = Operation {
            operation_id: identity,
            service_name: service_name.to_owned(),
            operation: verb,
            fingerprint: Operation::content_fingerprint(verb, &entity_id, &payload, &terms),
            entity_id,
            payload,
            schema_version,
            correlation_id: self.correlation(fact).await?,
            terms,
            causation_id: Some(fact.operation_id),
            conflicts_with: None,
            accepted_at: Timestamp::now(),
        };
        let given = self.deps.scheduler.schedule(&operation).await;
        given.map_err(StoreError::unavailable)
    }

    /// What set off the fact; of another service's, all that is known is the operation.
    async fn correlation(&self, fact: &FeedEvent) -> Result<Uuid, StoreError> {
        if fact.feed != self.deps.domain {
            return Ok(fact.operation_id);
        }
        let events = self.deps.log.read(fact.position - 1, 1).await?;
        let known = events
            .first()
            .map(|event: &LogEntry| event.operation.correlation_id);
        Ok(known.unwrap_or(fact.operation_id))
    }
}

fn facts(name: &str, frames: &[Frame]) -> Result<Vec<FeedEvent>, StoreError> {
    let mut facts = Vec::with_capacity(frames.len());
    for frame in frames {
        let fact = FeedEvent::of(frame).map_err(StoreError::corrupt)?;
        if fact.feed != name {
            let other = fact.feed;
            return Err(StoreError::Corrupt(format!(
                "what is followed as {name:?} is the feed of {other:?}"
            )));
        }
        facts.push(fact);
    }
    Ok(facts)
}
