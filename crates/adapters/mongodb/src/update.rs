//! Many update statements (`{q, u, …}`) in one command, which servers of every
//! version take.

use bakehouse_pipeline::ports::StoreError;
use mongodb::bson::{Bson, Document, doc};

use crate::connection::Connection;
use crate::error::DUPLICATE_KEY;

/// Statements in one command at most; with documents of 64 KiB that stays
/// below the 48 MB of a message.
const STATEMENTS: usize = 500;

/// The commands, as many as it takes.
pub(crate) fn commands(
    collection: &str,
    statements: Vec<Document>,
) -> impl Iterator<Item = Document> {
    let chunks = statements.chunks(STATEMENTS).map(<[_]>::to_vec);
    let chunks: Vec<_> = chunks.collect();
    chunks
        .into_iter()
        .map(move |chunk| doc! { "update": collection, "updates": chunk })
}

/// How many documents a command's statements matched, or made.
pub(crate) fn matched(database: &str, answer: &Document) -> Result<u64, StoreError> {
    if let Ok(errors) = answer.get_array("writeErrors") {
        return Err(refused(database, errors));
    }
    let matched = answer
        .get("n")
        .and_then(|n| n.as_i64().or(n.as_i32().map(i64::from)));
    Ok(matched.unwrap_or_default().unsigned_abs())
}

fn refused(database: &str, errors: &[Bson]) -> StoreError {
    let first = errors.first().and_then(Bson::as_document);
    match first.and_then(|error| error.get_i32("code").ok()) {
        Some(DUPLICATE_KEY) => StoreError::Fenced,
        _ => StoreError::unavailable(format!("{database}: {first:?}")),
    }
}

/// Runs the statements, each by itself, and waits until they are durable.
pub(crate) async fn update(
    connection: &Connection,
    collection: &str,
    statements: Vec<Document>,
) -> Result<(), StoreError> {
    for mut command in commands(collection, statements) {
        // Commands that are sent as they are do not get the client's own.
        command.insert("writeConcern", doc! { "w": "majority", "j": true });
        let run = connection.database.run_command(command);
        let answer = connection.bounded(run).await?;
        matched(connection.name, &answer)?;
        if let Ok(error) = answer.get_document("writeConcernError") {
            return Err(StoreError::unavailable(format!(
                "{}: {error}",
                connection.name
            )));
        }
    }
    Ok(())
}
