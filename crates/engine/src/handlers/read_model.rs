//! Read models: rows for readers, computed only from feed events.

use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::handler::{AnyHandler, Handler, HandlerFailure, HandlerOutput, all_needs, handle};
use super::{FeedEvent, HandlerError, Needs, Rows};
pub use crate::ports::Generation;
use crate::ports::StoredRow;

/// Function from events to rows. Pure, so that the rows can be rebuilt from the feeds at any time
/// while the old ones are served.
pub trait ReadModel: Send + Sync + 'static {
    /// Name, in lower case with hyphens: `accounts`. Its rows are stored and queried under it.
    const NAME: &'static str;
    /// Version of these functions, to be changed with every change of their output: the rows are
    /// then rebuilt, and the old ones are served until the rebuild has caught up.
    const VERSION: u32;
    /// Names of the feeds that it handles, which are their domains' names. Events of one feed come
    /// in order; events of several feeds may be interleaved in any way.
    const FEEDS: &'static [&'static str];

    /// Row; must serialize to a JSON object.
    type Row: Clone + Serialize + DeserializeOwned + Send + Sync;

    /// Returns the rows to load for this event.
    fn needs(event: &FeedEvent) -> Needs;

    /// Applies an event to the rows.
    ///
    /// # Errors
    /// [`HandlerError`] if the event cannot be handled. The read model stops at this event, logs the reason
    /// and retries; other read models are not affected.
    fn apply(event: &FeedEvent, rows: &mut Rows<Self::Row>) -> Result<(), HandlerError>;

    /// Returns the links of a row, such as `author:7`. Lists of rows are queried by one link.
    fn links(_row: &Self::Row) -> Vec<String> {
        Vec::new()
    }
}

/// Handler of a read model.
struct Projection<M>(PhantomData<fn() -> M>);

/// Creates the handler of a read model.
#[must_use]
pub fn read_model<M: ReadModel>() -> AnyHandler {
    Arc::new(Projection::<M>(PhantomData))
}

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

    fn needs(&self, events: &[FeedEvent]) -> Result<Needs, HandlerFailure> {
        all_needs(events, M::needs)
    }

    fn handle(
        &self,
        events: &[FeedEvent],
        rows: Vec<StoredRow>,
    ) -> Result<HandlerOutput, HandlerFailure> {
        handle(events, rows, M::links, M::needs, |event, rows| {
            M::apply(event, rows).map(|()| Vec::new())
        })
    }
}
