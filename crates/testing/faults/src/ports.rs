//! Calls of the ports that decorators are put around, one list for each port.
//!
//! Two ports are not listed: `Scheduler` has one call, and `ScheduleConsumer` takes `&mut self`.
//! A decorator of those implements the port itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::handlers::{Generation, Needs};
use bakehouse_engine::ports::{
    Appended, Baking, Checkpoint, Claim, EventLog, Execution, Feed, FeedSource, HandlerCommit,
    Head, Lease, Leases, Loaded, Notice, NoticeStream, Notices, Notifications, PresentationStore,
    Progress, Rebuild, Rebuilds, Recording, Registration, RowStore, Settled, ShadowStores,
    SourceStore, StoreError, SummaryQuery, Topic,
};
use bakehouse_engine::{
    EntityRecord, Frame, LogEntry, Notification, Operation, Position, Timestamp,
};
use uuid::Uuid;

use crate::intercept::{Intercepted, Interceptor, intercept};

intercept! {
    EventLog => dyn EventLog;
    /// Hooks of the log.
    trait EventLogHooks: Interceptor {
        around append_at(operations: &[Operation], now: Timestamp)
            -> Result<Vec<Appended>, StoreError>;
        around read(after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError>;
        around history(entity_id: &str, after: Position, up_to: Position)
            -> Result<Vec<LogEntry>, StoreError>;
        around find(operation_id: Uuid) -> Result<Option<LogEntry>, StoreError>;
        around summaries(query: &SummaryQuery<'_>) -> Result<Vec<LogEntry>, StoreError>;
        around executed(entity_id: &str, after: Position, up_to: Position, limit: usize)
            -> Result<Vec<LogEntry>, StoreError>;
        around ever_parked(entity_ids: &[&str]) -> Result<Vec<LogEntry>, StoreError>;
        around parked(after: Position, limit: usize) -> Result<Vec<LogEntry>, StoreError>;
        around head() -> Result<Position, StoreError>;
        around epoch() -> Result<String, StoreError>;
    }
}

intercept! {
    Progress => dyn SourceStore;
    /// Hooks of the progress of the source state.
    trait ProgressHooks: Interceptor {
        around checkpoint() -> Result<Checkpoint, StoreError>;
        around snapshots(ids: &[&str], up_to: Position)
            -> Result<HashMap<String, EntityRecord>, StoreError>;
    }
}

intercept! {
    SourceStore => dyn SourceStore;
    /// Hooks of the source state.
    trait SourceStoreHooks: ProgressHooks {
        around load(ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError>;
        around commit(execution: &Execution) -> Result<(), StoreError>;
    }
}

intercept! {
    PresentationStore => dyn PresentationStore;
    /// Hooks of the presentation.
    trait PresentationStoreHooks: Interceptor {
        around open(epoch: &str) -> Result<Position, StoreError>;
        around commit(baking: &Baking) -> Result<(), StoreError>;
    }
}

intercept! {
    RowStore => dyn RowStore;
    /// Hooks of the rows of handlers.
    trait RowStoreHooks: Interceptor {
        around open(generation: &Generation, feed: &Feed<'_>, start: Position)
            -> Result<Position, StoreError>;
        around load(generation: &Generation, needs: &Needs) -> Result<Loaded, StoreError>;
        around commit(commit: &HandlerCommit) -> Result<(), StoreError>;
        around register(name: &str, version: u32) -> Result<Registration, StoreError>;
        around promote(generation: &Generation) -> Result<(), StoreError>;
    }
}

intercept! {
    FeedSource => dyn FeedSource;
    /// Hooks of a feed.
    trait FeedSourceHooks: Interceptor {
        around head() -> Result<Head, StoreError>;
        around frames(after: Position, limit: usize) -> Result<Vec<Frame>, StoreError>;
    }
    sync {
        is_live() -> bool;
    }
}

intercept! {
    Leases => dyn Leases;
    /// Hooks of leases.
    trait LeasesHooks: Interceptor {
        around acquire(name: &str, holder: &str, time_to_live: Duration)
            -> Result<Option<Lease>, StoreError>;
        around renew(name: &str, lease: &Lease, time_to_live: Duration)
            -> Result<bool, StoreError>;
        around release(name: &str, lease: &Lease) -> Result<(), StoreError>;
    }
}

intercept! {
    Rebuilds => dyn ShadowStores<S>;
    /// Hooks of the requests of rebuilds.
    trait RebuildsHooks<S>: Interceptor {
        around request() -> Result<Rebuild, StoreError>;
        around last() -> Result<Rebuild, StoreError>;
        around abandon(rebuild_id: u64, reason: &str) -> Result<(), StoreError>;
        around progress(rebuild_id: u64) -> Result<(Position, Position), StoreError>;
    }
}

intercept! {
    ShadowStores<S> => dyn ShadowStores<S>;
    /// Hooks of the stores of rebuilds.
    trait ShadowStoresHooks<S>: RebuildsHooks<S> {
        around shadow(rebuild_id: u64) -> Result<Arc<S>, StoreError>;
        around swap(rebuild_id: u64, at: Position) -> Result<(), StoreError>;
        around finish_swap() -> Result<(), StoreError>;
        around remove_obsolete() -> Result<bool, StoreError>;
    }
}

intercept! {
    Notifications => dyn Notifications;
    /// Hooks of the store of notifications.
    trait NotificationsHooks: Interceptor {
        around open(epoch: &str, start: Position) -> Result<Position, StoreError>;
        around record(recording: &Recording) -> Result<(), StoreError>;
        around take(lane: &str, claim: Claim) -> Result<Vec<Notification>, StoreError>;
        around settle(attempts: &[Settled]) -> Result<(), StoreError>;
        around of(entity_id: &str) -> Result<Vec<Notification>, StoreError>;
    }
}

intercept! {
    Notices => dyn Notices;
    /// Hooks of the notices between stages.
    trait NoticesHooks: Interceptor {
        pass publish(notice: Notice) -> ();
        pass subscribe(topic: Topic) -> Box<dyn NoticeStream>;
    }
}
