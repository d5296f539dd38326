//! Handling of a batch of events: pure, so that repeating it yields the same output.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use super::error::HandlerError;
use super::{Effect, FeedEvent, Needs, Rows};
use crate::Position;
use crate::ports::{RowWrite, StoredRow};
use crate::stages::step::message;

/// Read model or process manager, independent of the type of its rows.
pub trait Handler: Send + Sync {
    /// Returns its name.
    fn name(&self) -> &'static str;
    /// Returns the version of its functions; 0 for a process manager, which is never rebuilt.
    fn version(&self) -> u32;
    /// Returns the names of the feeds that it handles.
    fn feeds(&self) -> &'static [&'static str];

    /// Returns the rows to load for all of these events.
    ///
    /// # Errors
    /// [`HandlerFailure`] at the first event for which the handler panics.
    fn needs(&self, events: &[FeedEvent]) -> Result<Needs, HandlerFailure>;

    /// Applies events of one feed to the rows.
    ///
    /// # Errors
    /// [`HandlerFailure`] at the first event that cannot be handled. The events before it can be handled
    /// without it.
    fn handle(
        &self,
        events: &[FeedEvent],
        rows: Vec<StoredRow>,
    ) -> Result<HandlerOutput, HandlerFailure>;
}

/// Handler of one read model or one process manager.
pub type AnyHandler = Arc<dyn Handler>;

/// Failure of a batch at one event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {position} of the feed {feed:?}: {reason}")]
pub struct HandlerFailure {
    /// Number of events before it in the batch.
    pub after: usize,
    /// Name of the feed.
    pub feed: String,
    /// Position of the event in the feed.
    pub position: Position,
    /// Reason for operators.
    pub reason: String,
}

impl HandlerFailure {
    fn at(after: usize, event: &FeedEvent, reason: String) -> Self {
        Self {
            after,
            feed: event.feed.clone(),
            position: event.position,
            reason,
        }
    }
}

/// Output of a batch of events.
#[derive(Debug, Default)]
pub struct HandlerOutput {
    /// Rows to write.
    pub writes: Vec<RowWrite>,
    /// Effects to carry out, each with the index of its event in the batch.
    pub effects: Vec<(usize, Effect)>,
}

/// Collects the needs of all events.
pub(super) fn all_needs(
    events: &[FeedEvent],
    needs: fn(&FeedEvent) -> Needs,
) -> Result<Needs, HandlerFailure> {
    let mut all = Needs::default();
    for (index, event) in events.iter().enumerate() {
        let one = catch_panic(|| Ok(needs(event)));
        all.add(one.map_err(|reason| HandlerFailure::at(index, event, reason))?);
    }
    Ok(all)
}

/// Applies events to typed rows, one by one.
pub(super) fn handle<R: Clone + Serialize + DeserializeOwned>(
    events: &[FeedEvent],
    stored: Vec<StoredRow>,
    links: fn(&R) -> Vec<String>,
    needs: fn(&FeedEvent) -> Needs,
    mut one: impl FnMut(&FeedEvent, &mut Rows<R>) -> Result<Vec<Effect>, HandlerError>,
) -> Result<HandlerOutput, HandlerFailure> {
    let Some(first) = events.first() else {
        return Ok(HandlerOutput::default());
    };
    let unreadable = |error: serde_json::Error| HandlerFailure::at(0, first, error.to_string());
    let mut rows = Rows::load(stored, links).map_err(unreadable)?;
    let mut effects = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let handled = catch_panic(|| {
            rows.start_event(needs(event));
            let effects = one(event, &mut rows)?;
            match rows.take_undeclared() {
                None => Ok(effects),
                Some(what) => Err(HandlerError(format!(
                    "{what} was accessed but is not in needs()"
                ))),
            }
        });
        let requested = handled.map_err(|reason| HandlerFailure::at(index, event, reason))?;
        effects.extend(requested.into_iter().map(|effect| (index, effect)));
    }
    let writes = rows.writes().map_err(unreadable)?;
    Ok(HandlerOutput { writes, effects })
}

/// Turns a panic of the handler into an error. Callers discard the rows on an error, so that no
/// partial change remains.
fn catch_panic<T>(body: impl FnOnce() -> Result<T, HandlerError>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(HandlerError(reason))) => Err(reason),
        Err(panic) => Err(format!("the handler panicked: {}", message(&*panic))),
    }
}
