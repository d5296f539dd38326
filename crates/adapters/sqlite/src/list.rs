//! Lists of documents: SQL statements of a query, and the indexes that serve them.

use bakehouse_engine::Facet;
use bakehouse_engine::ports::{DocumentKey, ListQuery, SortKey, StoredDocument};
use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::error::Outcome;
use crate::rows::{DOCUMENT_COLUMNS, documents, integer, position};
use crate::shadow::ensure_index;

/// Creates an index for each facet of the domain.
pub(crate) fn create_indexes(connection: &Connection, facets: &[Facet]) -> rusqlite::Result<()> {
    for facet in facets {
        let name = format!("documents_by_{}", facet.name);
        let on = format!("({}, number) WHERE listed = 1", member(facet));
        ensure_index(connection, "documents", &name, &on)?;
    }
    Ok(())
}

/// Returns the SQL expression of a facet's value in the document. SQLite uses an index only if
/// the statement has the same expression.
fn member(facet: &Facet) -> String {
    format!("json_extract(body, '$.{}')", facet.member)
}

pub(crate) fn list(connection: &Connection, query: &ListQuery) -> Outcome<Vec<StoredDocument>> {
    let Some(numbers) = numbers(connection, query)? else {
        return Ok(Vec::new());
    };
    let (statement, values) = statement(DOCUMENT_COLUMNS, query, numbers);
    documents(connection, &statement, params_from_iter(values))
}

pub(crate) fn list_keys(connection: &Connection, query: &ListQuery) -> Outcome<Vec<DocumentKey>> {
    let Some(numbers) = numbers(connection, query)? else {
        return Ok(Vec::new());
    };
    let (statement, values) = statement("number, position", query, numbers);
    let mut statement = connection.prepare_cached(&statement)?;
    let mut rows = statement.query(params_from_iter(values))?;
    let mut keys = Vec::new();
    while let Some(row) = rows.next()? {
        keys.push(DocumentKey {
            number: position(row, 0)?,
            position: position(row, 1)?,
        });
    }
    Ok(keys)
}

/// Returns the lowest and highest document number in the query's time range; `None` if the range
/// is empty.
///
/// Creation times never decrease with the numbers, so a range of time is a range of numbers, and
/// the list needs no sort by time.
fn numbers(connection: &Connection, query: &ListQuery) -> Outcome<Option<(i64, i64)>> {
    let mut range = (0, i64::MAX);
    if let Some(time) = query.created_after {
        let first = "SELECT number FROM documents WHERE created_at > ?1 \
                     ORDER BY created_at, number LIMIT 1";
        match number(connection, first, time.millis())? {
            Some(number) => range.0 = number,
            None => return Ok(None),
        }
    }
    if let Some(time) = query.created_before {
        let last = "SELECT number FROM documents WHERE created_at < ?1 \
                    ORDER BY created_at DESC, number DESC LIMIT 1";
        match number(connection, last, time.millis())? {
            Some(number) => range.1 = number,
            None => return Ok(None),
        }
    }
    Ok(Some(range))
}

fn number(connection: &Connection, query: &str, time: i64) -> Outcome<Option<i64>> {
    let mut statement = connection.prepare_cached(query)?;
    Ok(statement.query_row([time], |row| row.get(0)).optional()?)
}

fn statement(columns: &str, query: &ListQuery, numbers: (i64, i64)) -> (String, Vec<Value>) {
    let mut conditions = vec!["listed = 1".to_owned()];
    let mut values: Vec<Value> = Vec::new();
    let mut condition = |text: &str, value: Value| {
        values.push(value);
        conditions.push(format!("{text} ?{}", values.len()));
    };
    if let Some(owner) = &query.owner {
        condition("owner =", owner.clone().into());
    }
    for (facet, wanted) in &query.facets {
        condition(&format!("{} =", member(facet)), wanted.clone().into());
    }
    if query.created_after.is_some() {
        condition("number >=", numbers.0.into());
    }
    if query.created_before.is_some() {
        condition("number <=", numbers.1.into());
    }
    let key = match query.sort.by {
        SortKey::Created => "number",
        SortKey::Updated => "position",
    };
    let (beyond, direction) = if query.sort.descending {
        ("<", "DESC")
    } else {
        (">", "ASC")
    };
    if let Some(past) = query.past {
        condition(&format!("{key} {beyond}"), integer(past).into());
    }
    let limit = i64::try_from(query.limit).unwrap_or(i64::MAX);
    let conditions = conditions.join(" AND ");
    let statement = format!(
        "SELECT {columns} FROM documents WHERE {conditions} \
         ORDER BY {key} {direction} LIMIT {limit}"
    );
    (statement, values)
}

#[cfg(test)]
mod tests {
    use bakehouse_engine::ports::Sort;

    use super::*;
    use crate::schema;

    const COLOUR: Facet = Facet {
        name: "colour",
        member: "paint.colour",
    };

    /// Returns SQLite's query plan of a list.
    fn plan(query: &ListQuery) -> String {
        let mut connection = Connection::open_in_memory().expect("a database");
        schema::prepare(&mut connection, "e").expect("tables");
        create_indexes(&connection, &[COLOUR]).expect("indexes");
        let (statement, values) = statement(DOCUMENT_COLUMNS, query, (1, 9));
        let explained = format!("EXPLAIN QUERY PLAN {statement}");
        let mut explained = connection.prepare(&explained).expect("a statement");
        let lines = explained.query_map(params_from_iter(values), |row| row.get(3));
        let lines = lines.expect("a plan").collect::<Result<Vec<String>, _>>();
        lines.expect("lines").join("; ")
    }

    fn sorted(by: SortKey) -> ListQuery {
        let sort = Sort {
            by,
            descending: true,
        };
        ListQuery {
            sort,
            ..ListQuery::newest(20)
        }
    }

    #[test]
    fn lists_are_read_in_the_order_of_a_key() {
        // A scan in the order of the primary key ends with the page.
        assert_eq!(plan(&sorted(SortKey::Created)), "SCAN documents");
        let updated = plan(&sorted(SortKey::Updated));
        assert_eq!(updated, "SCAN documents USING INDEX documents_by_change");
    }

    #[test]
    fn filters_are_looked_up() {
        for by in [SortKey::Created, SortKey::Updated] {
            for which in 1..16_u32 {
                let is = |bit: u32| which & (1 << bit) != 0;
                let mut query = sorted(by);
                query.owner = is(0).then(|| "ada".to_owned());
                if is(1) {
                    query.facets.push((COLOUR, "red".to_owned()));
                }
                query.created_after = is(2).then(|| at(1));
                query.past = is(3).then_some(7);
                let plan = plan(&query);
                // Without a matching index, a scan in the requested order ends with the page.
                let by_key = plan.starts_with("SCAN documents USING INDEX documents_by_change");
                let is_looked_up = plan.starts_with("SEARCH documents USING") || by_key;
                assert!(is_looked_up, "{query:?}: {plan}");
                let is_sorted = plan.contains("TEMP B-TREE");
                assert!(by == SortKey::Updated || !is_sorted, "{query:?}: {plan}");
            }
        }
    }

    fn at(millis: i64) -> bakehouse_engine::Timestamp {
        bakehouse_engine::Timestamp::from_millis(millis).expect("in range")
    }
}
