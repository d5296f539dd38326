//! Tables of the store, their migrations, and the setup of connections.

use rusqlite::Connection;

use crate::error::DatabaseError;

/// Version of the tables that this program writes, stored in SQLite's `user_version`.
const VERSION: i64 = 10;

/// Migration steps: the version that each leads to, and its statements. The first step starts
/// from an empty file. Version 1 was never released.
const STEPS: [(i64, &str); 9] = [
    (2, TABLES),
    (3, NOTIFICATIONS),
    (4, PARKING),
    (5, PROVENANCE),
    (6, READ_MODELS),
    (7, REBUILDS),
    (8, DEPARTURES),
    (9, CORRELATION_BY_OWNER),
    (10, ALL_CORRELATIONS_BY_OWNER),
];

/// Tables of version 2. Times are milliseconds since 1970 (UTC); ids are text; JSON is text,
/// byte for byte as it was sent.
const TABLES: &str = "
CREATE TABLE schedule (
    seq       INTEGER PRIMARY KEY AUTOINCREMENT,
    operation TEXT NOT NULL
);
CREATE TABLE parked (
    id     INTEGER PRIMARY KEY AUTOINCREMENT,
    bytes  BLOB NOT NULL,
    reason TEXT NOT NULL
);
CREATE TABLE events (
    position       INTEGER PRIMARY KEY,
    operation_id   TEXT NOT NULL UNIQUE,
    service_name   TEXT NOT NULL,
    operation      TEXT NOT NULL,
    entity_id      TEXT NOT NULL,
    payload        TEXT NOT NULL,
    schema_version INTEGER NOT NULL,
    correlation_id TEXT NOT NULL,
    actor          TEXT,
    owner          TEXT,
    expected_version INTEGER,
    causation_id   TEXT,
    conflicts_with TEXT,
    fingerprint    TEXT NOT NULL,
    accepted_at    INTEGER NOT NULL,
    creation_time  INTEGER NOT NULL,
    execution_time INTEGER,
    status         TEXT NOT NULL,
    change         TEXT,
    reason         TEXT
);
CREATE INDEX events_by_entity ON events (entity_id, position);
CREATE TABLE entities (
    id         TEXT PRIMARY KEY,
    number     INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    owner      TEXT,
    state      TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE documents (
    number     INTEGER PRIMARY KEY,
    id         TEXT NOT NULL UNIQUE,
    position   INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    owner      TEXT,
    listed     INTEGER NOT NULL,
    body       TEXT NOT NULL
);
CREATE INDEX documents_by_change ON documents (position) WHERE listed = 1;
CREATE INDEX documents_by_time ON documents (created_at, number);
CREATE INDEX documents_by_owner ON documents (owner, number) WHERE listed = 1;
CREATE TABLE frames (
    position  INTEGER PRIMARY KEY,
    type      TEXT NOT NULL,
    entity_id TEXT NOT NULL,
    owner     TEXT,
    grouping  TEXT,
    body      TEXT NOT NULL
);
CREATE TABLE checkpoints (
    name     TEXT PRIMARY KEY,
    position INTEGER NOT NULL,
    entities INTEGER NOT NULL,
    epoch    TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE leases (
    name       TEXT PRIMARY KEY,
    holder     TEXT NOT NULL,
    epoch      INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO checkpoints VALUES ('orders-manager', 0, 0, ''), ('data-baker', 0, 0, '');
";

/// Table of notifications.
const NOTIFICATIONS: &str = "
CREATE TABLE notifications (
    id           TEXT PRIMARY KEY,
    position     INTEGER NOT NULL,
    type         TEXT NOT NULL,
    entity_id    TEXT NOT NULL,
    lane         TEXT NOT NULL,
    channel      TEXT NOT NULL,
    recipient    TEXT NOT NULL,
    message      TEXT NOT NULL,
    status       TEXT NOT NULL,
    attempts     INTEGER NOT NULL,
    occurred_at  INTEGER NOT NULL,
    requested_at INTEGER NOT NULL,
    accepted_at  INTEGER,
    ended_at     INTEGER,
    due_at       INTEGER,
    reason       TEXT
) WITHOUT ROWID;
CREATE INDEX notifications_by_entity ON notifications (entity_id, position);
CREATE INDEX notifications_due ON notifications (lane, due_at) WHERE due_at IS NOT NULL;
INSERT INTO checkpoints VALUES ('notifier', 0, 0, '');
";

/// Columns of parked log entries: the reason, the position of the entry that resolved them, and
/// their number at each checkpoint.
const PARKING: &str = "
ALTER TABLE events ADD COLUMN parked TEXT;
ALTER TABLE events ADD COLUMN settled_by INTEGER;
ALTER TABLE checkpoints ADD COLUMN parked INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_held ON events (entity_id, position) WHERE parked IS NOT NULL;
CREATE INDEX events_parked ON events (position) WHERE status = 'parked';
";

/// Columns of the rejection code and of the represented user, the index of correlations, and the
/// table of snapshots. An operation without a cause has its own id as correlation id and is
/// found by it, so the index leaves it out.
const PROVENANCE: &str = "
ALTER TABLE events ADD COLUMN code TEXT;
ALTER TABLE events ADD COLUMN on_behalf_of TEXT;
CREATE INDEX events_by_correlation ON events (correlation_id, position)
    WHERE correlation_id <> operation_id;
CREATE TABLE snapshots (
    id         TEXT NOT NULL,
    number     INTEGER NOT NULL,
    position   INTEGER NOT NULL,
    version    INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    owner      TEXT,
    state      TEXT NOT NULL,
    PRIMARY KEY (id, position)
) WITHOUT ROWID;
";

/// Tables of read models: registrations (`served_*`: the generation that is read), generations
/// with their revision, positions in each feed, rows, and the links that rows are found by.
const READ_MODELS: &str = "
CREATE TABLE read_models (
    name           TEXT PRIMARY KEY,
    version        INTEGER NOT NULL,
    round          INTEGER NOT NULL,
    served_version INTEGER,
    served_round   INTEGER
) WITHOUT ROWID;
CREATE TABLE generations (
    name     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    round    INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    PRIMARY KEY (name, version, round)
) WITHOUT ROWID;
CREATE TABLE followed (
    name     TEXT NOT NULL,
    version  INTEGER NOT NULL,
    round    INTEGER NOT NULL,
    feed     TEXT NOT NULL,
    epoch    TEXT NOT NULL,
    position INTEGER NOT NULL,
    PRIMARY KEY (name, version, round, feed)
) WITHOUT ROWID;
CREATE TABLE rows (
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    round   INTEGER NOT NULL,
    key     TEXT NOT NULL,
    body    TEXT NOT NULL,
    PRIMARY KEY (name, version, round, key)
) WITHOUT ROWID;
CREATE TABLE row_links (
    name    TEXT NOT NULL,
    version INTEGER NOT NULL,
    round   INTEGER NOT NULL,
    link    TEXT NOT NULL,
    key     TEXT NOT NULL,
    PRIMARY KEY (name, version, round, link, key)
) WITHOUT ROWID;
CREATE INDEX row_links_by_key ON row_links (name, version, round, key);
";

/// Table of the last rebuild of each stage, by the name of its checkpoint.
const REBUILDS: &str = "
CREATE TABLE rebuilds (
    name   TEXT PRIMARY KEY,
    round  INTEGER NOT NULL,
    state  TEXT NOT NULL,
    reason TEXT
) WITHOUT ROWID;
";

/// Column of the group that an entity left with the change of a frame.
const DEPARTURES: &str = "ALTER TABLE frames ADD COLUMN left_grouping TEXT;";

/// Index of an owner's operations by correlation, without those that have no cause.
const CORRELATION_BY_OWNER: &str = "
CREATE INDEX events_by_correlation_and_owner ON events (correlation_id, owner, position)
    WHERE correlation_id <> operation_id;
";

/// Replaces the index of an owner's operations by one that includes those without a cause.
const ALL_CORRELATIONS_BY_OWNER: &str = "
DROP INDEX events_by_correlation_and_owner;
CREATE INDEX events_by_correlation_and_owner ON events (correlation_id, owner, position)
    WHERE owner IS NOT NULL;
";

/// Settings of a connection. In WAL mode readers do not wait for the writer; FULL syncs every
/// commit.
const SETTINGS: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA busy_timeout = 5000;
PRAGMA cache_size = -32768;
PRAGMA temp_store = MEMORY;
PRAGMA wal_autocheckpoint = 4000;
";

/// Page cache of a reading connection, 4 MiB in SQLite's notation of KiB; the operating system
/// caches the rest of the file.
const READER_CACHE: &str = "PRAGMA cache_size = -4096";

/// Gives a reading connection a smaller page cache than the writer's.
pub(crate) fn shrink_cache(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(READER_CACHE)
}

/// Maximum number of prepared statements that a connection caches; more than the adapter has.
const MAX_CACHED_STATEMENTS: usize = 64;

/// Sets up a connection; creates the tables in an empty file and upgrades those of an older
/// version.
///
/// # Errors
/// [`DatabaseError::Newer`] and [`DatabaseError::NoStore`] for a file that cannot be upgraded;
/// [`DatabaseError::Sqlite`] for a failed statement.
pub(crate) fn prepare(connection: &mut Connection, new_epoch: &str) -> Result<(), DatabaseError> {
    connection.execute_batch(SETTINGS)?;
    connection.set_prepared_statement_cache_capacity(MAX_CACHED_STATEMENTS);
    let transaction = connection.transaction()?;
    let found = version(&transaction)?;
    if found != 0 {
        check_upgradable(&transaction)?;
    }
    for (version, step) in STEPS.iter().filter(|(version, _)| *version > found) {
        transaction.execute_batch(step)?;
        transaction.pragma_update(None, "user_version", version)?;
    }
    if found == 0 {
        transaction.execute(
            "UPDATE checkpoints SET epoch = ?1 WHERE name = 'orders-manager'",
            [new_epoch],
        )?;
    }
    transaction.commit()?;
    Ok(())
}

/// Checks that the tables have a version that this program can upgrade.
///
/// # Errors
/// [`DatabaseError::Newer`] or [`DatabaseError::NoStore`] if they do not.
pub(crate) fn check_upgradable(connection: &Connection) -> Result<(), DatabaseError> {
    let found = version(connection)?;
    if STEPS.iter().any(|(version, _)| *version == found) {
        return Ok(());
    }
    Err(unsupported(found))
}

/// Returns the version of the tables; 0 without tables.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

/// Error of tables whose version is not the one that is needed.
fn unsupported(found: i64) -> DatabaseError {
    let is_released = STEPS.iter().any(|(version, _)| *version == found);
    let known = VERSION;
    if found > known {
        DatabaseError::Newer { found, known }
    } else if is_released {
        DatabaseError::Older { found, known }
    } else {
        DatabaseError::NoStore { found }
    }
}

/// Sets up a read-only connection.
///
/// # Errors
/// [`DatabaseError`] unless the tables have the version that this program writes.
pub(crate) fn prepare_read_only(connection: &Connection) -> Result<(), DatabaseError> {
    connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;")?;
    connection.set_prepared_statement_cache_capacity(MAX_CACHED_STATEMENTS);
    match version(connection)? {
        VERSION => Ok(()),
        other => Err(unsupported(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_an_earlier_version_are_upgraded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut connection = Connection::open(folder.path().join("a.db")).expect("it opens");
        connection.execute_batch(TABLES).expect("tables");
        let state = "UPDATE checkpoints SET position = 7, epoch = 'e' WHERE name = 'data-baker'; \
                     PRAGMA user_version = 2;";
        connection.execute_batch(state).expect("a position");
        prepare(&mut connection, "another").expect("it is prepared");
        assert_eq!(version(&connection), Ok(VERSION));
        let kept = "SELECT position FROM checkpoints WHERE name = 'data-baker' AND epoch = 'e'";
        let position: i64 = connection
            .query_row(kept, [], |row| row.get(0))
            .expect("kept");
        assert_eq!(position, 7);
        prepare(&mut connection, "another").expect("it is prepared again");
        assert_eq!(version(&connection), Ok(VERSION));
    }

    /// Existing stores were created by the released steps; a changed step would give new stores
    /// other tables. A change of the tables is a new step with its own fingerprint here.
    #[test]
    fn released_steps_stay_as_they_are() {
        let known = [
            (2, "8b539bfc4eedc362"),
            (3, "33b0ee2719177465"),
            (4, "7a5c737f21cb5b36"),
            (5, "8609e55a8252c798"),
            (6, "aabf8ce438994b52"),
            (7, "44d69ea6aac98ae9"),
            (8, "f72769d9c1f08c0b"),
            (9, "2d472e34fee59881"),
            (10, "83012446ee5a45c9"),
        ];
        let fingerprint =
            |step| bakehouse_engine::model::ids::fingerprint(&[step])[..16].to_owned();
        let steps = STEPS.map(|(version, step)| (version, fingerprint(step)));
        assert_eq!(
            steps,
            known.map(|(version, text)| (version, text.to_owned()))
        );
        assert_eq!(VERSION, steps[steps.len() - 1].0);
    }

    #[test]
    fn tables_of_a_later_version_are_left_alone() {
        let mut connection = Connection::open_in_memory().expect("it opens");
        connection
            .execute_batch("PRAGMA user_version = 99")
            .expect("set");
        let error = prepare(&mut connection, "e").expect_err("refused");
        assert!(error.to_string().contains("version 99"), "{error}");
        let expected = format!(
            "the store was written by a newer version of this program (tables version 99, this \
             program knows up to {VERSION}); use that version of the program"
        );
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn read_only_access_names_the_way_to_an_upgrade() {
        let connection = Connection::open_in_memory().expect("it opens");
        for (found, expected) in [
            (0, "not a store of this program"),
            (1, "not a store of this program"),
            (7, "start the server once to upgrade it"),
            (99, "use that version of the program"),
        ] {
            let set = connection.pragma_update(None, "user_version", found);
            set.expect("set");
            let error = prepare_read_only(&connection).expect_err("refused");
            let reset = connection.execute_batch("PRAGMA query_only = OFF;");
            reset.expect("writable again");
            assert!(error.to_string().contains(expected), "{found}: {error}");
        }
    }

    #[test]
    fn every_commit_is_synced() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut connection = Connection::open(folder.path().join("a.db")).expect("it opens");
        prepare(&mut connection, "e").expect("it is prepared");
        let synchronous: i64 = connection
            .pragma_query_value(None, "synchronous", |row| row.get(0))
            .expect("a number");
        assert_eq!(synchronous, 2, "FULL");
        let journal: String = connection
            .pragma_query_value(None, "journal_mode", |row| row.get(0))
            .expect("a mode");
        assert_eq!(journal, "wal");
    }
}
