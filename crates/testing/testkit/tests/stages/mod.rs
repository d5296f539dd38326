//! Manager and baker of counters over stores in memory, without faults.
#![allow(dead_code, reason = "each test program needs a part of it")]

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::Shutdown;
use bakehouse_engine::handlers::own_feed::OwnFeed;
use bakehouse_engine::ports::{EventLog, FeedSource, PresentationReader, SourceStore};
use bakehouse_engine::stages::baker::{self, BakerDeps, BakerSettings};
use bakehouse_engine::stages::manager::{self, ManagerDeps, ManagerSettings};
use bakehouse_memory::{
    InProcessNotices, MemoryLeases, MemoryLog, MemoryPresentation, MemorySource,
};
use bakehouse_testkit::counter::{Command, Counter};
use bakehouse_testkit::operations::operation;

/// Validity of a lease.
pub(crate) const LEASE_TTL: Duration = Duration::from_millis(300);
/// Interval at which stages poll without a notice.
pub(crate) const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// Stores of the stages, and their shutdown signal.
pub(crate) struct Stages {
    pub(crate) log: MemoryLog,
    pub(crate) source: Arc<dyn SourceStore>,
    pub(crate) presentation: MemoryPresentation,
    pub(crate) leases: MemoryLeases,
    pub(crate) notices: Arc<InProcessNotices>,
    pub(crate) shutdown: Shutdown,
}

impl Drop for Stages {
    fn drop(&mut self) {
        self.shutdown.cancel();
    }
}

impl Stages {
    /// Creates empty stores without running stages.
    pub(crate) fn new() -> Self {
        let log = MemoryLog::default();
        Self {
            source: Arc::new(MemorySource::new(log.clone())),
            log,
            presentation: MemoryPresentation::default(),
            leases: MemoryLeases::default(),
            notices: Arc::default(),
            shutdown: Shutdown::new(),
        }
    }

    /// Starts the manager.
    pub(crate) fn manage(&self) {
        let deps = ManagerDeps {
            log: Arc::new(self.log.clone()),
            source: self.source.clone(),
            leases: Arc::new(self.leases.clone()),
            notices: self.notices.clone(),
            rebuilds: None,
        };
        let settings = ManagerSettings {
            instance: "one".into(),
            poll_interval: POLL_INTERVAL,
            max_batch: 100,
            lease_ttl: LEASE_TTL,
        };
        let running = manager::run::<Counter>(deps, settings, self.shutdown.clone());
        tokio::spawn(running);
    }

    /// Starts the baker with batches of at most `max_batch` entries.
    pub(crate) fn bake(&self, max_batch: usize) {
        let deps = BakerDeps {
            log: Arc::new(self.log.clone()),
            source: self.source.clone(),
            presentation: Arc::new(self.presentation.clone()),
            leases: Arc::new(self.leases.clone()),
            notices: self.notices.clone(),
            rebuilds: None,
        };
        let settings = BakerSettings {
            instance: "one".into(),
            poll_interval: POLL_INTERVAL,
            max_batch,
            lease_ttl: LEASE_TTL,
        };
        let running = baker::run::<Counter>(deps, settings, self.shutdown.clone());
        tokio::spawn(running);
    }

    /// Appends `times` additions of 1 to a counter.
    pub(crate) async fn add(&self, id: &str, times: usize) {
        let add = || operation(id, &Command::Add(1));
        let operations: Vec<_> = std::iter::repeat_with(add).take(times).collect();
        self.log.append(&operations).await.expect("memory answers");
    }

    /// Waits until everything in the log has been executed.
    pub(crate) async fn executed(&self) {
        let head = self.log.head().await.expect("memory answers");
        let position = async || {
            let checkpoint = self.source.checkpoint().await;
            checkpoint.expect("memory answers").position
        };
        for _ in 0..1_000 {
            if position().await == head {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        panic!("the log is executed in time");
    }

    /// Waits until everything in the log has been baked.
    pub(crate) async fn baked(&self) {
        let head = self.log.head().await.expect("memory answers");
        for _ in 0..1_000 {
            let baked = self.presentation.head().await;
            if baked.is_ok_and(|baked| baked.position == head) {
                return;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        panic!("the log is baked in time");
    }

    /// Returns the feed of the counters.
    pub(crate) fn feed(&self) -> Arc<dyn FeedSource> {
        Arc::new(OwnFeed {
            log: Arc::new(self.log.clone()),
            progress: self.source.clone(),
            presentation: Arc::new(self.presentation.clone()),
        })
    }
}
