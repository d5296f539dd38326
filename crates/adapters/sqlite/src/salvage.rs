//! Copy of a store with damaged indexes: reads the tables row by row without an index, and creates
//! the indexes again.

use std::path::Path;

use rusqlite::{Connection, ErrorCode};

/// Checks whether an error of SQLite reports a damaged file.
pub(crate) fn is_damage(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

/// Copies a consistent snapshot of the store in the file `from` into a new file.
///
/// # Errors
/// The error of SQLite if a table is damaged, so that no complete copy exists.
pub(crate) fn copy(from: &Path, to: &Path) -> rusqlite::Result<()> {
    let connection = Connection::open(to)?;
    connection.execute_batch("PRAGMA busy_timeout = 5000; PRAGMA synchronous = FULL;")?;
    connection.execute("ATTACH ?1 AS damaged", [from.display().to_string()])?;
    connection.execute_batch("BEGIN")?;
    for (name, statement) in parts(&connection, "table")? {
        connection.execute_batch(&statement)?;
        // Without a condition, SQLite would copy the indexes page by page.
        connection.execute_batch(&format!(
            "INSERT INTO main.\"{name}\" SELECT * FROM damaged.\"{name}\" NOT INDEXED WHERE true"
        ))?;
    }
    for (_, statement) in parts(&connection, "index")? {
        connection.execute_batch(&statement)?;
    }
    connection.execute_batch(
        "DELETE FROM main.sqlite_sequence; \
         INSERT INTO main.sqlite_sequence SELECT * FROM damaged.sqlite_sequence;",
    )?;
    let version: i64 = connection.query_row("PRAGMA damaged.user_version", [], |row| row.get(0))?;
    connection.pragma_update(None, "user_version", version)?;
    connection.execute_batch("COMMIT; DETACH damaged;")
}

/// Returns the explicitly created tables or indexes: name and statement.
fn parts(connection: &Connection, kind: &str) -> rusqlite::Result<Vec<(String, String)>> {
    let query = "SELECT name, sql FROM damaged.sqlite_master WHERE type = ?1 \
                 AND sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut query = connection.prepare(query)?;
    let found = query.query_map([kind], |row| Ok((row.get(0)?, row.get(1)?)))?;
    found.collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    use super::*;
    use crate::inspect::damages;
    use crate::schema;

    #[test]
    fn rows_of_a_damaged_index_are_copied() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (from, to) = (folder.path().join("a.db"), folder.path().join("b.db"));
        let mut connection = Connection::open(&from).expect("it opens");
        schema::prepare(&mut connection, "e").expect("tables");
        let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000) \
                    INSERT INTO documents SELECT i, 'id-' || i, i, 1, i, 'o-' || (i % 7), 1, '{}' \
                    FROM n";
        connection.execute_batch(fill).expect("rows");
        let page = "SELECT pageno FROM dbstat WHERE name = 'documents_by_owner' \
                    AND pagetype = 'leaf' LIMIT 1";
        let page: Option<u64> = connection
            .query_row(page, [], |row| row.get::<_, i64>(0))
            .ok()
            .map(i64::unsigned_abs);
        let root = "SELECT rootpage FROM sqlite_master WHERE name = 'documents_by_owner'";
        let root: i64 = connection
            .query_row(root, [], |row| row.get(0))
            .expect("a page");
        let page = page.unwrap_or(root.unsigned_abs());
        drop(connection);
        let file = File::options().write(true).open(&from).expect("a file");
        file.write_all_at(&[0; 4096], (page - 1) * 4096)
            .expect("written");
        let connection = Connection::open(&from).expect("it opens");
        let found = damages(&connection);
        assert!(!found.is_empty());
        let named = |one: &bakehouse_engine::ports::Damage| {
            one.is_index && one.part.as_deref() == Some("documents_by_owner")
        };
        assert!(found.iter().any(named), "{found:?}");
        copy(&from, &to).expect("copied");
        let connection = Connection::open(&to).expect("it opens");
        assert_eq!(damages(&connection), []);
        let count = "SELECT count(*) FROM documents WHERE owner IS NOT NULL";
        let count: i64 = connection
            .query_row(count, [], |row| row.get(0))
            .expect("a count");
        assert_eq!(count, 2_000);
    }
}
