//! A read model: rows that readers get, made of nothing but facts.

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{Failed, Handler, HandlerOutput, Stuck, all_needs, handle};
use super::{FeedEvent, Needs, Rows};
use crate::ports::StoredRow;

/// Facts into rows. Pure, so that it can be built anew at any time from the feeds,
/// beside the one that is being read.
pub trait ReadModel: Send + Sync + 'static {
    /// Lower case with hyphens: `accounts`. What it is kept and asked for under.
    const NAME: &'static str;
    /// Another one with every change of what these functions make of the facts: the
    /// rows are built anew then, and those of before are read until they are there.
    const VERSION: u32;
    /// Whose feeds it follows, by their domains' names. Facts of one feed come in
    /// their order; of several feeds, in any.
    const FEEDS: &'static [&'static str];

    /// A row; a JSON object.
    type Row: Clone + Serialize + DeserializeOwned + Send + Sync;

    /// Which rows have to be seen for this fact.
    fn needs(fact: &FeedEvent) -> Needs;

    /// What the fact makes of them.
    ///
    /// # Errors
    /// When it makes nothing of the fact that could be right: the read model stops
    /// there, says so, and is tried again; all others go on.
    fn apply(fact: &FeedEvent, rows: &mut Rows<Self::Row>) -> Result<(), Failed>;

    /// What a row is found by beside its key: `author:7`. Lists are asked for by one.
    fn links(_row: &Self::Row) -> Vec<String> {
        Vec::new()
    }
}

/// One making of a read model's rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Generation {
    /// Of which: [`ReadModel::NAME`].
    #[serde(skip)]
    pub name: String,
    /// By which version of its functions.
    pub version: u32,
    /// How often that version had been made anew before.
    pub round: u64,
}

impl fmt::Display for Generation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}.{}.{}", self.name, self.version, self.round)
    }
}

/// A read model as a handler.
pub(super) struct Projection<M>(pub(super) std::marker::PhantomData<fn() -> M>);

impl<M: ReadModel> Handler for Projection<M> {
    fn name(&self) -> &'static str {
        M::NAME
    }

    fn version(&self) -> u32 {
        M::VERSION
    }

    fn feeds(&self) -> &'static [&'static str] {
        M::FEEDS
    }

    fn needs(&self, facts: &[FeedEvent]) -> Result<Needs, Stuck> {
        all_needs(facts, M::needs)
    }

    fn handle(&self, facts: &[FeedEvent], rows: Vec<StoredRow>) -> Result<HandlerOutput, Stuck> {
        handle(facts, rows, M::links, M::needs, |fact, rows| {
            M::apply(fact, rows).map(|()| Vec::new())
        })
    }
}
