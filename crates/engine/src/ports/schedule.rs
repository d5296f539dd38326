//! The schedule queue: accepted operations on their way to the log.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::Operation;

/// How long something may be on its way.
const WHILE: Duration = Duration::from_secs(1);

/// api-server's end.
#[async_trait]
pub trait Scheduler: Send + Sync {
    /// Returns once the operation is durable. Many calls may be under way at once.
    ///
    /// # Errors
    /// [`ScheduleError::Unconfirmed`] when it could not be confirmed in time; it may be
    /// durable all the same.
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError>;
}

/// Why an operation was not scheduled; the reason is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// It could not be confirmed as durable.
    #[error("{0}")]
    Unconfirmed(String),
    /// What it leads to was to be done at once, and failed: nothing has happened.
    #[error("{0}")]
    Undone(String),
}

/// events-writer's end: delivers in order, and again what was not settled.
#[async_trait]
pub trait ScheduleConsumer: Send {
    /// Waits for something to be there, then takes what has gathered, at most
    /// `max`. Dropping the future loses nothing.
    ///
    /// # Errors
    /// When the queue is gone. The next call tries to reach it again, and what
    /// was not settled is delivered again.
    async fn receive(&mut self, max: usize) -> Result<ScheduledBatch, StoreError>;

    /// Takes what has gathered, at most `max`, and does not wait for more: nothing, where
    /// there is nothing. What is still on its way counts as nothing after a while.
    ///
    /// # Errors
    /// Those of [`ScheduleConsumer::receive`].
    async fn receive_now(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        let received = tokio::time::timeout(WHILE, self.receive(max)).await;
        received.unwrap_or_else(|_| Ok(ScheduledBatch::default()))
    }

    /// Puts a message that nobody can read where an operator finds it, durably.
    ///
    /// # Errors
    /// When it could not be confirmed as durable.
    async fn park(&mut self, message: &Unreadable) -> Result<(), StoreError>;

    /// Gives up all that has been received so far: it is in the log, or parked.
    ///
    /// # Errors
    /// When the queue may not have heard of it; it is then delivered again.
    async fn settle(&mut self) -> Result<(), StoreError>;
}

/// What had gathered in the queue.
#[derive(Clone, Debug, Default)]
pub struct ScheduledBatch {
    /// In the order of the queue.
    pub operations: Vec<Operation>,
    /// What was no operation.
    pub unreadable: Vec<Unreadable>,
    /// Dead letters among the operations.
    pub dead_letters: DeadLetters,
}

/// Operations that the queue's server had removed from the queue, and that have come back.
#[derive(Clone, Debug, Default)]
pub struct DeadLetters {
    /// Their places in the batch.
    pub indexes: Vec<usize>,
    /// Reason why the last of them was removed, in the server's words.
    pub reason: String,
}

/// A message that is no operation.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// As it came.
    pub bytes: Vec<u8>,
    /// What is wrong with it.
    pub reason: String,
}
