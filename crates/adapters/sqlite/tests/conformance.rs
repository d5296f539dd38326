//! Conformance of the SQLite store to the suites of all store ports.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::model::ids;
use bakehouse_engine::ports::Leases;
use bakehouse_sqlite::{OpenError, SqliteStore};
use bakehouse_testkit::conformance::holes::{LogWithHoles, Missing};
use bakehouse_testkit::conformance::inspect::InspectedStores;
use bakehouse_testkit::conformance::lost_answers::AllStores;
use bakehouse_testkit::conformance::presentation::FACETS;
use bakehouse_testkit::conformance::rebuilds::RebuildStores;
use bakehouse_testkit::conformance::reopening::Reopen;
use bakehouse_testkit::conformance::schedule::Consumers;
use bakehouse_testkit::conformance::units_of_work::UnitStores;
use bakehouse_testkit::conformance::unreadable::UnreadableQueue;
use bakehouse_testkit::operations::many;
use futures_util::future::BoxFuture;
use tempfile::TempDir;

/// Opens a store in a new folder below the build's folder for test data, which outlives the stores
/// that a suite gets.
fn fresh() -> SqliteStore {
    SqliteStore::open(&folder(), FACETS).expect("a fresh store opens")
}

/// Returns the path of a new folder.
fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(ids::fresh().to_string())
}

fn stores(store: &SqliteStore) -> AllStores {
    AllStores {
        log: store.log(),
        source: store.source(),
        presentation: store.presentation(),
        reader: store.reader(),
        notifications: store.notifications(),
        leases: store.leases(),
    }
}

/// Executes a statement on the database file, bypassing the store.
fn tamper(folder: &Path, statement: &str, value: impl rusqlite::ToSql) {
    let file = folder.join(bakehouse_sqlite::FILE_NAME);
    let database = rusqlite::Connection::open(file).expect("it opens");
    let changed = database.execute(statement, [value]);
    assert_eq!(changed.expect("executed"), 1);
}

bakehouse_testkit::lost_answers_suite!(lost_answers, async { stores(&fresh()) });

bakehouse_testkit::lost_answers_suite!(lost_answers_in_memory, async {
    stores(&SqliteStore::in_memory(FACETS).expect("memory"))
});

bakehouse_testkit::reopening_suite!(reopening, async {
    let folder = folder();
    let open = move || {
        let store = SqliteStore::open(&folder, FACETS).expect("it opens");
        Box::pin(async move { stores(&store) }) as BoxFuture<'static, AllStores>
    };
    Box::new(open) as Reopen
});

bakehouse_testkit::holes_suite!(holes, async {
    let folder = folder();
    let store = SqliteStore::open(&folder, FACETS).expect("a fresh store opens");
    let remove = move |missing| {
        let (table, position) = match missing {
            Missing::LogEntry(position) => ("events", position),
            Missing::Frame(position) => ("frames", position),
        };
        let statement = format!("DELETE FROM {table} WHERE position = ?1");
        tamper(&folder, &statement, i64::try_from(position).expect("small"));
        Box::pin(async {}) as BoxFuture<'static, ()>
    };
    LogWithHoles {
        log: store.log(),
        presentation: store.presentation(),
        reader: store.reader(),
        remove: Box::new(remove),
    }
});

bakehouse_testkit::unreadable_suite!(unreadable, async {
    let folder = folder();
    let store = SqliteStore::open(&folder, FACETS).expect("a fresh store opens");
    let (scheduler, backlog) = (store.scheduler(), store.backlog());
    let consumers: Consumers = Box::new(move || store.consumer());
    let put = move |bytes| {
        let text = String::from_utf8(bytes).expect("text");
        tamper(
            &folder,
            "INSERT INTO schedule (operation) VALUES (?1)",
            text,
        );
        Box::pin(async {}) as BoxFuture<'static, ()>
    };
    UnreadableQueue {
        queue: (scheduler, consumers),
        backlog,
        put: Box::new(put),
        message: br#"{"operation_id":"what?"}"#.to_vec(),
    }
});

fn unit_stores(store: SqliteStore) -> UnitStores {
    UnitStores {
        log: store.log(),
        source: store.source(),
        presentation: store.presentation(),
        reader: store.reader(),
        units: Arc::new(store),
    }
}

bakehouse_testkit::units_of_work_suite!(units, async { unit_stores(fresh()) });

bakehouse_testkit::units_of_work_suite!(units_in_memory, async {
    unit_stores(SqliteStore::in_memory(FACETS).expect("memory"))
});

bakehouse_testkit::event_log_suite!(event_log, async { fresh().log() });

bakehouse_testkit::source_suite!(source, async {
    let store = fresh();
    (store.log(), store.source())
});

bakehouse_testkit::presentation_suite!(presentation, async {
    let store = fresh();
    (store.presentation(), store.reader())
});

