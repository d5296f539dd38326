//! Bugs that are planted to see whether they are found.

use clap::ValueEnum;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Bug {
    /// The queue is settled as soon as something was taken from it.
    AckBeforeInsert,
    /// What goes nowhere counts as published: no `mandatory`.
    SilentDrop,
    /// A refusal of the broker counts as a confirmation.
    IgnoredRefusal,
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
}
