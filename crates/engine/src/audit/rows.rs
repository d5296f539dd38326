//! Rows of read models: whether each can be read, and is what the read model's functions make of
//! the feed. They are made once more in a store that is thrown away afterwards.

use std::collections::VecDeque;
use std::sync::Arc;

use serde_json::Value;
use uuid::Uuid;

use super::Code;
use super::auditor::Auditor;
use super::compare::differs;
use super::diff::{Difference, Shown};
use super::report::{Place, redacted};
use crate::handlers::{AnyHandler, FeedEvent, Generation, Needs};
use crate::ports::{
    Feed, HandlerCommit, ModelState, PresentationReader, RowInspector, RowRecord, RowStore,
    StoreError, contiguous,
};
use crate::{Domain, Position};

/// Rows that are read together.
const PAGE: usize = 500;
/// Facts that are handled together.
const BATCH: usize = 200;
/// Times that a read model is compared which moves on meanwhile.
const ATTEMPTS: usize = 5;
/// Rows of one read model whose differences are kept; all are counted.
const MAX_ROWS: usize = 20;

/// Read models of the program, and an empty store to make their rows in once more.
#[derive(Clone)]
pub struct ReadModels {
    /// Functions of each.
    pub handlers: Vec<AnyHandler>,
    /// Store that is thrown away after the audit.
    pub scratch: Arc<dyn RowStore>,
    /// Rows of that store.
    pub made: Arc<dyn RowInspector>,
}

/// Rows that are not what they must be.
#[derive(Default)]
struct Unequal {
    /// Keys and differences of the first ones.
    first: Vec<(String, Vec<Difference>)>,
    count: usize,
}

impl<D: Domain> Auditor<D> {
    /// Rows of all read models.
    pub(super) async fn rows(&mut self) -> Result<(), StoreError> {
        for state in self.deps.models.states().await? {
            let Some(serving) = state.registration.serving.clone() else {
                continue;
            };
            self.followed_what_is_baked(&state, &serving).await?;
            self.read_all(&serving).await?;
            if let Err(why) = self.compare_model(&serving).await? {
                let what = format!("contents of the read model {}: {why}", serving.name);
                self.audit.not_checked.push(what);
            }
        }
        Ok(())
    }

    async fn followed_what_is_baked(
        &mut self,
        state: &ModelState,
        serving: &Generation,
    ) -> Result<(), StoreError> {
        let followed = state.served.get(D::NAME).copied().unwrap_or_default();
        let baked = match followed > self.audit.baked {
            true => self.deps.presentation.head().await?.position,
            false => self.audit.baked,
        };
        if followed > baked {
            let field = format!("read_models.{}.position", serving.name);
            let differs = differs(&field, format!("at most {baked}"), followed);
            self.find_in(Code::WrongRow, Place::default(), differs, None);
        }
        Ok(())
    }

    /// Reads every row, and looks for links that lead nowhere.
    async fn read_all(&mut self, serving: &Generation) -> Result<(), StoreError> {
        let inspector = self.deps.rows.clone();
        let mut rows = Pages::new(inspector.as_ref(), serving);
        while let Some((_, found)) = rows.next().await? {
            self.audit.rows += 1;
            let what = match found {
                Ok(row) if row.body.get().starts_with('{') => continue,
                Ok(_) => "it is no JSON object".to_owned(),
                Err(what) => what,
            };
            let what = format!("a row of {} cannot be read: {what}", serving.name);
            self.find(Code::WrongRow, Place::default(), &what);
        }
        for _ in inspector.loose_links(serving, PAGE).await? {
            let what = format!(
                "a link of {} leads to a row that is not there",
                serving.name
            );
            self.find(Code::WrongRow, Place::default(), &what);
        }
        Ok(())
    }

