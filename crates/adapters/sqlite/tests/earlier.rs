//! Upgrades of earlier stores: the store of the first release, converted to every version of the
//! tables, is upgraded, audited, backed up and restored. `earlier/make.py` creates the stores of
//! released programs.

use std::fs;
use std::io::Read;
use std::path::Path;

use bakehouse_engine::audit::{AuditDeps, AuditSettings, audit};
use bakehouse_engine::ports::{Appended, ListQuery};
use bakehouse_engine::{Domain, EntryStatus};
use bakehouse_orders::Orders;
use bakehouse_sqlite::{FILE_NAME, Pending, SqliteStore, back_up, restore};
use flate2::read::GzDecoder;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

/// Tables whose rows an upgrade must not change, with the columns that every version has.
const KEPT: [(&str, &str); 4] = [
    (
        "events",
        "position, operation_id, service_name, operation, entity_id, payload, schema_version, \
         correlation_id, actor, owner, expected_version, causation_id, conflicts_with, \
         fingerprint, accepted_at, creation_time, execution_time, status, change, reason",
    ),
    (
        "entities",
        "id, number, position, version, created_at, updated_at, owner, state",
    ),
    (
        "documents",
        "number, id, position, version, created_at, owner, listed, body",
    ),
    ("frames", "position, type, entity_id, owner, grouping, body"),
];

/// Version of the tables of the first release, whose store all others are derived from.
const FIRST_RELEASE: i64 = 7;

/// Steps from each version of the tables back to the previous one. Versions before 4 had no parked
/// operations; those of the store are its last entries and are deleted.
const DOWNGRADES: [(i64, &str); 5] = [
    (7, "DROP TABLE rebuilds;"),
    (
        6,
        "DROP TABLE read_models; DROP TABLE generations; DROP TABLE followed; DROP TABLE rows; \
         DROP TABLE row_links;",
    ),
    (
        5,
        "DROP INDEX events_by_correlation; DROP TABLE snapshots; \
         ALTER TABLE events DROP COLUMN code; ALTER TABLE events DROP COLUMN on_behalf_of;",
    ),
    (
        4,
        "UPDATE checkpoints SET parked = 0, position = min(position, \
             (SELECT min(position) - 1 FROM events WHERE parked IS NOT NULL)); \
         DELETE FROM events WHERE parked IS NOT NULL; \
         DELETE FROM frames WHERE position > (SELECT max(position) FROM events); \
         DELETE FROM notifications WHERE position > (SELECT max(position) FROM events); \
         DROP INDEX events_held; DROP INDEX events_parked; \
         ALTER TABLE events DROP COLUMN parked; ALTER TABLE events DROP COLUMN settled_by; \
         ALTER TABLE checkpoints DROP COLUMN parked;",
    ),
    (
        3,
        "DROP TABLE notifications; DELETE FROM checkpoints WHERE name = 'notifier';",
    ),
];

/// Steps from the first release to each later version.
const UPGRADES: [(i64, &str); 2] = [
    (8, "ALTER TABLE frames ADD COLUMN left_grouping TEXT;"),
    (
        9,
        "CREATE INDEX events_by_correlation_and_owner ON events (correlation_id, owner, position) \
         WHERE correlation_id <> operation_id;",
    ),
];

/// Unpacks the store of the first release, converted to another version of the tables.
fn unpack_as(version: i64, into: &Path) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/earlier");
    unpack(&root.join(format!("v{FIRST_RELEASE}")), into);
    let file = Connection::open(into.join(FILE_NAME)).expect("it opens");
    for (_, step) in DOWNGRADES.iter().filter(|(of, _)| *of > version) {
        file.execute_batch(step).expect("a step back");
    }
    for (_, step) in UPGRADES.iter().filter(|(of, _)| *of <= version) {
        file.execute_batch(step).expect("a step forward");
    }
    file.pragma_update(None, "user_version", version)
        .expect("a version");
}

/// Unpacks a store as the released program wrote it.
fn unpack(from: &Path, into: &Path) {
    fs::create_dir_all(into).expect("a folder");
    let packed = fs::File::open(from.join("bakehouse.db.gz")).expect("a store");
    let mut bytes = Vec::new();
    GzDecoder::new(packed)
        .read_to_end(&mut bytes)
        .expect("unpacked");
    fs::write(into.join(FILE_NAME), bytes).expect("written");
    let attachments = from.join("attachments");
    if attachments.is_dir() {
        copy_folder(&attachments, &into.join("attachments"));
    }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy_folder(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), target).expect("copied")),
        }
    }
}

/// Reads the rows of a table directly from the file.
fn rows(folder: &Path, table: &str, columns: &str) -> Vec<Vec<Value>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let file = Connection::open_with_flags(folder.join(FILE_NAME), flags).expect("it opens");
    let query = format!("SELECT {columns} FROM {table} ORDER BY 1");
    let mut statement = file.prepare(&query).expect("a table");
    let count = statement.column_count();
    let row = statement.query_map([], |row| (0..count).map(|at| row.get(at)).collect());
    row.expect("rows").collect::<Result<_, _>>().expect("rows")
}

fn content(folder: &Path) -> Vec<Vec<Vec<Value>>> {
    let tables = KEPT.iter();
    tables
        .map(|(table, columns)| rows(folder, table, columns))
        .collect()
}

fn version_of(folder: &Path) -> i64 {
    let file = Connection::open(folder.join(FILE_NAME)).expect("it opens");
    let version = file.pragma_query_value(None, "user_version", |row| row.get(0));
    version.expect("a version")
}

