//! The schedule queue keeps an operation until the log has it, and an unreadable message until it
//! is parked.
//!
//! Time is virtual, so waits cost nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::Shutdown;
use bakehouse_engine::ports::{
    Backlog, EventLog, ScheduleConsumer, ScheduledBatch, Scheduler, StoreError, UnreadableMessage,
};
use bakehouse_engine::stages::writer::{self, WriterDeps, WriterSettings};
use bakehouse_faults::{Faults, Flaky};
use bakehouse_memory::{InProcessNotices, MemoryLog, schedule_queue};
use bakehouse_testkit::operations::many;

/// Runs a writer for `time`, and then shuts it down.
async fn run_writer(queue: Box<dyn ScheduleConsumer>, log: Arc<dyn EventLog>, time: Duration) {
    let deps = WriterDeps {
        queue,
        log,
        notices: Arc::new(InProcessNotices::default()),
    };
    let shutdown = Shutdown::new();
    let settings = WriterSettings { max_batch: 10 };
    let running = tokio::spawn(writer::run(deps, settings, shutdown.clone()));
    tokio::time::sleep(time).await;
    shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(60), running).await;
    ended.expect("it ends").expect("in order");
}

#[tokio::test(start_paused = true)]
async fn operations_stay_in_the_queue_until_the_log_has_them() {
    let (scheduler, consumer) = schedule_queue();
    for operation in many("a", 3) {
        scheduler.schedule(&operation).await.expect("scheduled");
    }
    let log = MemoryLog::default();
    let failing: Arc<dyn EventLog> = Arc::new(log.clone());
    let failing = Flaky::new(failing, &Faults::new(1, 1.0));
    run_writer(Box::new(consumer), failing, Duration::from_secs(5)).await;
    let backlog = scheduler.waiting().await.expect("memory answers");
    assert_eq!(backlog.operations, 3);
    // The next writer receives them; the log ignores those that it has.
    let next = Box::new(scheduler.consumer());
    run_writer(next, Arc::new(log.clone()), Duration::from_secs(5)).await;
    assert_eq!(log.head().await.expect("memory answers"), 3);
    let backlog = scheduler.waiting().await.expect("memory answers");
    assert_eq!(backlog.operations, 0);
}

/// Queue with one unreadable message, which cannot be parked at first.
struct FailingPark {
    calls: Arc<Mutex<Vec<&'static str>>>,
    is_received: bool,
    failures: usize,
}

impl FailingPark {
    fn note(&self, call: &'static str) {
        self.calls.lock().expect("no panic").push(call);
    }
}

#[async_trait]
impl ScheduleConsumer for FailingPark {
    async fn receive(&mut self, _: usize) -> Result<ScheduledBatch, StoreError> {
        if self.is_received {
            std::future::pending::<()>().await;
        }
        self.is_received = true;
        let unreadable = UnreadableMessage {
            bytes: b"nonsense".to_vec(),
            reason: "not JSON".into(),
        };
        Ok(ScheduledBatch {
            operations: many("a", 1),
            unreadable: vec![unreadable],
            ..ScheduledBatch::default()
        })
    }

    async fn park(&mut self, message: &UnreadableMessage) -> Result<(), StoreError> {
        assert_eq!(message.bytes, b"nonsense");
        if self.failures > 0 {
            self.failures -= 1;
            self.note("not parked");
            return Err(StoreError::unavailable("cannot park"));
        }
        self.note("parked");
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), StoreError> {
        self.note("settled");
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn an_unreadable_message_is_settled_after_it_is_parked() {
    let calls = Arc::<Mutex<Vec<&'static str>>>::default();
    let queue = FailingPark {
        calls: calls.clone(),
        is_received: false,
        failures: 2,
    };
    let log = MemoryLog::default();
    run_writer(
        Box::new(queue),
        Arc::new(log.clone()),
        Duration::from_secs(60),
    )
    .await;
    let calls = calls.lock().expect("no panic").clone();
    assert_eq!(calls, ["not parked", "not parked", "parked", "settled"]);
    assert_eq!(log.head().await.expect("memory answers"), 1);
}