    /// Makes the rows once more and compares them; the error says why that cannot be done.
    async fn compare_model(
        &mut self,
        serving: &Generation,
    ) -> Result<Result<(), String>, StoreError> {
        let Some(models) = self.deps.read_models.clone() else {
            return Ok(Err("this program does not make it".into()));
        };
        let is_it = |handler: &&AnyHandler| {
            (handler.name(), handler.version()) == (serving.name.as_str(), serving.version)
        };
        let Some(handler) = models.handlers.iter().find(is_it) else {
            return Ok(Err(
                "this program does not make it, or in another version".into()
            ));
        };
        if handler.feeds() != [D::NAME] {
            return Ok(Err("it follows feeds of other programs".into()));
        }
        let epoch = self.deps.log.epoch().await?;
        let mut replay = Replay::begin::<D>(&models, handler, &epoch).await?;
        for _ in 0..ATTEMPTS {
            let Some(end) = self.followed(serving).await? else {
                return Ok(Err("it was made anew meanwhile".into()));
            };
            if let Err(why) = replay.advance(self.deps.presentation.as_ref(), end).await? {
                return Ok(Err(why));
            }
            let rows = self.deps.rows.clone();
            let found = unequal(&replay, rows.as_ref(), serving).await?;
            if self.followed(serving).await? == Some(end) {
                self.note_rows(serving, found);
                return Ok(Ok(()));
            }
        }
        Ok(Err("it changed all the time".into()))
    }

    /// Position that the served rows of a generation are at; `None`: others are served.
    async fn followed(&self, serving: &Generation) -> Result<Option<Position>, StoreError> {
        let states = self.deps.models.states().await?;
        let mut states = states.into_iter();
        let state = states.find(|state| state.registration.serving.as_ref() == Some(serving));
        Ok(state.map(|state| state.served.get(D::NAME).copied().unwrap_or_default()))
    }

    fn note_rows(&mut self, serving: &Generation, found: Unequal) {
        let left = found.count - found.first.len();
        for (key, differences) in found.first {
            // Other keys may be names of people.
            let entity = Uuid::parse_str(&key).is_ok().then_some(key.as_str());
            let place = Place {
                position: None,
                entity,
            };
            let of_model = |one: Difference| Difference {
                field: format!("read_models.{}.{}", serving.name, one.field),
                ..one
            };
            let differences = differences.into_iter().map(of_model).collect();
            self.find_all(Code::WrongRow, place, differences);
        }
        for _ in 0..left {
            let what = format!("a row of {} is not what the feed leads to", serving.name);
            self.find(Code::WrongRow, Place::default(), &what);
        }
    }
}

/// Rows of a read model that are made once more.
struct Replay<'a> {
    models: &'a ReadModels,
    handler: &'a AnyHandler,
    generation: Generation,
    feed: &'static str,
    at: Position,
}

impl<'a> Replay<'a> {
    async fn begin<D: Domain>(
        models: &'a ReadModels,
        handler: &'a AnyHandler,
        epoch: &str,
    ) -> Result<Self, StoreError> {
        let scratch = models.scratch.as_ref();
        let registered = scratch.register(handler.name(), handler.version()).await?;
        let generation = registered.wanted;
        let feed = Feed {
            name: D::NAME,
            epoch,
        };
        let at = scratch.open(&generation, &feed, 0).await?;
        Ok(Self {
            models,
            handler,
            generation,
            feed: D::NAME,
            at,
        })
    }

    /// Follows the feed up to a position; the error says why that cannot be done.
    async fn advance(
        &mut self,
        presentation: &dyn PresentationReader,
        end: Position,
    ) -> Result<Result<(), String>, StoreError> {
        while self.at < end {
            let limit = usize::try_from(end - self.at).unwrap_or(BATCH).min(BATCH);
            let read = presentation.frames(self.at, limit).await;
            let frames = match read.and_then(|frames| contiguous(self.at, frames)) {
                Ok(frames) if frames.is_empty() => {
                    return Ok(Err(format!("the feed ends at position {}", self.at)));
                }
                Ok(frames) => frames,
                Err(StoreError::Hole { .. } | StoreError::Corrupt(_)) => {
                    let at = self.at + 1;
                    return Ok(Err(format!(
                        "the feed cannot be read from position {at} on"
                    )));
                }
                Err(error) => return Err(error),
            };
            let facts: Result<Vec<FeedEvent>, _> = frames.iter().map(FeedEvent::of).collect();
            let Ok(facts) = facts else {
                return Ok(Err("a frame cannot be read".into()));
            };
            let failed = |stuck: &dyn std::fmt::Display| redacted(&stuck.to_string());
            let needs = match self.handler.needs(&facts) {
                Ok(needs) => needs,
                Err(stuck) => return Ok(Err(failed(&stuck))),
            };
            if let Err(stuck) = self.handle(&facts, &needs).await? {
                return Ok(Err(failed(&stuck)));
            }
        }
        Ok(Ok(()))
    }

