//! The schedule queue of a broker: unacknowledged operations are delivered again.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::Operation;
use bakehouse_engine::ports::{
    ScheduleConsumer, ScheduleError, ScheduledBatch, Scheduler, StoreError, UnreadableMessage,
};
use bakehouse_faults::{Bug, Faults, Interceptor};

/// Interval at which a waiting consumer checks the queue.
const POLL_INTERVAL: Duration = Duration::from_millis(5);

/// The queue; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Queue(Arc<Mutex<VecDeque<Operation>>>);

impl Queue {
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Operation>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sending end of the queue, with faults.
pub(crate) struct QueueSender {
    pub(crate) queue: Queue,
    pub(crate) faults: Faults,
    pub(crate) bug: Option<Bug>,
}

#[async_trait]
impl Scheduler for QueueSender {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        if self.bug == Some(Bug::SilentDrop) && self.faults.occurs(0.02) {
            return Ok(());
        }
        let push = async {
            self.queue.lock().push_back(operation.clone());
            Ok::<_, StoreError>(())
        };
        match self.faults.around(push).await {
            Err(_) if self.bug == Some(Bug::IgnoredRefusal) => Ok(()),
            outcome => outcome.map_err(|error| ScheduleError::Unconfirmed(error.to_string())),
        }
    }
}

/// Consumer of the queue for events-writer, with faults. A new consumer starts with all
/// unacknowledged operations.
pub(crate) struct QueueConsumer {
    queue: Queue,
    faults: Faults,
    bug: Option<Bug>,
    taken: usize,
}

impl QueueConsumer {
    pub(crate) fn new(queue: &Queue, faults: &Faults, bug: Option<Bug>) -> Self {
        Self {
            queue: queue.clone(),
            faults: faults.clone(),
            bug,
            taken: 0,
        }
    }
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        if self.bug == Some(Bug::RequeueAtTheEnd) {
            let mut queue = self.queue.lock();
            let taken = self.taken.min(queue.len());
            queue.rotate_left(taken);
        }
    }
}

#[async_trait]
impl ScheduleConsumer for QueueConsumer {
    async fn receive(&mut self, max: usize) -> Result<ScheduledBatch, StoreError> {
        loop {
            let operations: Vec<Operation> = {
                let mut queue = self.queue.lock();
                if self.bug == Some(Bug::AckBeforeInsert) {
                    let count = max.min(queue.len());
                    queue.drain(..count).collect()
                } else {
                    queue.iter().skip(self.taken).take(max).cloned().collect()
                }
            };
            if !operations.is_empty() {
                if self.bug != Some(Bug::AckBeforeInsert) {
                    self.taken += operations.len();
                }
                return Ok(ScheduledBatch {
                    operations,
                    ..ScheduledBatch::default()
                });
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    async fn park(&mut self, _: &UnreadableMessage) -> Result<(), StoreError> {
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        let (queue, taken) = (self.queue.clone(), std::mem::take(&mut self.taken));
        let settle = async move {
            queue.lock().drain(..taken);
            Ok::<_, StoreError>(())
        };
        let settled = self.faults.around(settle).await;
        if settled.is_err() {
            // As after a lost connection: the operations are acknowledged or delivered again.
            self.taken = 0;
        }
        settled
    }
}
