//! Tables that are there twice: what is read, and a twin of it in which the same is being
//! made anew.
//!
//! A twin has the name of its table with the round's number behind it (`documents_r7`).
//! When it takes the table's place, the table goes on as `documents_old_r7`, until it has
//! been removed, piece by piece.

use bakehouse_engine::ports::Slot;
use rusqlite::{Connection, OptionalExtension, params};

use crate::database::Outcome;

/// Rows that are removed at a time: what others have to write does not wait for more.
const PIECE: usize = 2_000;

/// Makes an empty twin with the same columns and indexes, unless it is there.
pub(crate) fn make(connection: &Connection, table: &str, round: u64) -> Outcome<()> {
    let twin = Slot::Shadow(round).name(table);
    if definition(connection, &twin)?.is_some() {
        return Ok(());
    }
    let Some(columns) = definition(connection, table)? else {
        return Ok(());
    };
    connection.execute_batch(&format!("CREATE TABLE {twin} {columns}"))?;
    for (name, on) in indexes(connection, table)? {
        let name = Slot::Shadow(round).name(Slot::base(&name));
        connection.execute_batch(&format!("CREATE INDEX {name} ON {twin} {on}"))?;
    }
    Ok(())
}

/// The twin takes the table's place.
pub(crate) fn replace(connection: &Connection, table: &str, round: u64) -> Outcome<()> {
    let twin = Slot::Shadow(round).name(table);
    connection.execute_batch(&format!(
        "ALTER TABLE {table} RENAME TO {table}_old_r{round}; ALTER TABLE {twin} RENAME TO {table};"
    ))?;
    Ok(())
}

/// Removes a piece of what is left of rounds up to `last`; `true`: there was something.
pub(crate) fn remove(connection: &Connection, table: &str, last: u64) -> Outcome<bool> {
    let Some(dead) = dead(connection, table, last)? else {
        return Ok(false);
    };
    if let Some((index, _)) = indexes(connection, &dead)?.pop() {
        connection.execute_batch(&format!("DROP INDEX {index}"))?;
        return Ok(true);
    }
    let key = "SELECT group_concat(name) FROM (SELECT name FROM pragma_table_info(?1) \
               WHERE pk > 0 ORDER BY pk)";
    let key: String = connection.query_row(key, [&dead], |row| row.get(0))?;
    let piece =
        format!("DELETE FROM {dead} WHERE ({key}) IN (SELECT {key} FROM {dead} LIMIT {PIECE})");
    if connection.execute(&piece, [])? == 0 {
        connection.execute_batch(&format!("DROP TABLE {dead}"))?;
    }
    Ok(true)
}

/// Makes an index unless the table has one like it, by whatever name: one that was a
/// twin's keeps its own.
pub(crate) fn ensure_index(
    connection: &Connection,
    table: &str,
    name: &str,
    on: &str,
) -> rusqlite::Result<()> {
    let alike = "SELECT 1 FROM sqlite_master WHERE type = 'index' AND tbl_name = ?1 \
                 AND substr(sql, instr(sql, '(')) = ?2";
    let found = connection
        .query_row(alike, params![table, on], |_| Ok(()))
        .optional()?;
    match found {
        Some(()) => Ok(()),
        None => connection.execute_batch(&format!(
            "CREATE INDEX IF NOT EXISTS {name} ON {table} {on}"
        )),
    }
}

/// A table that nobody will ever read again.
fn dead(connection: &Connection, table: &str, last: u64) -> Outcome<Option<String>> {
    let all = "SELECT name FROM sqlite_master WHERE type = 'table'";
    let mut all = connection.prepare(all)?;
    let names = all.query_map([], |row| row.get(0))?;
    for name in names.collect::<rusqlite::Result<Vec<String>>>()? {
        let is_replaced = Slot::is_made_of(&name, &format!("{table}_old"), last);
        if is_replaced || Slot::is_made_of(&name, table, last) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// What follows the name in a table's statement: the columns.
fn definition(connection: &Connection, table: &str) -> Outcome<Option<String>> {
    let query = "SELECT substr(sql, instr(sql, '(')) FROM sqlite_master \
                 WHERE type = 'table' AND name = ?1";
    let found = connection.query_row(query, [table], |row| row.get(0));
    Ok(found.optional()?)
}

/// Those that were made by a statement: by name, and what follows the table's in it.
fn indexes(connection: &Connection, table: &str) -> Outcome<Vec<(String, String)>> {
    let query = "SELECT name, substr(sql, instr(sql, '(')) FROM sqlite_master \
                 WHERE type = 'index' AND tbl_name = ?1 AND sql IS NOT NULL";
    let mut query = connection.prepare(query)?;
    let found = query.query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
