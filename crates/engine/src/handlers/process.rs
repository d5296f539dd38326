//! A process manager: it waits for facts, remembers, and has something done.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{Failed, Handler, HandlerOutput, Stuck, all_needs, handle};
use super::{FeedEvent, Needs, Rows};
use crate::model::notification::Request;
use crate::ports::StoredRow;
use crate::{Domain, Json, Verb, to_json};

/// Facts into state of its own, and what is to be done about them. Pure: commands
/// and notifications are told, not carried out. They take effect once, together
/// with the state, and never again, whatever is replayed or built anew.
pub trait ProcessManager: Send + Sync + 'static {
    /// Lower case with hyphens: `low-stock`. What its state is kept under, for ever:
    /// under another name it begins with nothing, and with what happens from then on.
    const NAME: &'static str;
    /// Whose feeds it follows, by their domains' names.
    const FEEDS: &'static [&'static str];

    /// What it remembers, under keys that it chooses; a JSON object each.
    type State: Clone + Serialize + DeserializeOwned + Send + Sync;

    /// Which of it has to be seen for this fact.
    fn needs(fact: &FeedEvent) -> Needs;

    /// What the fact makes of it, and what is to be done.
    ///
    /// # Errors
    /// When nothing right can be done about the fact: the process stops there, says
    /// so, and is tried again; nothing of it has happened.
    fn react(fact: &FeedEvent, state: &mut Rows<Self::State>) -> Result<Vec<Effect>, Failed>;

    /// What a state is found by beside its key.
    fn links(_state: &Self::State) -> Vec<String> {
        Vec::new()
    }
}

/// Something to be done.
#[derive(Clone, Debug)]
pub enum Effect {
    /// A command of its own domain.
    Command(IssuedCommand),
    /// Somebody is to be told, once.
    Notify(Request),
}

/// A command that a process gives.
#[derive(Clone, Debug)]
pub struct IssuedCommand {
    pub(super) service_name: &'static str,
    pub(super) schema_version: u32,
    pub(super) entity_id: String,
    pub(super) verb: Verb,
    pub(super) payload: Json,
}

impl Effect {
    /// A command to the entity of this id. It goes the way of all commands, under an
    /// identity that the fact leads to, and may be refused like any.
    ///
    /// # Errors
    /// When the command has no JSON form.
    pub fn command<D: Domain>(entity_id: &str, command: &D::Command) -> Result<Self, Failed> {
        Ok(Self::Command(IssuedCommand {
            service_name: D::NAME,
            schema_version: D::version_of(command),
            entity_id: entity_id.to_owned(),
            verb: D::verb(command),
            payload: to_json(command)?,
        }))
    }
}

/// A process manager as a handler.
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

    fn needs(&self, facts: &[FeedEvent]) -> Result<Needs, Stuck> {
        all_needs(facts, P::needs)
    }

    fn handle(&self, facts: &[FeedEvent], rows: Vec<StoredRow>) -> Result<HandlerOutput, Stuck> {
        handle(facts, rows, P::links, P::needs, P::react)
    }
}
