//! Rules for counters of the schedule queue. A rule takes the queue and its counter.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::{Backlog, UnreadableMessage, Waiting};

use super::schedule::Queue;
use crate::operations::many;

/// Queue under test, with its counter.
pub type Counted = (Queue, Arc<dyn Backlog>);

/// Generates the suite's tests: `backlog_suite!(name, async { (queue, backlog) })`.
#[macro_export]
macro_rules! backlog_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            backlog,
            $make,
            [waiting_and_unreadable_messages_are_counted]
        );
    };
}

/// Waits until the queue reports these numbers of operations and unreadable messages; counters may
/// lag behind.
pub(super) async fn settles_at(backlog: &dyn Backlog, expected: (u64, u64)) {
    let mut found = Waiting::default();
    for _ in 0..200 {
        found = backlog.waiting().await.unwrap();
        if (found.operations, found.unreadable) == expected {
            assert_eq!(found.lost, 0);
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("expected {expected:?}, found {found:?}");
}

/// Operations count until they are settled; parked unreadable messages count permanently.
pub async fn waiting_and_unreadable_messages_are_counted(
    ((scheduler, consumers), backlog): Counted,
) {
    settles_at(backlog.as_ref(), (0, 0)).await;
    for operation in many("a", 3) {
        scheduler.schedule(&operation).await.unwrap();
    }
    settles_at(backlog.as_ref(), (3, 0)).await;
    let mut consumer = consumers();
    let mut taken = 0;
    while taken < 3 {
        taken += consumer.receive(9).await.unwrap().operations.len();
    }
    let message = UnreadableMessage {
        bytes: b"what?".to_vec(),
        reason: "no operation".into(),
    };
    consumer.park(&message).await.unwrap();
    consumer.settle().await.unwrap();
    settles_at(backlog.as_ref(), (0, 1)).await;
}
