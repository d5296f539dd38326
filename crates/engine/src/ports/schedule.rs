//! The schedule queue: accepted operations that are not in the log yet.

use std::time::Duration;

use async_trait::async_trait;

use super::StoreError;
use crate::Operation;

/// Timeout of [`ScheduleConsumer::receive_now`].
const RECEIVE_NOW_TIMEOUT: Duration = Duration::from_secs(1);

/// Producer side of the schedule queue, for api-server.
#[async_trait]
pub trait Scheduler: Send + Sync {
    /// Queues an operation. Returns once it is durable. Calls may run concurrently.
    ///
    /// # Errors
    /// [`ScheduleError::Unconfirmed`] when durability could not be confirmed in time; the operation
    /// may be durable nevertheless. [`ScheduleError::Undone`] when it was rolled back.
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError>;
}

/// Error of scheduling an operation. The reason is for log lines.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Durability could not be confirmed.
    #[error("{0}")]
    Unconfirmed(String),
    /// The operation was executed in the same transaction, which failed and was rolled back.
    #[error("{0}")]
    Undone(String),
}

/// Consumer side of the schedule queue, for events-writer. Delivers messages in order, and delivers
/// messages again that were not acknowledged.
#[async_trait]
pub trait ScheduleConsumer: Send {
    /// Waits for messages, then returns those that are available, at most `max`. Cancel-safe.
    ///
    /// # Errors
    /// When the queue is unavailable. The next call reconnects, and messages that were not
    /// acknowledged are delivered again.
    async fn receive(&mut self, max: usize) -> Result<ScheduledBatch, StoreError>;

    /// Returns the messages that are available, at most `max`, and an empty batch if there are
    /// none. The default waits up to one second for messages in transit.
    ///
    /// # Errors
    /// When the queue is unavailable, as for [`ScheduleConsumer::receive`].
    async fn receive_now(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        let received = tokio::time::timeout(RECEIVE_NOW_TIMEOUT, self.receive(max)).await;
        received.unwrap_or_else(|_| Ok(ScheduledBatch::default()))
    }

    /// Parks an unreadable message durably, where an operator can inspect it.
    ///
    /// # Errors
    /// When durability could not be confirmed.
    async fn park(&mut self, message: &UnreadableMessage) -> Result<(), StoreError>;

    /// Acknowledges all messages received so far, which are now in the log or parked.
    ///
    /// # Errors
    /// When the queue may not have received the acknowledgement; the messages are then delivered
    /// again.
    async fn settle(&mut self) -> Result<(), StoreError>;
}

/// Messages received from the queue.
#[derive(Clone, Debug, Default)]
pub struct ScheduledBatch {
    /// Operations, in the order of the queue.
    pub operations: Vec<Operation>,
    /// Messages that are not operations.
    pub unreadable: Vec<UnreadableMessage>,
    /// Dead letters among the operations.
    pub dead_letters: DeadLetters,
}

/// Operations that the queue's server had removed from the queue and that were received again.
#[derive(Clone, Debug, Default)]
pub struct DeadLetters {
    /// Indexes of the operations in the batch.
    pub indexes: Vec<usize>,
    /// Reason of the last removal, as given by the server.
    pub reason: String,
}

/// A message that is not an operation.
#[derive(Clone, Debug)]
pub struct UnreadableMessage {
    /// Content, unchanged.
    pub bytes: Vec<u8>,
    /// Reason why it cannot be read.
    pub reason: String,
}
