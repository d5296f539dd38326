//! Rules for unreadable messages in the schedule queue. A rule takes an empty queue, its counter,
//! and a function that publishes raw bytes.

use std::sync::Arc;

use bakehouse_engine::ports::{Backlog, ScheduleConsumer};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::backlog::settles_at;
use super::schedule::Queue;
use crate::operations::many;

/// Queue under test, with an unreadable message.
pub struct UnreadableQueue {
    /// Both ends of the queue.
    pub queue: Queue,
    /// Counter of waiting and unreadable messages.
    pub backlog: Arc<dyn Backlog>,
    /// Publishes raw bytes to the queue.
    pub put: Box<dyn Fn(Vec<u8>) -> BoxFuture<'static, ()> + Send + Sync>,
    /// Message that is not an operation.
    pub message: Vec<u8>,
}

/// Generates the suite's tests: `unreadable_suite!(name, async { UnreadableQueue { … } })`.
#[macro_export]
macro_rules! unreadable_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            unreadable,
            $make,
            [an_unreadable_message_is_redelivered_until_it_is_parked_and_settled]
        );
    };
}

/// Receives `count` messages: the identities of operations, in order, and the bytes and reasons of
/// unreadable messages.
async fn take(
    consumer: &mut dyn ScheduleConsumer,
    count: usize,
) -> (Vec<Uuid>, Vec<(Vec<u8>, String)>) {
    let (mut operations, mut unreadable) = (Vec::new(), Vec::new());
    while operations.len() + unreadable.len() < count {
        let batch = consumer.receive(9).await.unwrap();
        operations.extend(batch.operations.iter().map(|one| one.operation_id));
        let messages = batch.unreadable.into_iter();
        unreadable.extend(messages.map(|one| (one.bytes, one.reason)));
    }
    (operations, unreadable)
}

/// Operations before and after an unreadable message arrive as usual; the message is redelivered
/// until it is parked and settled.
pub async fn an_unreadable_message_is_redelivered_until_it_is_parked_and_settled(
    setup: UnreadableQueue,
) {
    let (scheduler, consumers) = &setup.queue;
    let operations = many("a", 3);
    let ids: Vec<Uuid> = operations.iter().map(|one| one.operation_id).collect();
    scheduler.schedule(&operations[0]).await.unwrap();
    (setup.put)(setup.message.clone()).await;
    scheduler.schedule(&operations[1]).await.unwrap();
    for _ in 0..2 {
        let mut consumer = consumers();
        let (received, unreadable) = take(consumer.as_mut(), 3).await;
        assert_eq!(received, ids[..2]);
        assert_eq!(unreadable.len(), 1);
        assert_eq!(unreadable[0].0, setup.message);
        assert!(!unreadable[0].1.is_empty());
    }
    let mut consumer = consumers();
    loop {
        let batch = consumer.receive(9).await.unwrap();
        for message in &batch.unreadable {
            consumer.park(message).await.unwrap();
        }
        if batch
            .operations
            .iter()
            .any(|one| one.operation_id == ids[1])
        {
            break;
        }
    }
    consumer.settle().await.unwrap();
    drop(consumer);
    let mut consumer = consumers();
    scheduler.schedule(&operations[2]).await.unwrap();
    let (received, unreadable) = take(consumer.as_mut(), 1).await;
    assert_eq!((received, unreadable), (vec![ids[2]], Vec::new()));
    consumer.settle().await.unwrap();
    settles_at(setup.backlog.as_ref(), (0, 1)).await;
}
