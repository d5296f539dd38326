//! Schedule queue in memory.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_engine::Operation;
use bakehouse_engine::ports::{
    Backlog, ScheduleConsumer, ScheduleError, ScheduledBatch, Scheduler, StoreError,
    UnreadableMessage, Waiting,
};
use tokio::sync::Notify;

use crate::lock;

#[derive(Default)]
struct Queue {
    waiting: Mutex<VecDeque<Operation>>,
    parked: Mutex<Vec<UnreadableMessage>>,
    arrived: Notify,
}

/// Sending end of the queue, used by api-server; clones share the queue.
#[derive(Clone)]
pub struct MemoryScheduler(Arc<Queue>);

/// Receiving end of the queue, used by events-writer; operations that it has not settled when it is
/// dropped go to the next one.
pub struct MemoryConsumer {
    queue: Arc<Queue>,
    /// Number of operations that were received and not settled yet.
    unsettled: usize,
}

/// Creates a queue; returns its two ends.
#[must_use]
pub fn schedule_queue() -> (MemoryScheduler, MemoryConsumer) {
    let queue = Arc::<Queue>::default();
    let consumer = MemoryConsumer {
        queue: queue.clone(),
        unsettled: 0,
    };
    (MemoryScheduler(queue), consumer)
}

impl MemoryScheduler {
    /// Returns another consumer of the same queue, as after a restart.
    #[must_use]
    pub fn consumer(&self) -> MemoryConsumer {
        MemoryConsumer {
            queue: self.0.clone(),
            unsettled: 0,
        }
    }
}

#[async_trait]
impl Backlog for MemoryScheduler {
    async fn waiting(&self) -> Result<Waiting, StoreError> {
        let waiting = lock(&self.0.waiting);
        Ok(Waiting {
            operations: waiting.len() as u64,
            oldest: waiting.front().map(|operation| operation.accepted_at),
            unreadable: lock(&self.0.parked).len() as u64,
            ..Waiting::default()
        })
    }
}

#[async_trait]
impl Scheduler for MemoryScheduler {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        lock(&self.0.waiting).push_back(operation.clone());
        self.0.arrived.notify_one();
        Ok(())
    }
}

#[async_trait]
impl ScheduleConsumer for MemoryConsumer {
    async fn receive(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        loop {
            let operations: Vec<_> = {
                let waiting = lock(&self.queue.waiting);
                waiting
                    .iter()
                    .skip(self.unsettled)
                    .take(max)
                    .cloned()
                    .collect()
            };
            if !operations.is_empty() {
                self.unsettled += operations.len();
                return Ok(ScheduledBatch {
                    operations,
                    ..ScheduledBatch::default()
                });
            }
            self.queue.arrived.notified().await;
        }
    }

    async fn park(&mut self, message: &UnreadableMessage) -> Result<(), StoreError> {
        lock(&self.queue.parked).push(message.clone());
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        lock(&self.queue.waiting).drain(..self.unsettled);
        self.unsettled = 0;
        Ok(())
    }
}
