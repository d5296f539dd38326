//! Process managers: react to events with state, commands and notifications.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use super::effect::{Effect, IssuedCommand};
use super::handler::{AnyHandler, Handler, HandlerFailure, HandlerOutput, all_needs, handle};
use super::{FeedEvent, HandlerError, Needs, Rows};
use crate::ports::StoredRow;

/// Function from events to its own state and effects. Pure: it returns commands and notifications
/// and does not carry them out. Effects are committed exactly once, together with the state, and
/// are not repeated by a rebuild.
pub trait ProcessManager: Send + Sync + 'static {
    /// Name, in lower case with hyphens: `low-stock`. Its state is stored under this name: a process
    /// manager with a new name starts without state, at the current end of its feeds.
    const NAME: &'static str;
    /// Names of the feeds that it handles, which are their domains' names.
    const FEEDS: &'static [&'static str];

    /// State, stored under keys that it chooses; each must serialize to a JSON object.
    type State: Clone + Serialize + DeserializeOwned + Send + Sync;

    /// Returns the states to load for this event.
    fn needs(event: &FeedEvent) -> Needs;

    /// Changes the state and returns the effects of an event.
    ///
    /// # Errors
    /// [`HandlerError`] if the event cannot be handled. Nothing is committed; the process manager stops at
    /// this event, logs the reason and retries.
    fn react(event: &FeedEvent, state: &mut Rows<Self::State>)
    -> Result<Vec<Effect>, HandlerError>;

    /// Returns the links by which a state can be found besides its key.
    fn links(_state: &Self::State) -> Vec<String> {
        Vec::new()
    }
}

/// Handler of a process manager.
struct Process<P>(PhantomData<fn() -> P>);

/// Creates the handler of a process manager.
#[must_use]
pub fn process<P: ProcessManager>() -> AnyHandler {
    Arc::new(Process::<P>(PhantomData))
}

impl<P: ProcessManager> Handler for Process<P> {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn version(&self) -> u32 {
        0
    }

    fn feeds(&self) -> &'static [&'static str] {
        P::FEEDS
    }

    fn needs(&self, events: &[FeedEvent]) -> Result<Needs, HandlerFailure> {
        all_needs(events, P::needs)
    }

    fn handle(
        &self,
        events: &[FeedEvent],
        rows: Vec<StoredRow>,
    ) -> Result<HandlerOutput, HandlerFailure> {
        handle(events, rows, P::links, P::needs, P::react)
    }
}
