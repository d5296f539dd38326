//! Check of the rows of read models: each must be readable and equal to the one that the read
//! model's functions yield. The expected rows are rebuilt from the feed in a temporary store.

use std::collections::VecDeque;

use serde_json::Value;
use uuid::Uuid;

use super::auditor::Auditor;
use super::compare::difference;
use super::diff::{Difference, Redaction};
use super::location::Location;
use super::report::redacted;
use super::{Code, ReadModels};
use crate::handlers::{AnyHandler, FeedEvent, Generation, Needs};
use crate::ports::{
    Feed, HandlerCommit, ModelState, PresentationReader, RowInspector, RowRecord, StoreError,
    contiguous,
};
use crate::{Domain, Position};

/// Number of rows per read.
const PAGE_SIZE: usize = 500;
/// Maximum number of feed events per batch of a rebuild.
const MAX_BATCH: usize = 200;
/// Attempts to compare a read model that changes during the comparison.
const MAX_ATTEMPTS: usize = 5;
/// Maximum number of rows per read model whose differences are listed; all are counted.
const MAX_LISTED_ROWS: usize = 20;

/// Rows that differ from the expected ones.
#[derive(Default)]
struct RowMismatches {
    /// Keys and differences of the first such rows.
    first: Vec<(String, Vec<Difference>)>,
    count: usize,
}

impl<D: Domain> Auditor<D> {
    /// Checks the rows of all read models.
    pub(super) async fn check_rows(&mut self) -> Result<(), StoreError> {
        for state in self.deps.models.states().await? {
            let Some(serving) = state.registration.serving.clone() else {
                continue;
            };
            self.check_model_position(&state, &serving).await?;
            self.check_readable(&serving).await?;
            if let Err(why) = self.compare_model(&serving).await? {
                let what = format!("contents of the read model {}: {why}", serving.name);
                self.audit.not_checked.push(what);
            }
        }
        Ok(())
    }

    /// Checks that a read model is not ahead of the feed.
    async fn check_model_position(
        &mut self,
        state: &ModelState,
        serving: &Generation,
    ) -> Result<(), StoreError> {
        let served = state.served.get(D::NAME).copied().unwrap_or_default();
        let baked = match served > self.audit.baked {
            true => self.deps.presentation.head().await?.position,
            false => self.audit.baked,
        };
        if served > baked {
            let field = format!("read_models.{}.position", serving.name);
            let difference = difference(&field, format!("at most {baked}"), served);
            self.report_field(Code::WrongRow, Location::default(), difference, None);
        }
        Ok(())
    }

    /// Checks that every row can be read and every link has its row.
    async fn check_readable(&mut self, serving: &Generation) -> Result<(), StoreError> {
        let inspector = self.deps.rows.clone();
        let mut rows = Pages::new(inspector.as_ref(), serving);
        while let Some((_, found)) = rows.next().await? {
            self.audit.rows += 1;
            let what = match found {
                Ok(row) if row.body.get().starts_with('{') => continue,
                Ok(_) => "not a JSON object".to_owned(),
                Err(what) => what,
            };
            let what = format!("a row of {} cannot be read: {what}", serving.name);
            self.report(Code::WrongRow, Location::default(), &what);
        }
        for _ in inspector.dangling_links(serving, PAGE_SIZE).await? {
            let what = format!("a link of {} points to a missing row", serving.name);
            self.report(Code::WrongRow, Location::default(), &what);
        }
        Ok(())
    }