    async fn handle(
        &mut self,
        facts: &[FeedEvent],
        needs: &Needs,
    ) -> Result<Result<(), crate::handlers::handler::Stuck>, StoreError> {
        let scratch = self.models.scratch.as_ref();
        let loaded = scratch.load(&self.generation, needs).await?;
        let work = match self.handler.handle(facts, loaded.rows) {
            Ok(work) => work,
            Err(stuck) => return Ok(Err(stuck)),
        };
        let to = self.at + facts.len() as Position;
        let handling = HandlerCommit {
            generation: self.generation.clone(),
            revision: loaded.revision,
            feed: self.feed.to_owned(),
            from: self.at,
            to,
            rows: work.writes,
            notifications: Vec::new(),
        };
        scratch.commit(&handling).await?;
        self.at = to;
        Ok(Ok(()))
    }
}

/// Compares two stores' rows, in the order of their keys.
async fn unequal(
    replay: &Replay<'_>,
    rows: &dyn RowInspector,
    serving: &Generation,
) -> Result<Unequal, StoreError> {
    let mut made = Pages::new(replay.models.made.as_ref(), &replay.generation);
    let mut kept = Pages::new(rows, serving);
    let mut found = Unequal::default();
    let (mut expected, mut actual) = (made.next().await?, kept.next().await?);
    loop {
        let (key, differences) = match (&expected, &actual) {
            (None, None) => return Ok(found),
            (Some((key, _)), Some((other, _))) if key == other => {
                let (one, other) = (expected.take(), actual.take());
                let key = one.as_ref().map(|(key, _)| key.clone()).unwrap_or_default();
                let differences = match (one, other) {
                    (Some((_, Ok(one))), Some((_, Ok(other)))) => row_differences(&one, &other),
                    // One that cannot be read has been told of.
                    _ => Vec::new(),
                };
                expected = made.next().await?;
                actual = kept.next().await?;
                (key, differences)
            }
            (Some((key, _)), other) if other.as_ref().is_none_or(|(other, _)| key < other) => {
                let key = key.clone();
                expected = made.next().await?;
                (key, vec![differs("row", "present", "absent")])
            }
            _ => {
                let key = actual.take().map(|(key, _)| key).unwrap_or_default();
                actual = kept.next().await?;
                (key, vec![differs("row", "absent", "present")])
            }
        };
        if differences.is_empty() {
            continue;
        }
        found.count += 1;
        if found.first.len() < MAX_ROWS {
            found.first.push((key, differences));
        }
    }
}

fn row_differences(expected: &RowRecord, found: &RowRecord) -> Vec<Difference> {
    let shown = Shown {
        plain: &[],
        document: "",
    };
    let value = |row: &RowRecord| serde_json::from_str::<Value>(row.body.get()).unwrap_or_default();
    let mut all = shown.differences(&value(expected), &value(found));
    if expected.links != found.links {
        let count = |row: &RowRecord| format!("{} links", row.links.len());
        let (one, mut other) = (count(expected), count(found));
        if one == other {
            other = format!("{other}, others");
        }
        all.push(differs("links", one, other));
    }
    all
}

/// All rows of a generation, a page at a time.
struct Pages<'a> {
    inspector: &'a dyn RowInspector,
    generation: &'a Generation,
    after: String,
    page: VecDeque<(String, Result<RowRecord, String>)>,
    is_read: bool,
}

impl<'a> Pages<'a> {
    fn new(inspector: &'a dyn RowInspector, generation: &'a Generation) -> Self {
        Self {
            inspector,
            generation,
            after: String::new(),
            page: VecDeque::new(),
            is_read: false,
        }
    }

    async fn next(&mut self) -> Result<Option<(String, Result<RowRecord, String>)>, StoreError> {
        if self.page.is_empty() && !self.is_read {
            let page = self.inspector.all_rows(self.generation, &self.after, PAGE);
            let page = page.await?;
            match page.last() {
                Some((last, _)) => self.after.clone_from(last),
                None => self.is_read = true,
            }
            self.page = page.into();
        }
        Ok(self.page.pop_front())
    }
}
