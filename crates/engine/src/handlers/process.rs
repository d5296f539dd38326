//! Process managers: react to events with state, commands and notifications.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{Handler, HandlerError, HandlerFailure, HandlerOutput, all_needs, handle};
use super::{FeedEvent, Needs, Rows};
use crate::model::notification::Request;
use crate::ports::StoredRow;
use crate::{Domain, Json, Verb, to_json};

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

/// Effect requested by a process manager.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Command to its own domain.
    Command(IssuedCommand),
    /// Notification, sent once.
    Notify(Request),
}

/// Command issued by a process manager.
#[derive(Clone, Debug)]
pub struct IssuedCommand {
    pub(super) service_name: &'static str,
    pub(super) schema_version: u32,
    pub(super) entity_id: String,
    pub(super) verb: Verb,
    pub(super) payload: Json,
}

impl Effect {
    /// Creates a command to the entity of this id. It is scheduled like any other command, with an
    /// id derived from the event, and may be rejected.
    ///
    /// # Errors
    /// [`HandlerError`] if the command cannot be serialized to JSON.
    pub fn command<D: Domain>(entity_id: &str, command: &D::Command) -> Result<Self, HandlerError> {
        Ok(Self::Command(IssuedCommand {
            service_name: D::NAME,
            schema_version: D::version_of(command),
            entity_id: entity_id.to_owned(),
            verb: D::verb(command),
            payload: to_json(command)?,
        }))
    }
}

/// Handler of a process manager.
pub(super) struct Process<P>(pub(super) std::marker::PhantomData<fn() -> P>);

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
