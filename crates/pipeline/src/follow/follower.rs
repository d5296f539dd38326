//! One generation of one handler: from feeds to stores, batch by batch.

use std::collections::HashMap;
use std::sync::Arc;

use super::process::Order;
use super::{AnyHandler, Effect, Fact, Feeds, Generation};
use crate::notification::Request;
use crate::ports::{
    EventLog, Facts, Feed, Handling, Progress, RowStore, Scheduler, StoreError, StoredRow,
};
use crate::{Event, Frame, Notification, Operation, Position, Terms, Timestamp, ids};

/// What handlers stand between.
#[derive(Clone)]
pub struct FollowDoors {
    /// Where the feeds are.
    pub feeds: Feeds,
    /// Where the rows are.
    pub rows: Arc<dyn RowStore>,
    /// Where commands go.
    pub scheduler: Arc<dyn Scheduler>,
    /// What set off the facts of the feed of one's own.
    pub log: Arc<dyn EventLog>,
    /// How far that log has been executed: what a process that is new begins after.
    pub progress: Arc<dyn Progress>,
    /// Of the domain of one's own.
    pub domain: &'static str,
}

/// Whence a generation begins where it has never been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// With the first fact there is.
    Beginning,
    /// With what happens from now on; feeds of others from their beginning, since
    /// nobody can tell what of them is new.
    News,
}

/// Follows all feeds of a handler.
pub struct Follower {
    pub(super) doors: FollowDoors,
    pub(super) handler: AnyHandler,
    pub(super) generation: Generation,
    pub(super) start: Start,
    pub(super) max_batch: usize,
    /// How far each feed was followed; none: to be read from the store.
    followed: HashMap<&'static str, (String, Position)>,
    feeds: HashMap<&'static str, Arc<dyn Facts>>,
}

/// What a look at all feeds has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Whether there was anything.
    pub is_news: bool,
    /// Whether there is no more for now.
    pub is_live: bool,
}

impl Follower {
    pub(super) fn new(
        doors: FollowDoors,
        handler: AnyHandler,
        generation: Generation,
        start: Start,
        max_batch: usize,
    ) -> Self {
        Self {
            doors,
            handler,
            generation,
            start,
            max_batch,
            followed: HashMap::new(),
            feeds: HashMap::new(),
        }
    }

    /// One batch of each feed. After an error nothing is remembered.
    pub(super) async fn look(&mut self) -> Result<Look, StoreError> {
        let mut look = Look {
            is_news: false,
            is_live: true,
        };
        for name in self.handler.feeds() {
            let feed = self.feed(name)?;
            let moved = self.follow(name, feed.as_ref()).await?;
            look.is_news |= moved;
            look.is_live &= !moved && feed.is_live();
        }
        Ok(look)
    }

    /// Opens what is not open yet.
    pub(super) async fn begin(&mut self) -> Result<(), StoreError> {
        for name in self.handler.feeds() {
            if !self.followed.contains_key(name) {
                let feed = self.feed(name)?;
                let opened = self.open(name, feed.as_ref()).await?;
                self.followed.insert(name, opened);
            }
        }
        Ok(())
    }

    /// The same for the feed of one's own alone.
    pub(super) async fn begin_own(&mut self) -> Result<(), StoreError> {
        let own = self.doors.domain;
        if self.handler.feeds().contains(&own) && !self.followed.contains_key(own) {
            let feed = self.feed(own)?;
            let opened = self.open(own, feed.as_ref()).await?;
            self.followed.insert(own, opened);
        }
        Ok(())
    }

    fn feed(&mut self, name: &'static str) -> Result<Arc<dyn Facts>, StoreError> {
        if let Some(feed) = self.feeds.get(name) {
            return Ok(feed.clone());
        }
        let feed = self.doors.feeds.open(name)?;
        self.feeds.insert(name, feed.clone());
        Ok(feed)
    }

