//! Bugs that are planted to see whether they are found.

use std::str::FromStr;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::Error;

/// One of them; its text is its name in kebab-case.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bug {
    /// The queue is settled as soon as something was taken from it.
    AckBeforeInsert,
    /// What goes nowhere counts as published: no `mandatory`.
    SilentDrop,
    /// A refusal of the broker counts as a confirmation.
    IgnoredRefusal,
    /// Nobody waits for confirmations.
    Unconfirmed,
    /// What was not settled comes back at the end of the queue.
    RequeueAtTheEnd,
    /// orders-manager commits wherever the checkpoint is.
    NoFence,
    /// data-baker moves its checkpoint, and then writes its documents.
    CheckpointBeforeDocuments,
    /// A read model's place in its feed moves before its rows are written.
    CheckpointBeforeRows,
    /// Rows are written whoever has changed them since they were read.
    NoRevision,
    /// Couriers note that something was sent, and then send it.
    SettledBeforeSent,
    /// Subscribers resume one position too late.
    SinceOffByOne,
    /// The log forgets identities after a while.
    DedupWindow,
    /// Whoever repeats a request does so under another identity.
    FreshIdentity,
    /// Nobody looks unless told to, and not everybody is told.
    LostWakeUp,
    /// A lease is everybody's, and commits are not fenced.
    TwoLeaders,
    /// Positions are made of the time, not counted.
    ClockPositions,
}

impl FromStr for Bug {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::deserialize(name.into_deserializer())
    }
}
