//! Bugs that tests plant to check that they are detected.

use std::str::FromStr;
use std::sync::OnceLock;

use bakehouse_engine::fault_injection;
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

/// A planted bug; its text form is the variant's name in kebab-case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bug {
    /// The schedule queue is acknowledged before the operations are appended to the log.
    AckBeforeInsert,
    /// An unroutable message counts as published, as without `mandatory`.
    SilentDrop,
    /// A negative acknowledgement of the broker counts as a confirmation.
    IgnoredRefusal,
    /// Publishing does not wait for the confirmation.
    Unconfirmed,
    /// Unacknowledged messages are requeued at the end of the queue.
    RequeueAtTheEnd,
    /// orders-manager commits without comparing the checkpoint.
    NoFence,
    /// data-baker commits its checkpoint before its documents.
    CheckpointBeforeDocuments,
    /// A read model commits its feed position before its rows.
    CheckpointBeforeRows,
    /// Rows are written without comparing the revision that was loaded.
    NoRevision,
    /// Delivery workers record a notification as sent before sending it.
    SettledBeforeSent,
    /// Subscribers resume one position too late. A switch of the engine.
    SinceOffByOne,
    /// The log recognises repeated identities only for a limited time.
    DedupWindow,
    /// A repeated request is sent under a new identity.
    FreshIdentity,
    /// Stages do not poll (a switch of the engine), and every third notice is lost.
    LostWakeUp,
    /// Every instance gets the lease, and commits are not fenced.
    TwoLeaders,
    /// Positions are derived from the clock instead of counted. A switch of the MongoDB adapter.
    ClockPositions,
}

impl Bug {
    /// Returns the bug that the environment variable `TORTURE_BUG` names.
    ///
    /// # Panics
    /// If the variable names no bug: a run without the bug would look like tests that do not find
    /// it.
    #[must_use]
    pub fn from_environment() -> Option<Self> {
        static BUG: OnceLock<Option<Bug>> = OnceLock::new();
        *BUG.get_or_init(|| {
            let name = fault_injection::planted_bug()?;
            Some(name.parse().expect("TORTURE_BUG: unknown bug"))
        })
    }
}

impl FromStr for Bug {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::deserialize(name.into_deserializer())
    }
}
