//! What a domain brings to the engine: a few pure functions and their types.

use serde::{Serialize, de::DeserializeOwned};

use crate::model::frame;
use crate::model::resolution;
use crate::{Entity, Position, Timestamp, Verb};

/// A kind of thing whose life is a sequence of accepted operations.
///
/// The functions are pure and total: no clock, no randomness, no I/O. That is
/// what makes the source state a function of the log's prefix, so that any
/// stage may be killed at any point and do its last batch again.
///
/// One executed operation establishes exactly one event; hence one position,
/// one feed frame, one line in the entity's history.
///
/// Commands, states and documents are kept as JSON, by some stores as BSON: whole
/// numbers within `i64`, no object whose members' names begin with `$`, 16 MB at
/// most; a document is an object without members called `_id` or `_meta`.
pub trait Domain: Send + Sync + 'static {
    /// Singular, lower case: the service name in the log, the prefix of feed
    /// types (`order.created`) and of routing keys.
    const NAME: &'static str;
    /// Version of the commands' form that this code writes.
    const SCHEMA_VERSION: u32;

    /// All that [`Domain::change`] may say.
    const CHANGES: &'static [&'static str];

    /// After how many changes of an entity its state is kept aside once more, so that
    /// nobody ever has to fold more events than that.
    const SNAPSHOT_EVERY: u64 = 100;

    /// Changes upon which it is kept aside besides: for those who ask for it.
    const SNAPSHOT_ON: &'static [&'static str] = &[];

    /// Members of the state and of the document whose values say nothing about a person: an
    /// audit shows them, and of all others only how long they are. Names with dots in
    /// between, without the places in lists: `products.price`.
    const PLAIN: &'static [&'static str] = &[];

    /// What lists can be filtered by; stores keep an index for each.
    const FACETS: &'static [Facet] = &[];

    /// What somebody wants, as stored in an event's payload.
    type Command: Serialize + DeserializeOwned + Send;
    /// What execution establishes.
    type Event;
    /// Everything that later decisions and the document need.
    type State: Clone + Serialize + DeserializeOwned + Send + Sync;
    /// What readers get, untransformed.
    type Document: Serialize;

    /// What a command does to its entity, coarsely.
    fn verb(command: &Self::Command) -> Verb;

    /// The lowest schema version whose programs read this command as it is meant. A program of
    /// a lower version sets the operation aside, and only such operations.
    fn version_of(_command: &Self::Command) -> u32 {
        Self::SCHEMA_VERSION
    }

    /// Reads a command in the form of an earlier version, which is lower than
    /// [`Domain::SCHEMA_VERSION`]: what the log holds is never rewritten. Unless
    /// told otherwise the form has only grown members that may be absent.
    ///
    /// # Errors
    /// When it is not of that form; the event is set aside then.
    fn upcast(_version: u32, payload: &str) -> serde_json::Result<Self::Command> {
        serde_json::from_str(payload)
    }

    /// Accepts or refuses a command in the light of the state so far (`None`:
    /// the entity does not exist).
    ///
    /// # Errors
    /// The [`Rejection`] whose reason the sender gets to see.
    fn decide(
        state: Option<&Self::State>,
        command: Self::Command,
        moment: Moment,
    ) -> Result<Self::Event, Rejection>;

    /// The state after the event.
    fn apply(state: Option<Self::State>, event: Self::Event, moment: Moment) -> Self::State;

    /// The document of an entity.
    fn bake(entity: &Entity<Self::State>) -> Self::Document;

    /// What happened, in a word: `created`, `updated`, … Feed type and routing
    /// key are `NAME.change`.
    fn change(event: &Self::Event) -> &'static str;

    /// Whether lists show the entity; it can be fetched by id either way.
    fn listed(_state: &Self::State) -> bool {
        true
    }

    /// Blobs that the state refers to.
    fn blobs(_id: &str, _state: &Self::State) -> Vec<BlobRef> {
        Vec::new()
    }

    /// What else than the entity itself subscribers may filter by: for an
    /// order, its customer.
    fn group(_state: &Self::State) -> Option<&str> {
        None
    }

    /// Tells whether a change of this name may move the entity to another group. Subscribers of the
    /// former group are told then, for which its past is read.
    fn may_change_group(_change: &str) -> bool {
        false
    }
}

/// Words that stores, frames and queries have another use for.
const TAKEN: [&str; 19] = [
    "at",
    "checkpoint",
    "code",
    "epoch",
    "event",
    "feed",
    "lease",
    "meta",
    "notification",
    "operation",
    "position",
    "read_model",
    "reason",
    "session",
    "settled",
    "since",
    "snapshot",
    "token",
    "type",
];

/// Whether the engine can work with a domain's names and constants.
///
/// # Errors
/// The first that it cannot work with, and why.
pub fn check<D: Domain>() -> Result<(), String> {
    let is_word = |text: &str| {
        let letters = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        letters && !text.is_empty()
    };
    if !is_word(D::NAME) || TAKEN.contains(&D::NAME) {
        let name = D::NAME;
        return Err(format!(
            "NAME: expected a word in lower case that has no other use, found {name:?}"
        ));
    }
    let others = [
        frame::REJECTED,
        frame::PARKED,
        resolution::RETRIED,
        resolution::DISCARDED,
    ];
    let is_change = |change: &&str| is_word(change) && !others.contains(change);
    if let Some(change) = D::CHANGES.iter().find(|change| !is_change(change)) {
        return Err(format!(
            "CHANGES: expected words in lower case other than {}, found {change:?}",
            others.join(", ")
        ));
    }
    if D::SNAPSHOT_EVERY == 0 {
        return Err("SNAPSHOT_EVERY: expected a number from 1".into());
    }
    Ok(())
}

/// A member of the document that lists can be filtered by: text, or absent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facet {
    /// What the filter is called.
    pub name: &'static str,
    /// Where the document has it: names with dots in between, such as
    /// `customer.id`. No quotes, since stores make statements of it.
    pub member: &'static str,
}

/// A blob that a state refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobRef {
    /// Name in the store of blobs.
    pub name: String,
    /// Bytes that it has.
    pub size: u64,
    /// SHA-256 of them, in hex.
    pub sha256: String,
}

/// Where and when in the log a command stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Its position.
    pub position: Position,
    /// Its creation time as the log has it; never a client's clock.
    pub at: Timestamp,
}

/// Why an operation was refused at execution. An answer, not a fault: it is
/// kept with the event and shown to its sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    /// A sentence for the sender.
    pub reason: String,
    /// What kind of refusal it is, for programs, where the domain tells kinds
    /// apart: `insufficient-funds`. The engine's own are [`Rejection::VERSION`] and
    /// [`Rejection::KEY`].
    pub code: Option<String>,
}

impl Rejection {
    /// The entity is at another version than the one that was expected.
    pub const VERSION: &'static str = "version-conflict";
    /// The idempotency key was used before with other content.
    pub const KEY: &'static str = "key-reused";

    /// A refusal with its reason, a sentence for the sender.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            code: None,
        }
    }

    /// The same, of a kind that programs can tell from others: lower case, with
    /// hyphens.
    #[must_use]
    pub fn of_kind(self, code: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            ..self
        }
    }
}