/// Runs the audit; returns its findings and the number of compared log entries.
async fn doctor(folder: &Path) -> (Vec<String>, u64) {
    let store = SqliteStore::inspect(folder).expect("it opens");
    let deps = AuditDeps {
        log: store.log(),
        source: store.source(),
        source_inspector: store.source_inspector(),
        presentation: store.reader(),
        presentation_inspector: store.presentation_inspector(),
        models: store.row_reader(),
        rows: store.row_inspector(),
        backlog: Some(store.backlog()),
        queues: None,
        read_models: None,
        integrity: vec![store.integrity()],
        blobs: Some(bakehouse_blob_store::local(&folder.join("attachments")).expect("blobs")),
    };
    let settings = AuditSettings {
        program: "bakehouse".into(),
        page: 50,
        is_quick: false,
        has_processes: false,
    };
    let found = audit::<Orders>(deps, settings, Vec::new(), |_, _| ()).await;
    let found = found.expect("an audit");
    let findings = found.findings.iter().map(|finding| format!("{finding:?}"));
    (findings.collect(), found.events)
}

#[tokio::test(flavor = "multi_thread")]
async fn every_earlier_store_is_upgraded_and_sound() {
    let folder = TempDir::new().expect("a folder");
    for version in 2..current() {
        let data = folder.path().join(format!("v{version}"));
        unpack_as(version, &data);
        assert_eq!(version_of(&data), version);
        let before = content(&data);
        let store = SqliteStore::open(&data, Orders::FACETS).expect("it opens");
        expect_content(version, &store).await;
        drop(store);
        assert!(
            content(&data) == before,
            "version {version}: a row has changed"
        );
        let (findings, events) = doctor(&data).await;
        assert!(findings.is_empty(), "version {version}: {findings:#?}");
        assert_eq!(events, before[0].len() as u64);

        let (copy, again) = (data.join("copy"), data.join("again"));
        back_up(&data, &copy).expect("a copy").keep().expect("kept");
        restore(&copy, &again, Pending::Withhold).expect("restored");
        copy_folder(&data.join("attachments"), &again.join("attachments"));
        assert!(
            content(&again) == before,
            "version {version}: the copy differs"
        );
        let (findings, _) = doctor(&again).await;
        assert!(
            findings.is_empty(),
            "version {version}, restored: {findings:#?}"
        );
        let store = SqliteStore::open(&again, Orders::FACETS).expect("it opens");
        expect_appendable(version, &store).await;
    }
}

/// Checks for orders in every state and rejections, and for the parked operations, notifications
/// and rows of read models that the version has.
async fn expect_content(version: i64, store: &SqliteStore) {
    let events = store.log().read(0, 10_000).await.expect("events");
    let with = |status| events.iter().filter(|event| event.status == status).count();
    assert!(with(EntryStatus::Executed) > 20, "version {version}");
    assert_eq!(with(EntryStatus::Rejected), 2);
    let parked = store.log().parked(0, 9).await.expect("parked");
    assert_eq!(parked.len(), if version >= 4 { 2 } else { 0 });
    let waiting = store.backlog().waiting().await.expect("counted");
    assert_eq!((waiting.operations, waiting.unreadable), (1, 1));
    let listed = store
        .reader()
        .list(&ListQuery::newest(99))
        .await
        .expect("a list");
    let mut statuses: Vec<String> = listed.iter().map(|one| status(one.body.get())).collect();
    statuses.sort_unstable();
    statuses.dedup();
    assert_eq!(
        statuses,
        ["cancelled", "delivered", "paid", "placed", "shipped"]
    );
    let mut notified = 0;
    for document in &listed {
        let body: serde_json::Value = serde_json::from_str(document.body.get()).expect("JSON");
        let id = body["id"].as_str().expect("an id");
        notified += store
            .notifications()
            .of(id)
            .await
            .expect("notifications")
            .len();
    }
    assert_eq!(notified > 10, version >= 3, "version {version}: {notified}");
    if version >= 6 {
        let row = store
            .row_reader()
            .row("things", "k")
            .await
            .expect("readable");
        assert_eq!(row.expect("a row").body.get(), r#"{"n":1}"#);
    }
}

fn status(document: &str) -> String {
    let document: serde_json::Value = serde_json::from_str(document).expect("JSON");
    document["status"].as_str().expect("a status").to_owned()
}

/// Checks that a queued operation is appended next, and that a stored one is a duplicate.
async fn expect_appendable(version: i64, store: &SqliteStore) {
    let log = store.log();
    let head = log.head().await.expect("a head");
    let mut consumer = store.consumer();
    let waiting = consumer.receive(9).await.expect("received").operations;
    let first = log.read(0, 1).await.expect("events").remove(0).operation;
    let answers = log.append(&[first, waiting[0].clone()]).await;
    let expected = [Appended::Duplicate, Appended::Stored(head + 1)];
    assert_eq!(answers.expect("appended"), expected, "version {version}");
}

/// Returns the version of the tables that this program creates.
fn current() -> i64 {
    let folder = TempDir::new().expect("a folder");
    drop(SqliteStore::open(folder.path(), &[]).expect("it opens"));
    version_of(folder.path())
}

/// Each version of the tables has its step in this file.
#[test]
fn every_version_of_the_tables_is_tested() {
    let earlier = DOWNGRADES.iter().map(|(version, _)| version - 1);
    let later = UPGRADES.iter().map(|(version, _)| *version);
    let mut tested: Vec<i64> = earlier.chain([FIRST_RELEASE]).chain(later).collect();
    tested.sort_unstable();
    assert_eq!(tested, (2..current()).collect::<Vec<_>>());
}
