//! Shadow tables of a rebuild.
//!
//! A shadow table has the name of its live table and the rebuild's id as suffix (`documents_r7`).
//! When it replaces the live table, that one is renamed to `documents_old_r7` and then removed in
//! small transactions.

use bakehouse_engine::ports::Slot;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Outcome;

/// Maximum number of rows removed in one transaction, which bounds how long other writes wait.
const MAX_ROWS_PER_DELETE: usize = 2_000;

/// Creates an empty shadow table with the same columns and indexes, unless it exists.
pub(crate) fn create(connection: &Connection, table: &str, rebuild_id: u64) -> Outcome<()> {
    let shadow = Slot::Shadow(rebuild_id).name(table);
    if definition(connection, &shadow)?.is_some() {
        return Ok(());
    }
    let Some(columns) = definition(connection, table)? else {
        return Ok(());
    };
    connection.execute_batch(&format!("CREATE TABLE {shadow} {columns}"))?;
    for (name, on) in indexes(connection, table)? {
        let name = Slot::Shadow(rebuild_id).name(Slot::base(&name));
        connection.execute_batch(&format!("CREATE INDEX {name} ON {shadow} {on}"))?;
    }
    Ok(())
}

/// Replaces a live table by its shadow.
pub(crate) fn replace(connection: &Connection, table: &str, rebuild_id: u64) -> Outcome<()> {
    let shadow = Slot::Shadow(rebuild_id).name(table);
    connection.execute_batch(&format!(
        "ALTER TABLE {table} RENAME TO {table}_old_r{rebuild_id}; \
         ALTER TABLE {shadow} RENAME TO {table};"
    ))?;
    Ok(())
}

/// Removes some rows, an index or a table that rebuilds up to `last` have left; returns whether
/// there was anything to remove.
pub(crate) fn remove(connection: &Connection, table: &str, last: u64) -> Outcome<bool> {
    let Some(obsolete) = find_obsolete(connection, table, last)? else {
        return Ok(false);
    };
    if let Some((index, _)) = indexes(connection, &obsolete)?.pop() {
        connection.execute_batch(&format!("DROP INDEX {index}"))?;
        return Ok(true);
    }
    let key = "SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info(?1) \
               WHERE pk > 0 ORDER BY pk)";
    let key: String = connection.query_row(key, [&obsolete], |row| row.get(0))?;
    let delete = format!(
        "DELETE FROM {obsolete} \
         WHERE ({key}) IN (SELECT {key} FROM {obsolete} LIMIT {MAX_ROWS_PER_DELETE})"
    );
    if connection.execute(&delete, [])? == 0 {
        connection.execute_batch(&format!("DROP TABLE {obsolete}"))?;
    }
    Ok(true)
}

/// Creates an index unless the table has an equal one under any name: the indexes of a former
/// shadow table keep their names.
pub(crate) fn ensure_index(
    connection: &Connection,
    table: &str,
    name: &str,
    on: &str,
) -> rusqlite::Result<()> {
    let equal = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND tbl_name = ?1 \
                 AND substr(sql, instr(sql, '(')) = ?2";
    let found = connection
        .query_row(equal, params![table, on], |_| Ok(()))
        .optional()?;
    match found {
        Some(()) => Ok(()),
        None => connection.execute_batch(&format!(
            "CREATE INDEX IF NOT EXISTS {name} ON {table} {on}"
        )),
    }
}

/// Finds a table of a rebuild up to `last` that is no longer read or written.
fn find_obsolete(connection: &Connection, table: &str, last: u64) -> Outcome<Option<String>> {
    let all = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let mut all = connection.prepare(all)?;
    let names = all.query_map([], |row| row.get(0))?;
    for name in names.collect::<rusqlite::Result<Vec<String>>>()? {
        let is_replaced = Slot::is_shadow_of(&name, &format!("{table}_old"), last);
        if is_replaced || Slot::is_shadow_of(&name, table, last) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// Returns the column definitions of a table: the part of its statement after the name.
fn definition(connection: &Connection, table: &str) -> Outcome<Option<String>> {
    let query = "SELECT substr(sql, instr(sql, '(')) FROM sqlite_master \
                 WHERE type = 'table' AND name = ?1";
    let found = connection.query_row(query, [table], |row| row.get(0));
    Ok(found.optional()?)
}

/// Returns the explicitly created indexes of a table: name, and the part of the statement after
/// the table's name.
fn indexes(connection: &Connection, table: &str) -> Outcome<Vec<(String, String)>> {
    let query = "SELECT name, substr(sql, instr(sql, '(')) FROM sqlite_master \
                 WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL";
    let mut query = connection.prepare(query)?;
    let found = query.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
