//! Conformance of the MongoDB adapter to every store port, on a real replica set.

use std::future::ready;
use std::time::Duration;

use bakehouse_dev_servers::shared::mongodb_uri;
use bakehouse_engine::Shutdown;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::Appended;
use bakehouse_mongodb::{PresentationDatabase, Settings, SourceDatabase};
use bakehouse_testkit::conformance::holes::{LogWithHoles, Missing};
use bakehouse_testkit::conformance::inspect::InspectedStores;
use bakehouse_testkit::conformance::lost_answers::AllStores;
use bakehouse_testkit::conformance::presentation::FACETS;
use bakehouse_testkit::conformance::rebuilds::RebuildStores;
use bakehouse_testkit::conformance::reopening::Reopen;
use bakehouse_testkit::operations::many;
use futures_util::future::BoxFuture;
use mongodb::bson::{Document, doc};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, block_in_place};
use tokio::time::timeout;

/// Returns the settings of a database with a unique name.
fn settings() -> Settings {
    Settings {
        uri: mongodb_uri(&format!("t-{}", ids::fresh())),
        app_name: "conformance".into(),
        initiate_replica_set: false,
    }
}

async fn source() -> SourceDatabase {
    source_of(&settings()).await
}

async fn source_of(settings: &Settings) -> SourceDatabase {
    let database = SourceDatabase::new(settings, "counters")
        .await
        .expect("a valid URI");
    assert!(database.prepare(&Shutdown::new()).await);
    database
}

async fn presentation() -> PresentationDatabase {
    presentation_of(&settings()).await
}

async fn presentation_of(settings: &Settings) -> PresentationDatabase {
    let database = PresentationDatabase::new(settings, "counters", FACETS)
        .await
        .expect("a valid URI");
    assert!(database.prepare(&Shutdown::new()).await);
    database
}

async fn stores(settings: &(Settings, Settings)) -> AllStores {
    let source = source_of(&settings.0).await;
    let presentation = presentation_of(&settings.1).await;
    AllStores {
        log: source.log(),
        source: source.source(),
        notifications: source.notifications(),
        leases: source.leases(),
        presentation: presentation.presentation(),
        reader: presentation.reader(),
    }
}

bakehouse_testkit::lost_answers_suite!(lost_answers, async {
    stores(&(settings(), settings())).await
});

bakehouse_testkit::reopening_suite!(reopening, async {
    let settings = (settings(), settings());
    let open = move || {
        let opened = stores(&settings);
        let opened = block_in_place(|| Handle::current().block_on(opened));
        Box::pin(ready(opened)) as BoxFuture<'static, AllStores>
    };
    Box::new(open) as Reopen
});

/// Removes a document directly in the database, without the store.
async fn remove(uri: String, collection: &'static str, position: u64) {
    let client = mongodb::Client::with_uri_str(uri).await.expect("a client");
    let database = client.default_database().expect("a database");
    let rows = database.collection::<Document>(collection);
    let position = i64::try_from(position).expect("small");
    let removed = rows.delete_one(doc! { "_id": position }).await;
    assert_eq!(removed.expect("removed").deleted_count, 1);
}

bakehouse_testkit::holes_suite!(holes, async {
    let (of_source, of_presentation) = (settings(), settings());
    let source = source_of(&of_source).await;
    let presentation = presentation_of(&of_presentation).await;
    let remove = move |missing| -> BoxFuture<'static, ()> {
        match missing {
            Missing::LogEntry(at) => Box::pin(remove(of_source.uri.clone(), "events", at)),
            Missing::Frame(at) => Box::pin(remove(of_presentation.uri.clone(), "feed", at)),
        }
    };
    LogWithHoles {
        log: source.log(),
        presentation: presentation.presentation(),
        reader: presentation.reader(),
        remove: Box::new(remove),
    }
});

bakehouse_testkit::event_log_suite!(event_log, async { source().await.log() });

