//! A run of facts, handled: pure, so that doing it twice gives the same.

use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::process::Process;
use super::read_model::Projection;
use super::{AnyHandler, Effect, FeedEvent, Needs, ProcessManager, ReadModel, Rows};
use crate::Position;
use crate::ports::{RowWrite, StoredRow};
use crate::stages::step::message;

/// A read model or a process manager, whatever its rows are.
pub trait Handler: Send + Sync {
    /// What it is called.
    fn name(&self) -> &'static str;
    /// Of its functions; 0 for a process manager, which is never built anew.
    fn version(&self) -> u32;
    /// Whose feeds it follows.
    fn feeds(&self) -> &'static [&'static str];

    /// Which rows must be there for all of these facts.
    ///
    /// # Errors
    /// At the first fact for which that cannot be said.
    fn needs(&self, facts: &[FeedEvent]) -> Result<Needs, Stuck>;

    /// What these facts of one feed make of the rows.
    ///
    /// # Errors
    /// At the first fact of which nothing can be made. Those before it can be handled
    /// by themselves.
    fn handle(&self, facts: &[FeedEvent], rows: Vec<StoredRow>) -> Result<HandlerOutput, Stuck>;
}

/// Of a read model.
#[must_use]
pub fn read_model<M: ReadModel>() -> AnyHandler {
    Arc::new(Projection::<M>(PhantomData))
}

/// Of a process manager.
#[must_use]
pub fn process<P: ProcessManager>() -> AnyHandler {
    Arc::new(Process::<P>(PhantomData))
}

/// Why nothing can be made of a fact: a sentence for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed(pub String);

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// Where a run of facts cannot be gone on with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("position {position} of the feed {feed:?}: {reason}")]
pub struct Stuck {
    /// How many facts stand before it.
    pub after: usize,
    /// In which feed.
    pub feed: String,
    /// Where in it.
    pub position: Position,
    /// Why.
    pub reason: String,
}

impl Stuck {
    fn at(after: usize, fact: &FeedEvent, reason: String) -> Self {
        Self {
            after,
            feed: fact.feed.clone(),
            position: fact.position,
            reason,
        }
    }
}

/// What a run of facts has led to.
#[derive(Debug, Default)]
pub struct HandlerOutput {
    /// Rows as they are to be.
    pub writes: Vec<RowWrite>,
    /// What is to be done, each with the place of its fact in the run.
    pub effects: Vec<(usize, Effect)>,
}

pub(super) fn all_needs(
    facts: &[FeedEvent],
    needs: fn(&FeedEvent) -> Needs,
) -> Result<Needs, Stuck> {
    let mut all = Needs::default();
    for (index, fact) in facts.iter().enumerate() {
        let one = guarded(|| Ok(needs(fact)));
        all.add(one.map_err(|reason| Stuck::at(index, fact, reason))?);
    }
    Ok(all)
}

pub(super) fn handle<R: Clone + Serialize + DeserializeOwned>(
    facts: &[FeedEvent],
    stored: Vec<StoredRow>,
    links: fn(&R) -> Vec<String>,
    needs: fn(&FeedEvent) -> Needs,
    mut one: impl FnMut(&FeedEvent, &mut Rows<R>) -> Result<Vec<Effect>, Failed>,
) -> Result<HandlerOutput, Stuck> {
    let Some(first) = facts.first() else {
        return Ok(HandlerOutput::default());
    };
    let unreadable = |error: serde_json::Error| Stuck::at(0, first, error.to_string());
    let mut rows = Rows::load(stored, links).map_err(unreadable)?;
    let mut effects = Vec::new();
    for (index, fact) in facts.iter().enumerate() {
        let handled = guarded(|| {
            rows.begin(needs(fact));
            let effects = one(fact, &mut rows)?;
            match rows.fault() {
                None => Ok(effects),
                Some(what) => Err(Failed(format!(
                    "{what} was touched, which needs() did not name"
                ))),
            }
        });
        let asked = handled.map_err(|reason| Stuck::at(index, fact, reason))?;
        effects.extend(asked.into_iter().map(|effect| (index, effect)));
    }
    let writes = rows.writes().map_err(unreadable)?;
    Ok(HandlerOutput { writes, effects })
}

/// A handler that panics has failed, no more: what it may have left half done is
/// thrown away by whoever gets the error.
fn guarded<T>(body: impl FnOnce() -> Result<T, Failed>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(Failed(reason))) => Err(reason),
        Err(panic) => Err(format!("it panicked: {}", message(&*panic))),
    }
}
