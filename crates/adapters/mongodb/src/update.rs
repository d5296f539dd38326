//! Update commands with many statements (`{q, u, …}`), which every server version accepts.

use bakehouse_engine::ports::StoreError;
use mongodb::bson::{Bson, Document, doc};

use crate::connection::Connection;
use crate::error::DUPLICATE_KEY;

/// Statements per command at most.
const MAX_STATEMENTS: usize = 500;
/// Approximate size of a command in bytes at most; the server accepts 16 MiB.
const MAX_BYTES: usize = 12 * 1024 * 1024;

/// Splits the statements into as few commands as the limits allow.
///
/// # Errors
/// [`StoreError::Corrupt`] if a statement cannot be serialized.
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
            Some(chunk) if chunk.len() < MAX_STATEMENTS && bytes <= MAX_BYTES => {
                chunk.push(statement);
            }
            _ => {
                bytes = size;
                chunks.push(vec![statement]);
            }
        }
    }
    let command = |chunk| doc! { "update": collection, "updates": chunk };
    Ok(chunks.into_iter().map(command).collect())
}

/// Returns how many documents the statements of a command matched or inserted.
///
/// # Errors
/// [`StoreError`] if the server refused a statement.
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
        _ => {
            let message = first.and_then(|error| error.get_str("errmsg").ok());
            let message = message.unwrap_or("unknown reason");
            StoreError::unavailable(format!("{database}: update refused: {message}"))
        }
    }
}

/// Runs the statements without a transaction, and waits until they are durable.
pub(crate) async fn update(
    connection: &Connection,
    collection: &str,
    statements: Vec<Document>,
) -> Result<(), StoreError> {
    for mut command in commands(collection, statements)? {
        // The driver does not add the client's write concern to raw commands.
        command.insert("writeConcern", doc! { "w": "majority", "j": true });
        let run = connection.database.run_command(command);
        let answer = connection.bounded(run).await?;
        matched(connection.name, &answer)?;
        if let Ok(error) = answer.get_document("writeConcernError") {
            let message = error.get_str("errmsg").unwrap_or("unknown reason");
            return Err(StoreError::unavailable(format!(
                "{}: write not replicated to a majority: {message}",
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
        assert_eq!(sizes(vec![small; MAX_STATEMENTS + 1]), [MAX_STATEMENTS, 1]);
        let large = doc! { "u": "x".repeat(MAX_BYTES / 4) };
        assert_eq!(sizes(vec![large; 7]), [3, 3, 1]);
        let larger = doc! { "u": "x".repeat(MAX_BYTES) };
        assert_eq!(sizes(vec![larger; 2]), [1, 1]);
    }
}