bakehouse_testkit::source_suite!(source_store, async {
    let database = source().await;
    (database.log(), database.source())
});

bakehouse_testkit::presentation_suite!(presentation_store, async {
    let database = presentation().await;
    (database.presentation(), database.reader())
});

bakehouse_testkit::rebuilds_suite!(rebuilds, async {
    let (source, presentation) = (source().await, presentation().await);
    RebuildStores {
        presentation: presentation.presentation(),
        reader: presentation.reader(),
        presentations: presentation.presentation_rebuilds(),
        log: source.log(),
        source: source.source(),
        sources: source.source_rebuilds(),
    }
});

bakehouse_testkit::inspect_suite!(inspect, async {
    let (source, presentation) = (source().await, presentation().await);
    InspectedStores {
        log: source.log(),
        source: source.source(),
        notifications: source.notifications(),
        presentation: presentation.presentation(),
        reader: presentation.reader(),
        source_inspector: source.inspector(),
        presentation_inspector: presentation.inspector(),
    }
});

bakehouse_testkit::notifications_suite!(notifications, async { source().await.notifications() });

bakehouse_testkit::rows_suite!(rows, async {
    let database = presentation().await;
    (database.rows(), database.row_reader())
});

bakehouse_testkit::states_suite!(states, async {
    let database = source().await;
    (database.rows(), database.notifications())
});

bakehouse_testkit::leases_suite!(leases, async { source().await.leases() });

/// Each writer remembers the end of the log, and is outdated every time.
#[tokio::test]
async fn writers_that_take_turns_leave_no_gap() {
    let database = source().await;
    let writers = [database.log(), database.log()];
    for turn in 0..6 {
        let batch = many(&format!("turn-{turn}"), 2);
        let answers = writers[turn % 2].append(&batch).await.expect("appended");
        let first = 2 * turn as u64 + 1;
        assert_eq!(
            answers,
            [Appended::Stored(first), Appended::Stored(first + 1)]
        );
        let repeated = writers[turn % 2].append(&batch[..1]).await;
        assert_eq!(repeated.expect("answered"), [Appended::Duplicate]);
    }
    assert_eq!(writers[0].head().await.expect("a head"), 12);
}

/// Thousands of cancelled reads, then one that waits for its answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_does_not_wait_behind_cancelled_ones() {
    let log = source().await.log();
    let id = ids::fresh();
    let mut cancelled = JoinSet::new();
    for _ in 0..3_000 {
        let log = log.clone();
        cancelled.spawn(async move {
            timeout(Duration::from_millis(20), log.find(id))
                .await
                .is_err()
        });
    }
    let timed_out = cancelled.join_all().await;
    assert!(timed_out.iter().filter(|timed_out| **timed_out).count() > 1_000);
    let found = timeout(Duration::from_secs(5), log.find(id)).await;
    let found = found.expect("in time");
    assert!(matches!(found, Ok(None)), "{found:?}");
}

#[tokio::test]
async fn probes_report_whether_a_database_answers() {
    assert_eq!(source().await.probe().check().await, Ok(()));
    let unreachable = Settings {
        uri: "mongodb://user:secret@127.0.0.1:1/none?replicaSet=rs0".into(),
        ..settings()
    };
    let database = SourceDatabase::new(&unreachable, "counters")
        .await
        .expect("a valid URI");
    let reason = database.probe().check().await.expect_err("no server");
    assert!(!reason.contains("secret"), "{reason}");
}

#[tokio::test]
async fn the_error_about_an_invalid_uri_contains_no_secret() {
    for uri in [
        "mongodb://user:secret@",
        "mongodb://user:secret@127.0.0.1:1",
        "secret",
    ] {
        let settings = Settings {
            uri: uri.into(),
            ..settings()
        };
        let Err(error) = SourceDatabase::new(&settings, "counters").await else {
            panic!("{uri} was accepted");
        };
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}
