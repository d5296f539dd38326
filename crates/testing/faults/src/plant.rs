//! Planting of a bug around ports, and around the dependencies of the stages.

use std::sync::Arc;

use bakehouse_engine::ports::{
    EventLog, Leases, Notices, Notifications, PresentationStore, RowStore, ScheduleConsumer,
    Scheduler, SourceStore,
};
use bakehouse_engine::stages::baker::BakerDeps;
use bakehouse_engine::stages::manager::ManagerDeps;
use bakehouse_engine::stages::writer::WriterDeps;

use crate::bug::Bug;
use crate::intercept::Intercepted;
use crate::mutants::{
    CheckpointBeforeDocuments, CheckpointBeforeRows, DedupWindow, FaultyQueue, FaultyScheduler,
    LostNotices, NoFence, NoRevision, SettledBeforeSent, SharedLeases,
};

/// Ports and dependencies that a bug can be planted in.
pub trait Plant {
    /// Plants the bug. A bug that does not concern them changes nothing.
    #[must_use]
    fn plant(self, bug: Bug) -> Self;
}

/// Plants a bug, if there is one.
#[must_use]
pub fn plant<T: Plant>(deps: T, bug: Option<Bug>) -> T {
    match bug {
        Some(bug) => deps.plant(bug),
        None => deps,
    }
}

/// Plants the bug that the environment names, if it names one.
///
/// # Panics
/// If the environment names an unknown bug.
#[must_use]
pub fn plant_from_environment<T: Plant>(deps: T) -> T {
    plant(deps, Bug::from_environment())
}

impl Plant for Arc<dyn EventLog> {
    fn plant(self, bug: Bug) -> Self {
        match bug {
            Bug::DedupWindow => Intercepted::with(self, DedupWindow::default()),
            _ => self,
        }
    }
}

impl Plant for Arc<dyn SourceStore> {
    fn plant(self, bug: Bug) -> Self {
        match bug {
            Bug::NoFence | Bug::TwoLeaders => Intercepted::with(self, NoFence),
            _ => self,
        }
    }
}

impl Plant for Arc<dyn PresentationStore> {
    fn plant(self, bug: Bug) -> Self {
        match bug {
            Bug::CheckpointBeforeDocuments => Intercepted::with(self, CheckpointBeforeDocuments),
            _ => self,
        }
    }
}

impl Plant for Arc<dyn RowStore> {
    fn plant(self, bug: Bug) -> Self {
        match bug {
            Bug::CheckpointBeforeRows => Intercepted::with(self, CheckpointBeforeRows),
            Bug::NoRevision => Intercepted::with(self, NoRevision),
            _ => self,
        }
    }
}

impl Plant for Arc<dyn Leases> {
    fn plant(self, bug: Bug) -> Self {
        match bug {
            Bug::TwoLeaders => Intercepted::with(self, SharedLeases),
            _ => self,
        }
    }
}

impl Plant for Arc<dyn Notifications> {
    fn plant(self, bug: Bug) -> Self {
        match bug {
            Bug::SettledBeforeSent => Intercepted::with(self, SettledBeforeSent),
            _ => self,
        }
    }
}

impl Plant for Arc<dyn Notices> {
    fn plant(self, bug: Bug) -> Self {
        match bug {
            Bug::LostWakeUp => Intercepted::with(self, LostNotices::default()),
            _ => self,
        }
    }
}

impl Plant for Arc<dyn Scheduler> {
    fn plant(self, bug: Bug) -> Self {
        Arc::new(FaultyScheduler { inner: self, bug })
    }
}

impl Plant for Box<dyn ScheduleConsumer> {
    fn plant(self, bug: Bug) -> Self {
        Box::new(FaultyQueue { inner: self, bug })
    }
}

impl Plant for WriterDeps {
    fn plant(self, bug: Bug) -> Self {
        Self {
            queue: self.queue.plant(bug),
            log: self.log.plant(bug),
            notices: self.notices.plant(bug),
        }
    }
}

impl Plant for ManagerDeps {
    fn plant(self, bug: Bug) -> Self {
        Self {
            source: self.source.plant(bug),
            leases: self.leases.plant(bug),
            notices: self.notices.plant(bug),
            ..self
        }
    }
}

impl Plant for BakerDeps {
    fn plant(self, bug: Bug) -> Self {
        Self {
            presentation: self.presentation.plant(bug),
            leases: self.leases.plant(bug),
            notices: self.notices.plant(bug),
            ..self
        }
    }
}