    /// Rebuilds the rows and compares them. The inner error is the reason why that is impossible.
    async fn compare_model(
        &mut self,
        serving: &Generation,
    ) -> Result<Result<(), String>, StoreError> {
        let Some(models) = self.deps.read_models.clone() else {
            return Ok(Err("this program does not have it".into()));
        };
        let is_serving = |handler: &&AnyHandler| {
            (handler.name(), handler.version()) == (serving.name.as_str(), serving.version)
        };
        let Some(handler) = models.handlers.iter().find(is_serving) else {
            return Ok(Err(
                "this program does not have it in the served version".into()
            ));
        };
        if handler.feeds() != [D::NAME] {
            return Ok(Err("it reads feeds of other programs".into()));
        }
        let epoch = self.deps.log.epoch().await?;
        let mut rebuild = RowRebuild::start::<D>(&models, handler, &epoch).await?;
        for _ in 0..MAX_ATTEMPTS {
            let Some(end) = self.served_position(serving).await? else {
                return Ok(Err("it was rebuilt during the audit".into()));
            };
            if let Err(why) = rebuild
                .advance(self.deps.presentation.as_ref(), end)
                .await?
            {
                return Ok(Err(why));
            }
            let rows = self.deps.rows.clone();
            let found = compare_rows(&rebuild, rows.as_ref(), serving).await?;
            if self.served_position(serving).await? == Some(end) {
                self.report_rows(serving, found);
                return Ok(Ok(()));
            }
        }
        Ok(Err("it kept changing during the audit".into()))
    }

    /// Returns the position of a generation's rows; `None` if another generation is served.
    async fn served_position(&self, serving: &Generation) -> Result<Option<Position>, StoreError> {
        let states = self.deps.models.states().await?;
        let mut states = states.into_iter();
        let state = states.find(|state| state.registration.serving.as_ref() == Some(serving));
        Ok(state.map(|state| state.served.get(D::NAME).copied().unwrap_or_default()))
    }

    fn report_rows(&mut self, serving: &Generation, found: RowMismatches) {
        let left = found.count - found.first.len();
        for (key, differences) in found.first {
            // Keys other than UUIDs may be personal data.
            let entity = Uuid::parse_str(&key).is_ok().then_some(key.as_str());
            let location = Location {
                position: None,
                entity,
            };
            let with_model = |one: Difference| Difference {
                field: format!("read_models.{}.{}", serving.name, one.field),
                ..one
            };
            let differences = differences.into_iter().map(with_model).collect();
            self.report_fields(Code::WrongRow, location, differences);
        }
        for _ in 0..left {
            let what = format!(
                "a row of {} differs from the one that the feed yields",
                serving.name
            );
            self.report(Code::WrongRow, Location::default(), &what);
        }
    }
}

/// Rebuild of a read model's rows in the temporary store.
struct RowRebuild<'a> {
    models: &'a ReadModels,
    handler: &'a AnyHandler,
    generation: Generation,
    feed: &'static str,
    position: Position,
}

impl<'a> RowRebuild<'a> {
    async fn start<D: Domain>(
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
        let position = scratch.open(&generation, &feed, 0).await?;
        Ok(Self {
            models,
            handler,
            generation,
            feed: D::NAME,
            position,
        })
    }

    /// Handles the feed up to `end`. The inner error is the reason why that is impossible.
    async fn advance(
        &mut self,
        presentation: &dyn PresentationReader,
        end: Position,
    ) -> Result<Result<(), String>, StoreError> {
        while self.position < end {
            let limit = usize::try_from(end - self.position).unwrap_or(MAX_BATCH);
            let limit = limit.min(MAX_BATCH);
            let read = presentation.frames(self.position, limit).await;
            let frames = match read.and_then(|frames| contiguous(self.position, frames)) {
                Ok(frames) if frames.is_empty() => {
                    return Ok(Err(format!("the feed ends at position {}", self.position)));
                }
                Ok(frames) => frames,
                Err(StoreError::Hole { .. } | StoreError::Corrupt(_)) => {
                    let first = self.position + 1;
                    return Ok(Err(format!(
                        "the feed cannot be read from position {first} on"
                    )));
                }
                Err(error) => return Err(error),
            };
            let events: Result<Vec<FeedEvent>, _> = frames.iter().map(FeedEvent::of).collect();
            let Ok(events) = events else {
                return Ok(Err("a frame cannot be read".into()));
            };
            let reason = |failure: &dyn std::fmt::Display| redacted(&failure.to_string());
            let needs = match self.handler.needs(&events) {
                Ok(needs) => needs,
                Err(failure) => return Ok(Err(reason(&failure))),
            };
            if let Err(failure) = self.handle(&events, &needs).await? {
                return Ok(Err(reason(&failure)));
            }
        }
        Ok(Ok(()))
    }