    /// The next batch of a feed. `false`: there is nothing for now.
    async fn follow(&mut self, name: &'static str, feed: &dyn Facts) -> Result<bool, StoreError> {
        let (epoch, from) = match self.followed.remove(name) {
            Some(followed) => followed,
            None => self.open(name, feed).await?,
        };
        let frames = feed.frames(from, self.max_batch).await?;
        if frames.is_empty() {
            self.followed.insert(name, (epoch, from));
            return Ok(false);
        }
        let facts = facts(&frames, from)?;
        let (work, count) = self.handle(&facts).await?;
        let mut handling = Handling {
            generation: self.generation.clone(),
            feed: name.to_owned(),
            from,
            to: from + count as Position,
            rows: work.writes,
            notifications: Vec::new(),
        };
        for (number, (index, effect)) in work.effects.into_iter().enumerate() {
            let (frame, fact) = (&frames[index], &facts[index]);
            match effect {
                // Before the feed counts as followed, and under an identity that the
                // fact leads to: told again, it is dropped by the log.
                Effect::Command(order) => self.give(&epoch, fact, number, order).await?,
                Effect::Notify(request) => {
                    let one = notification(&epoch, frame, fact, request);
                    handling.notifications.push(one);
                }
            }
        }
        self.doors.rows.commit(&handling).await?;
        self.followed.insert(name, (epoch, handling.to));
        Ok(true)
    }

    async fn open(
        &self,
        name: &'static str,
        feed: &dyn Facts,
    ) -> Result<(String, Position), StoreError> {
        let epoch = feed.epoch().await?;
        let is_own = name == self.doors.domain;
        let start = match self.start {
            Start::News if is_own => self.doors.progress.checkpoint().await?.position,
            _ => 0,
        };
        let at = Feed {
            name,
            epoch: &epoch,
        };
        let position = self.doors.rows.open(&self.generation, &at, start).await?;
        Ok((epoch, position))
    }

    /// What the facts make of the rows, as far as that can be said, and how many they
    /// are.
    async fn handle(&self, facts: &[Fact]) -> Result<(super::handler::Work, usize), StoreError> {
        let mut count = facts.len();
        let mut failure = None;
        while count > 0 {
            let run = &facts[..count];
            let done = match self.handler.needs(run) {
                Ok(needs) if needs.is_empty() => self.handler.handle(run, Vec::new()),
                Ok(needs) => {
                    let rows: Vec<StoredRow> =
                        self.doors.rows.load(&self.generation, &needs).await?;
                    self.handler.handle(run, rows)
                }
                Err(stuck) => Err(stuck),
            };
            match done {
                Ok(work) => return Ok((work, count)),
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
        epoch: &str,
        fact: &Fact,
        number: usize,
        order: Order,
    ) -> Result<(), StoreError> {
        let name = self.handler.name();
        let (position, number) = (fact.position.to_string(), number.to_string());
        let parts = ["command", name, epoch, &position, &fact.feed, &number];
        let terms = Terms {
            actor: Some(format!("process:{name}")),
            ..Terms::default()
        };
        let Order {
            service_name,
            schema_version,
            entity_id,
            verb,
            payload,
        } = order;
        let operation = Operation {
            operation_id: ids::derived(&parts),
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
        let given = self.doors.scheduler.schedule(&operation).await;
        given.map_err(StoreError::unavailable)
    }

    /// What set off the fact; of another service's, all that is known is the operation.
    async fn correlation(&self, fact: &Fact) -> Result<uuid::Uuid, StoreError> {
        if fact.feed != self.doors.domain {
            return Ok(fact.operation_id);
        }
        let events = self.doors.log.read(fact.position - 1, 1).await?;
        let known = events
            .first()
            .map(|event: &Event| event.operation.correlation_id);
        Ok(known.unwrap_or(fact.operation_id))
    }
}

fn facts(frames: &[Frame], from: Position) -> Result<Vec<Fact>, StoreError> {
    let mut facts = Vec::with_capacity(frames.len());
    for (frame, expected) in frames.iter().zip(from + 1..) {
        let found = frame.position;
        if found != expected {
            return Err(StoreError::Hole { expected, found });
        }
        facts.push(Fact::of(frame).map_err(StoreError::corrupt)?);
    }
    Ok(facts)
}

fn notification(epoch: &str, frame: &Frame, fact: &Fact, request: Request) -> Notification {
    Notification::requested(epoch, frame, fact.at, request, Timestamp::now())
}
