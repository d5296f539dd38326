//! Rules for messages in the schedule queue that are no operations. A rule takes an empty
//! queue, what counts it, and a way to put bytes into it.

use std::sync::Arc;

use bakehouse_engine::ports::{Backlog, ScheduleConsumer};
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::backlog::settles_at;
use super::schedule::Queue;
use crate::operations::many;

/// The queue under test.
pub struct Mixed {
    /// Its two ends.
    pub queue: Queue,
    /// Counter of waiting and unreadable messages.
    pub backlog: Arc<dyn Backlog>,
    /// Puts the message into it.
    pub put: Box<dyn Fn(Vec<u8>) -> BoxFuture<'static, ()> + Send + Sync>,
    /// A message that is no operation.
    pub message: Vec<u8>,
}

/// Writes the suite's tests: `unreadable_suite!(name, async { Mixed { … } })`.
#[macro_export]
macro_rules! unreadable_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            unreadable,
            $make,
            [what_is_no_operation_is_told_apart_until_it_is_parked_and_settled]
        );
    };
}

/// Takes what there is until so much has come: identities in order, and bytes as they came.
async fn take(
    consumer: &mut dyn ScheduleConsumer,
    count: usize,
) -> (Vec<Uuid>, Vec<(Vec<u8>, String)>) {
    let (mut operations, mut unreadable) = (Vec::new(), Vec::new());
    while operations.len() + unreadable.len() < count {
        let batch = consumer.receive(9).await.unwrap();
        operations.extend(batch.operations.iter().map(|one| one.operation_id));
        let told = batch.unreadable.into_iter();
        unreadable.extend(told.map(|one| (one.bytes, one.reason)));
    }
    (operations, unreadable)
}

/// Operations before and after an unreadable message arrive as usual.
pub async fn what_is_no_operation_is_told_apart_until_it_is_parked_and_settled(mixed: Mixed) {
    let (scheduler, consumers) = &mixed.queue;
    let operations = many("a", 3);
    let ids: Vec<Uuid> = operations.iter().map(|one| one.operation_id).collect();
    scheduler.schedule(&operations[0]).await.unwrap();
    (mixed.put)(mixed.message.clone()).await;
    scheduler.schedule(&operations[1]).await.unwrap();
    for _ in 0..2 {
        let mut consumer = consumers();
        let (received, unreadable) = take(consumer.as_mut(), 3).await;
        assert_eq!(received, ids[..2]);
        assert_eq!(unreadable.len(), 1);
        assert_eq!(unreadable[0].0, mixed.message);
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
    settles_at(mixed.backlog.as_ref(), (0, 1)).await;
}