fn rebuilt(store: &SqliteStore) -> RebuildStores {
    RebuildStores {
        presentation: store.presentation(),
        reader: store.reader(),
        presentations: store.presentation_rebuilds(),
        log: store.log(),
        source: store.source(),
        sources: store.source_rebuilds(),
    }
}

bakehouse_testkit::rebuilds_suite!(rebuilds, async { rebuilt(&fresh()) });

bakehouse_testkit::rebuilds_suite!(rebuilds_in_memory, async {
    rebuilt(&SqliteStore::in_memory(FACETS).expect("memory"))
});

bakehouse_testkit::rows_suite!(rows, async {
    let store = fresh();
    (store.rows(), store.row_reader())
});

bakehouse_testkit::rows_suite!(rows_in_memory, async {
    let store = SqliteStore::in_memory(FACETS).expect("memory");
    (store.rows(), store.row_reader())
});

bakehouse_testkit::states_suite!(states, async {
    let store = fresh();
    (store.rows(), store.notifications())
});

bakehouse_testkit::leases_suite!(leases, async { fresh().leases() as Arc<dyn Leases> });

bakehouse_testkit::notifications_suite!(notifications, async { fresh().notifications() });

bakehouse_testkit::schedule_suite!(schedule, async {
    let store = fresh();
    let scheduler = store.scheduler();
    let consumers: Consumers = Box::new(move || store.consumer());
    (scheduler, consumers)
});

bakehouse_testkit::inspect_suite!(inspect, async {
    let store = fresh();
    InspectedStores {
        log: store.log(),
        source: store.source(),
        notifications: store.notifications(),
        presentation: store.presentation(),
        reader: store.reader(),
        source_inspector: store.source_inspector(),
        presentation_inspector: store.presentation_inspector(),
    }
});

bakehouse_testkit::backlog_suite!(backlog, async {
    let store = fresh();
    let (scheduler, backlog) = (store.scheduler(), store.backlog());
    let consumers: Consumers = Box::new(move || store.consumer());
    ((scheduler, consumers), backlog)
});

/// Covers an operation that is deleted between two others, and one at the end of the queue.
#[tokio::test]
async fn an_operation_deleted_from_the_queue_is_counted_as_lost() {
    let folder = TempDir::new().expect("a temporary folder");
    let store = SqliteStore::open(folder.path(), FACETS).expect("opens");
    let (scheduler, backlog) = (store.scheduler(), store.backlog());
    let mut consumer = store.consumer();
    let send = async |count| {
        for operation in many("a", count) {
            scheduler.schedule(&operation).await.expect("scheduled");
        }
    };
    send(1).await;
    assert_eq!(consumer.receive(9).await.expect("one").operations.len(), 1);
    consumer.settle().await.expect("settled");
    send(3).await;
    let delete = |which: &str| {
        let file = folder.path().join(bakehouse_sqlite::FILE_NAME);
        let database = rusqlite::Connection::open(file).expect("it opens");
        let deleted = database.execute(&format!("DELETE FROM schedule WHERE seq = {which}"), []);
        assert_eq!(deleted.expect("deleted"), 1);
    };
    delete("3");
    let found = backlog.waiting().await.expect("counted");
    assert_eq!((found.operations, found.lost), (2, 1));
    assert_eq!(consumer.receive(9).await.expect("two").operations.len(), 2);
    consumer.settle().await.expect("settled");
    let found = backlog.waiting().await.expect("counted");
    assert_eq!((found.operations, found.lost), (0, 1), "it stays recorded");
    send(1).await;
    delete("5");
    assert_eq!(backlog.waiting().await.expect("counted").lost, 2);
}

#[test]
fn a_folder_is_used_by_one_process_at_a_time() {
    let folder = TempDir::new().expect("a temporary folder");
    let first = SqliteStore::open(folder.path(), FACETS).expect("opens");
    assert!(matches!(
        SqliteStore::open(folder.path(), FACETS),
        Err(OpenError::InUse { .. })
    ));
    drop(first);
    assert!(SqliteStore::open(folder.path(), FACETS).is_ok());
}

/// Leases of an ended process are void: opening the store does not wait for their expiry.
#[tokio::test]
async fn opening_a_store_voids_the_leases_of_before() {
    let folder = TempDir::new().expect("a temporary folder");
    let ttl = Duration::from_secs(3_600);
    let mut epochs = Vec::new();
    for holder in ["one", "another"] {
        let store = SqliteStore::open(folder.path(), FACETS).expect("it opens");
        let lease = store.leases().acquire("work", holder, ttl).await;
        let lease = lease.expect("an answer").expect("the lease");
        epochs.push(lease.epoch);
        let third = store.leases().acquire("work", "third", ttl).await;
        assert_eq!(third, Ok(None));
    }
    assert_eq!(epochs, [1, 2]);
}
