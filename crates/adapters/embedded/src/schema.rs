//! The tables, and how every connection is set up.

use rusqlite::Connection;

/// Version of the tables, in SQLite's `user_version`.
const VERSION: i64 = 2;

/// Times are milliseconds since 1970 (UTC), ids text, JSON text as it was sent.
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
";

/// Readers do not wait for the writer in WAL mode; FULL syncs every commit.
const SETTINGS: &str = "
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA busy_timeout = 5000;
PRAGMA cache_size = -32768;
PRAGMA temp_store = MEMORY;
PRAGMA wal_autocheckpoint = 4000;
";

/// Statements that a connection keeps prepared; more than there are.
const STATEMENTS: usize = 64;

/// Sets up a connection, and makes the tables where there are none.
pub(crate) fn prepare(connection: &mut Connection, new_epoch: &str) -> rusqlite::Result<()> {
    connection.execute_batch(SETTINGS)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let transaction = connection.transaction()?;
    let version: i64 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version == 0 {
        transaction.execute_batch(TABLES)?;
        transaction.execute(
            "INSERT INTO checkpoints VALUES ('orders-manager', 0, 0, ?1), ('data-baker', 0, 0, '')",
            [new_epoch],
        )?;
        transaction.pragma_update(None, "user_version", VERSION)?;
    } else if version != VERSION {
        return Err(rusqlite::Error::InvalidParameterName(format!(
            "its tables have version {version}, this program knows version {VERSION}"
        )));
    }
    transaction.commit()
}
