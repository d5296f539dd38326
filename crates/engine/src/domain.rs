//! The interface that a domain implements for the engine: pure functions and their types.

use serde::{Serialize, de::DeserializeOwned};

pub use crate::domain_check::check;
pub use crate::model::moment::Moment;
pub use crate::model::rejection::Rejection;
use crate::{Entity, Verb};

/// A type of entity whose state results from a sequence of accepted operations.
///
/// The functions are pure and total: no clock, no randomness, no I/O. The source state is
/// therefore a function of a prefix of the log, so any stage may be killed at any point and
/// repeat its last batch.
///
/// One executed operation produces exactly one event, and therefore one position, one feed
/// frame, and one line in the entity's history.
///
/// Commands, states and documents are stored as JSON, by some stores as BSON: integers within
/// `i64`, no object with a member name that begins with `$`, at most 16 MB. A document is an
/// object without members called `_id` or `_meta`.
pub trait Domain: Send + Sync + 'static {
    /// Name of the domain, singular and lower case: the service name in the log, the prefix of
    /// feed types (`order.created`) and of routing keys.
    const NAME: &'static str;
    /// Schema version of the commands that this code writes.
    const SCHEMA_VERSION: u32;

    /// All values that [`Domain::change`] may return.
    const CHANGES: &'static [&'static str];

    /// Number of changes of an entity after which a snapshot of its state is stored. It bounds
    /// the number of events that a reader must fold.
    const SNAPSHOT_INTERVAL: u64 = 100;

    /// Changes after which an additional snapshot is stored.
    const SNAPSHOT_ON: &'static [&'static str] = &[];

    /// Members of the state and of the document whose values are not personal data. An audit
    /// shows these values; of all other members it shows only the length. Paths are joined with
    /// dots and have no list indexes: `products.price`.
    const PLAIN: &'static [&'static str] = &[];

    /// Members that lists can be filtered by. Stores keep an index for each.
    const FACETS: &'static [Facet] = &[];

    /// Requested change, stored as the payload of a log entry.
    type Command: Serialize + DeserializeOwned + Send;
    /// Result of an accepted command.
    type Event;
    /// Data of an entity that later decisions and the document need.
    type State: Clone + Serialize + DeserializeOwned + Send + Sync;
    /// Document that readers get, unchanged.
    type Document: Serialize;

    /// Returns the verb of a command: a coarse label of its effect on the entity.
    fn verb(command: &Self::Command) -> Verb;

    /// Returns the lowest schema version that interprets this command correctly. A program of a
    /// lower version parks the operation.
    fn version_of(_command: &Self::Command) -> u32 {
        Self::SCHEMA_VERSION
    }

    /// Reads a command of a schema version lower than [`Domain::SCHEMA_VERSION`]. The log is
    /// never rewritten. The default assumes that newer versions only added optional members.
    ///
    /// # Errors
    /// When the payload is invalid in that version; the operation is parked.
    fn upcast(_version: u32, payload: &str) -> serde_json::Result<Self::Command> {
        serde_json::from_str(payload)
    }

    /// Accepts or rejects a command, given the current state (`None`: the entity does not
    /// exist).
    ///
    /// # Errors
    /// A [`Rejection`], whose reason is shown to the sender.
    fn decide(
        state: Option<&Self::State>,
        command: Self::Command,
        moment: Moment,
    ) -> Result<Self::Event, Rejection>;

    /// Returns the state after the event.
    fn apply(state: Option<Self::State>, event: Self::Event, moment: Moment) -> Self::State;

    /// Returns the document of an entity.
    fn bake(entity: &Entity<Self::State>) -> Self::Document;

    /// Returns the name of a change: `created`, `updated`, … Feed type and routing key are
    /// `NAME.change`.
    fn change(event: &Self::Event) -> &'static str;

    /// Checks whether lists show the entity. It can always be fetched by id.
    fn listed(_state: &Self::State) -> bool {
        true
    }

    /// Returns the blobs that the state refers to.
    fn blobs(_id: &str, _state: &Self::State) -> Vec<BlobRef> {
        Vec::new()
    }

    /// Returns the group that subscribers may filter by, such as the customer of an order.
    fn group(_state: &Self::State) -> Option<&str> {
        None
    }

    /// Checks whether a change of this name may move the entity to another group. Subscribers of
    /// the former group receive the change as well, which requires the entity's history.
    fn may_change_group(_change: &str) -> bool {
        false
    }
}

/// A member of the document that lists can be filtered by. Its value is a string, or absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facet {
    /// Name of the filter.
    pub name: &'static str,
    /// Path of the member in the document, joined with dots: `customer.id`. It must not contain
    /// quotes, because stores build queries from it.
    pub member: &'static str,
}

/// A blob that a state refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// Name in the blob store.
    pub name: String,
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of the content, in hex.
    pub sha256: String,
}
