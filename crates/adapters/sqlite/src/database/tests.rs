//! Failures of jobs, of commits and of the writer thread.

use std::time::Duration;

use super::*;

#[tokio::test]
async fn a_panic_of_the_writer_is_reported_to_all_callers() {
    let database = Database::in_memory(&[]).expect("memory");
    let failure = database.failure();
    let answer = database.write(|_| -> Outcome<()> { panic!("a bug") }).await;
    assert!(answer.is_err());
    let failure = tokio::time::timeout(Duration::from_secs(10), failure).await;
    let text = failure.expect("the failure is reported").to_string();
    assert!(text.contains("panicked"), "{text}");
    let later = database.write(|_| Ok(())).await.expect_err("closed");
    assert!(later.to_string().contains("closed"), "{later}");
}

#[tokio::test]
async fn a_database_that_is_closed_has_not_failed() {
    let database = Database::in_memory(&[]).expect("memory");
    let failure = database.failure();
    drop(database);
    let waited = tokio::time::timeout(Duration::from_secs(1), failure).await;
    assert!(waited.is_err());
}

/// Counts the rows of a table.
async fn count(database: &Database, table: &'static str) -> i64 {
    let counted = database.read(move |connection| {
        let query = format!("SELECT count(*) FROM {table}");
        Ok(connection.query_row(&query, [], |row| row.get(0))?)
    });
    counted.await.expect("a number")
}

#[tokio::test]
async fn a_failed_commit_is_reported_and_leaves_nothing_behind() {
    let connection = connect(Connection::open_in_memory().expect("memory")).expect("tables");
    let tables = "PRAGMA foreign_keys = ON;
        CREATE TABLE parents (id INTEGER PRIMARY KEY);
        CREATE TABLE children (parent INTEGER NOT NULL REFERENCES parents (id)
            DEFERRABLE INITIALLY DEFERRED);";
    connection.execute_batch(tables).expect("tables");
    let database = Database::run(connection, &[], None).expect("a database");
    let orphan = database.write(|connection| {
        connection.execute("INSERT INTO children VALUES (7)", [])?;
        Ok(())
    });
    let error = orphan.await.expect_err("the parent is missing");
    assert!(error.to_string().contains("FOREIGN KEY"), "{error}");
    let next = database.write(|connection| {
        connection.execute("INSERT INTO parents VALUES (1)", [])?;
        Ok(())
    });
    next.await.expect("a new transaction");
    assert_eq!(count(&database, "parents").await, 1);
    assert_eq!(count(&database, "children").await, 0);
}