    async fn handle(
        &mut self,
        events: &[FeedEvent],
        needs: &Needs,
    ) -> Result<Result<(), crate::handlers::handler::HandlerFailure>, StoreError> {
        let scratch = self.models.scratch.as_ref();
        let loaded = scratch.load(&self.generation, needs).await?;
        let output = match self.handler.handle(events, loaded.rows) {
            Ok(output) => output,
            Err(failure) => return Ok(Err(failure)),
        };
        let to = self.position + events.len() as Position;
        let commit = HandlerCommit {
            generation: self.generation.clone(),
            revision: loaded.revision,
            feed: self.feed.to_owned(),
            from: self.position,
            to,
            rows: output.writes,
            notifications: Vec::new(),
        };
        scratch.commit(&commit).await?;
        self.position = to;
        Ok(Ok(()))
    }
}

/// Compares the rebuilt rows with the served ones, in the order of their keys.
async fn compare_rows(
    rebuild: &RowRebuild<'_>,
    rows: &dyn RowInspector,
    serving: &Generation,
) -> Result<RowMismatches, StoreError> {
    let mut rebuilt = Pages::new(rebuild.models.made.as_ref(), &rebuild.generation);
    let mut served = Pages::new(rows, serving);
    let mut found = RowMismatches::default();
    let (mut expected, mut actual) = (rebuilt.next().await?, served.next().await?);
    loop {
        let (key, differences) = match (&expected, &actual) {
            (None, None) => return Ok(found),
            (Some((key, _)), Some((other, _))) if key == other => {
                let (one, other) = (expected.take(), actual.take());
                let key = one.as_ref().map(|(key, _)| key.clone()).unwrap_or_default();
                let differences = match (one, other) {
                    (Some((_, Ok(one))), Some((_, Ok(other)))) => row_differences(&one, &other),
                    // Unreadable rows are reported by `check_readable`.
                    _ => Vec::new(),
                };
                expected = rebuilt.next().await?;
                actual = served.next().await?;
                (key, differences)
            }
            (Some((key, _)), other) if other.as_ref().is_none_or(|(other, _)| key < other) => {
                let key = key.clone();
                expected = rebuilt.next().await?;
                (key, vec![difference("row", "present", "absent")])
            }
            _ => {
                let key = actual.take().map(|(key, _)| key).unwrap_or_default();
                actual = served.next().await?;
                (key, vec![difference("row", "absent", "present")])
            }
        };
        if differences.is_empty() {
            continue;
        }
        found.count += 1;
        if found.first.len() < MAX_LISTED_ROWS {
            found.first.push((key, differences));
        }
    }
}

fn row_differences(expected: &RowRecord, found: &RowRecord) -> Vec<Difference> {
    let redaction = Redaction {
        plain: &[],
        document: "",
    };
    let value = |row: &RowRecord| serde_json::from_str::<Value>(row.body.get()).unwrap_or_default();
    let mut all = redaction.differences(&value(expected), &value(found));
    if expected.links != found.links {
        let count = |row: &RowRecord| format!("{} links", row.links.len());
        let (one, mut other) = (count(expected), count(found));
        if one == other {
            other = format!("{other}, different ones");
        }
        all.push(difference("links", one, other));
    }
    all
}

/// Reader of all rows of a generation, page by page.
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
            let page = self
                .inspector
                .all_rows(self.generation, &self.after, PAGE_SIZE);
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
