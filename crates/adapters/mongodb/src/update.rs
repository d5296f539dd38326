//! Many update statements (`{q, u, …}`) in one command, which servers of every
//! version take.

use bakehouse_engine::ports::StoreError;
use mongodb::bson::{Bson, Document, doc};

use crate::connection::Connection;
use crate::error::DUPLICATE_KEY;

/// Statements in one command at most.
const STATEMENTS: usize = 500;
/// Their bytes, about: a command that is sent as it is may have 16 MiB, like a document.
const BYTES: usize = 12 * 1024 * 1024;

/// The commands, as many as it takes.
///
/// # Errors
/// [`StoreError::Corrupt`] for what is no document.
pub(crate) fn commands(
    collection: &str,
    statements: Vec<Document>,
) -> Result<Vec<Document>, StoreError> {
    let mut chunks: Vec<Vec<Document>> = Vec::new();
    let mut bytes = 0;
    for statement in statements {
        let size = statement.to_vec().map_err(StoreError::corrupt)?.len();
        bytes += size;
        match chunks.last_mut() {
            Some(chunk) if chunk.len() < STATEMENTS && bytes <= BYTES => chunk.push(statement),
            _ => {
                bytes = size;
                chunks.push(vec![statement]);
            }
        }
    }
    let command = |chunk| doc! { "update": collection, "updates": chunk };
    Ok(chunks.into_iter().map(command).collect())
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
    for mut command in commands(collection, statements)? {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(statements: Vec<Document>) -> Vec<usize> {
        let commands = commands("c", statements).expect("documents");
        let count = |command: &Document| command.get_array("updates").map(Vec::len);
        commands
            .iter()
            .map(|one| count(one).expect("statements"))
            .collect()
    }

    #[test]
    fn commands_are_neither_too_many_statements_nor_too_large() {
        let small = doc! { "q": { "_id": 1 } };
        assert_eq!(sizes(Vec::new()), Vec::<usize>::new());
        assert_eq!(sizes(vec![small; STATEMENTS + 1]), [STATEMENTS, 1]);
        let large = doc! { "u": "x".repeat(BYTES / 4) };
        assert_eq!(sizes(vec![large; 7]), [3, 3, 1]);
        let larger = doc! { "u": "x".repeat(BYTES) };
        assert_eq!(sizes(vec![larger; 2]), [1, 1]);
    }
}
