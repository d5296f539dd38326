//! The tables, and how every connection is set up.

use rusqlite::Connection;

/// The version that this code writes, in SQLite's `user_version`.
const VERSION: i64 = 10;

/// What leads to each version from the one before it, the first of them from
/// nothing. Version 1 never left the house.
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
INSERT INTO checkpoints VALUES ('orders-manager', 0, 0, ''), ('data-baker', 0, 0, '');
";

/// What is to be sent to whom.
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

/// Why an event was set aside, what settled it, and how many there are.
const PARKING: &str = "
ALTER TABLE events ADD COLUMN parked TEXT;
ALTER TABLE events ADD COLUMN settled_by INTEGER;
ALTER TABLE checkpoints ADD COLUMN parked INTEGER NOT NULL DEFAULT 0;
CREATE INDEX events_held ON events (entity_id, position) WHERE parked IS NOT NULL;
CREATE INDEX events_parked ON events (position) WHERE status = 'parked';
";

/// What kind of refusal, in whose stead, and what one outside request set off: an
/// operation that began by itself is found by its own id. And entities as they were.
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

/// What is made of read models (`served_*`: what is read), how far each generation has
/// followed each feed, its rows, and what they are found by.
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

/// The last round of making anew of each part, by its checkpoint's name.
const REBUILDS: &str = "
CREATE TABLE rebuilds (
    name   TEXT PRIMARY KEY,
    round  INTEGER NOT NULL,
    state  TEXT NOT NULL,
    reason TEXT
) WITHOUT ROWID;
";

/// The group that an entity has left with a frame's change.
const DEPARTURES: &str = "ALTER TABLE frames ADD COLUMN left_grouping TEXT;";

/// The index of what one request set off of one owner's operations.
const CORRELATION_BY_OWNER: &str = "
CREATE INDEX events_by_correlation_and_owner ON events (correlation_id, owner, position)
    WHERE correlation_id <> operation_id;
";

/// Replaces that index by one of all operations of an owner, those that began by themselves too.
const ALL_CORRELATIONS_BY_OWNER: &str = "
DROP INDEX events_by_correlation_and_owner;
CREATE INDEX events_by_correlation_and_owner ON events (correlation_id, owner, position)
    WHERE owner IS NOT NULL;
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

/// Bytes of pages that a reading connection keeps, in SQLite's own notation of KiB; the
/// system's cache holds the rest.
const READER_CACHE: &str = "PRAGMA cache_size = -4096";

/// Makes a connection that only reads keep fewer pages than the writer's.
pub(crate) fn shrink_cache(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(READER_CACHE)
}

/// Statements that a connection keeps prepared; more than there are.
const STATEMENTS: usize = 64;

/// Sets up a connection, and makes the tables where there are none, or only
/// those of an earlier version.
pub(crate) fn prepare(connection: &mut Connection, new_epoch: &str) -> rusqlite::Result<()> {
    connection.execute_batch(SETTINGS)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    let transaction = connection.transaction()?;
    let found = version(&transaction)?;
    if found != 0 {
        known(&transaction)?;
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
    transaction.commit()
}

/// Whether there are tables of a version that this program can bring up to date.
pub(crate) fn known(connection: &Connection) -> rusqlite::Result<()> {
    let found = version(connection)?;
    if STEPS.iter().any(|(version, _)| *version == found) {
        return Ok(());
    }
    Err(unknown(found))
}

/// 0: there are no tables.
fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn unknown(found: i64) -> rusqlite::Error {
    rusqlite::Error::InvalidParameterName(format!(
        "its tables have version {found}, this program knows version {VERSION}"
    ))
}

/// Sets up a connection that only reads what this program's version has written.
pub(crate) fn look(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA query_only = ON;")?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    match version(connection)? {
        VERSION => Ok(()),
        other => Err(unknown(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_of_an_earlier_version_are_brought_up_to_date() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut connection = Connection::open(folder.path().join("a.db")).expect("it opens");
        connection.execute_batch(TABLES).expect("tables");
        let of_then = "UPDATE checkpoints SET position = 7, epoch = 'e' WHERE name = 'data-baker'; \
                       PRAGMA user_version = 2;";
        connection.execute_batch(of_then).expect("a position");
        prepare(&mut connection, "another").expect("it is prepared");
        assert_eq!(version(&connection), Ok(VERSION));
        let kept = "SELECT position FROM checkpoints WHERE name = 'data-baker' AND epoch = 'e'";
        let position: i64 = connection
            .query_row(kept, [], |row| row.get(0))
            .expect("kept");
        assert_eq!(position, 7);
        prepare(&mut connection, "another").expect("and once more");
        assert_eq!(version(&connection), Ok(VERSION));
    }

    /// Released steps have been taken by stores out there: a change of one would make new
    /// stores differ from those. What is to be different is a step of its own, and gets its
    /// fingerprint here.
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
            .expect("a word");
        assert_eq!(journal, "wal");
    }
}
