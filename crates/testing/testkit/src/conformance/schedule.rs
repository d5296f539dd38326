//! Rules for schedule queues. A rule takes the sending end and a function that creates a consumer,
//! as events-writer does at each start.

use std::sync::Arc;

use bakehouse_engine::ports::{ScheduleConsumer, Scheduler, UnreadableMessage};
use uuid::Uuid;

use crate::operations::{many, operation};

/// Creates a consumer; the previous one must have been dropped.
pub type Consumers = Box<dyn Fn() -> Box<dyn ScheduleConsumer> + Send + Sync>;
/// Queue under test.
pub type Queue = (Arc<dyn Scheduler>, Consumers);

/// Generates the suite's tests: `schedule_suite!(name, async { (scheduler, consumers) })`.
#[macro_export]
macro_rules! schedule_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            schedule,
            $make,
            [
                operations_arrive_in_order_and_whole,
                unsettled_operations_are_redelivered_in_order,
                settled_operations_are_not_redelivered,
                receiving_waits_for_the_first_one,
                settling_twice_or_too_soon_loses_nothing,
                parking_leaves_the_others_as_they_are,
                large_operations_arrive_whole,
            ]
        );
    };
}

/// Receives exactly `count` operations in as many batches as needed; a batch is smaller if not all
/// operations have arrived yet.
async fn take(consumer: &mut dyn ScheduleConsumer, count: usize, max: usize) -> Vec<Uuid> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let wanted = max.min(count - taken.len());
        let batch = consumer.receive(wanted).await.unwrap();
        assert!(batch.operations.len() <= wanted && batch.unreadable.is_empty());
        taken.extend(
            batch
                .operations
                .iter()
                .map(|operation| operation.operation_id),
        );
    }
    taken
}

async fn send(scheduler: &dyn Scheduler, count: usize) -> Vec<Uuid> {
    let operations = many("a", count);
    for operation in &operations {
        scheduler.schedule(operation).await.unwrap();
    }
    operations
        .iter()
        .map(|operation| operation.operation_id)
        .collect()
}

/// Operations arrive in order and with all fields.
pub async fn operations_arrive_in_order_and_whole((scheduler, consumers): Queue) {
    let mut consumer = consumers();
    let sent = send(scheduler.as_ref(), 30).await;
    assert_eq!(take(consumer.as_mut(), 30, 7).await, sent);
    let one = many("b", 1).remove(0);
    scheduler.schedule(&one).await.unwrap();
    let got = consumer.receive(1).await.unwrap().operations.remove(0);
    assert_eq!(
        serde_json::to_string(&got).unwrap(),
        serde_json::to_string(&one).unwrap()
    );
}

/// A consumer that is dropped before it settles leaves its operations to the next one.
pub async fn unsettled_operations_are_redelivered_in_order((scheduler, consumers): Queue) {
    let mut consumer = consumers();
    let sent = send(scheduler.as_ref(), 20).await;
    assert_eq!(take(consumer.as_mut(), 8, 8).await, sent[..8]);
    consumer.settle().await.unwrap();
    assert_eq!(take(consumer.as_mut(), 6, 6).await, sent[8..14]);
    drop(consumer);
    let mut consumer = consumers();
    let again = take(consumer.as_mut(), 12, 100).await;
    assert_eq!(again, sent[8..]);
}

/// Settled operations are not delivered to the next consumer.
pub async fn settled_operations_are_not_redelivered((scheduler, consumers): Queue) {
    let mut consumer = consumers();
    let mut sent = send(scheduler.as_ref(), 5).await;
    take(consumer.as_mut(), 5, 100).await;
    consumer.settle().await.unwrap();
    drop(consumer);
    let mut consumer = consumers();
    sent = [sent.split_off(5), send(scheduler.as_ref(), 3).await].concat();
    assert_eq!(take(consumer.as_mut(), 3, 100).await, sent);
}

/// A cancelled wait for an empty queue loses nothing.
pub async fn receiving_waits_for_the_first_one((scheduler, consumers): Queue) {
    let mut consumer = consumers();
    for _ in 0..3 {
        let wait = std::time::Duration::from_millis(50);
        assert!(
            tokio::time::timeout(wait, consumer.receive(10))
                .await
                .is_err()
        );
    }
    let sent = send(scheduler.as_ref(), 1).await;
    assert_eq!(take(consumer.as_mut(), 1, 10).await, sent);
}

/// Settling twice, as after a lost answer, or before the first batch loses nothing.
pub async fn settling_twice_or_too_soon_loses_nothing((scheduler, consumers): Queue) {
    let mut consumer = consumers();
    // May fail if the consumer is not connected yet.
    let _ = consumer.settle().await;
    let sent = send(scheduler.as_ref(), 4).await;
    assert_eq!(take(consumer.as_mut(), 2, 2).await, sent[..2]);
    consumer.settle().await.unwrap();
    consumer.settle().await.unwrap();
    assert_eq!(take(consumer.as_mut(), 2, 2).await, sent[2..]);
    drop(consumer);
    let mut consumer = consumers();
    assert_eq!(take(consumer.as_mut(), 2, usize::MAX).await, sent[2..]);
    consumer.settle().await.unwrap();
    let rest = consumer.receive_now(9).await.unwrap();
    assert!(rest.operations.is_empty() && rest.unreadable.is_empty());
}

/// Parking an unreadable message does not affect the operations.
pub async fn parking_leaves_the_others_as_they_are((scheduler, consumers): Queue) {
    let mut consumer = consumers();
    let sent = send(scheduler.as_ref(), 3).await;
    assert_eq!(take(consumer.as_mut(), 1, 1).await, sent[..1]);
    let message = UnreadableMessage {
        bytes: vec![0xff, 0, b'x'],
        reason: "no operation".into(),
    };
    consumer.park(&message).await.unwrap();
    assert_eq!(take(consumer.as_mut(), 2, 9).await, sent[1..]);
    drop(consumer);
    let mut consumer = consumers();
    assert_eq!(take(consumer.as_mut(), 3, 9).await, sent);
    consumer.settle().await.unwrap();
}

/// Operations of the maximum size that api-server accepts, and larger ones, arrive complete.
pub async fn large_operations_arrive_whole((scheduler, consumers): Queue) {
    let mut consumer = consumers();
    let sent: Vec<_> = [3, 2_000_000, 5]
        .map(|size| operation("a", &"x".repeat(size)))
        .into();
    for operation in &sent {
        scheduler.schedule(operation).await.unwrap();
    }
    let mut received = Vec::new();
    while received.len() < sent.len() {
        received.extend(consumer.receive(9).await.unwrap().operations);
    }
    for (got, sent) in received.iter().zip(&sent) {
        assert_eq!(got.operation_id, sent.operation_id);
        assert!(got.payload.get() == sent.payload.get());
    }
}
