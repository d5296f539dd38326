//! SQL statements for reads of the log without payloads.

use bakehouse_engine::EntryStatus;
use bakehouse_engine::ports::{Selection, Senders, SummaryQuery};
use rusqlite::types::Value;

use crate::rows::{EVENT_COLUMNS, integer};

/// SQL text and its parameters.
pub(crate) type Statement = (String, Vec<Value>);

/// Returns the statements whose combined results are the page; one index serves each of them in
/// order.
pub(crate) fn statements(query: &SummaryQuery<'_>) -> Vec<Statement> {
    let text = |text: &str| Value::Text(text.to_owned());
    match query.of {
        Selection::Log => vec![page(query, "1 = 1", Vec::new())],
        Selection::Operations(ids) => ids
            .iter()
            .map(|id| page(query, "operation_id = ?", vec![text(&id.to_string())]))
            .collect(),
        Selection::Entity(id) => vec![page(query, "entity_id = ?", vec![text(id)])],
        Selection::Creation(id) => {
            let creation = "entity_id = ? AND operation = 'INSERT' AND status <> ?";
            let rejected = EntryStatus::Rejected.as_str();
            vec![page(query, creation, vec![text(id), text(rejected)])]
        }
        Selection::Parked(None) => vec![page(query, "status = 'parked'", Vec::new())],
        Selection::Parked(Some(id)) => {
            // SQLite uses the index only if the statement repeats its condition on `parked`.
            let parked = "entity_id = ? AND parked IS NOT NULL AND status = 'parked'";
            vec![page(query, parked, vec![text(id)])]
        }
        Selection::Correlation(id) if matches!(query.senders, Senders::Owner(_)) => {
            // The index contains the owner, so that rows of other owners are not read: to reach
            // the column, SQLite reads the whole payload before it.
            vec![page(
                query,
                "correlation_id = ?",
                vec![text(&id.to_string())],
            )]
        }
        Selection::Correlation(id) => {
            let id = id.to_string();
            let first = "operation_id = ? AND correlation_id = ?";
            let others = "correlation_id = ? AND correlation_id <> operation_id";
            vec![
                page(query, first, vec![text(&id), text(&id)]),
                page(query, others, vec![text(&id)]),
            ]
        }
    }
}

fn page(query: &SummaryQuery<'_>, condition: &str, mut values: Vec<Value>) -> Statement {
    let owner = |owner: &str| Value::Text(owner.to_owned());
    let senders = match query.senders {
        Senders::Any => "",
        Senders::Owner(wanted) => {
            values.push(owner(wanted));
            " AND owner = ?"
        }
        Senders::OwnerOrNone(wanted) => {
            values.push(owner(wanted));
            " AND (owner IS NULL OR owner = ?)"
        }
    };
    let columns = EVENT_COLUMNS.replacen("payload", "'null'", 1);
    let statement = format!(
        "SELECT {columns} FROM events WHERE {condition}{senders} AND position > ? \
         ORDER BY position LIMIT ?"
    );
    values.push(Value::Integer(integer(query.after)));
    values.push(Value::Integer(
        i64::try_from(query.limit).unwrap_or(i64::MAX),
    ));
    (statement, values)
}

#[cfg(test)]
mod tests {
    use bakehouse_engine::model::ids;
    use rusqlite::{Connection, params_from_iter};

    use super::*;
    use crate::schema;

    /// Returns SQLite's query plan of a page.
    fn plan(of: Selection<'_>, senders: Senders<'_>) -> String {
        let mut connection = Connection::open_in_memory().expect("a database");
        schema::prepare(&mut connection, "e").expect("tables");
        let query = SummaryQuery {
            senders,
            ..SummaryQuery::first(of, 1)
        };
        let mut plan = Vec::new();
        for (statement, values) in statements(&query) {
            let explained = format!("EXPLAIN QUERY PLAN {statement}");
            let mut explained = connection.prepare(&explained).expect("a statement");
            let lines = explained.query_map(params_from_iter(values), |row| row.get(3));
            let lines = lines.expect("a plan").collect::<Result<Vec<String>, _>>();
            plan.extend(lines.expect("lines"));
        }
        plan.join("; ")
    }

    #[test]
    fn correlations_of_another_owner_are_not_read() {
        let plan = plan(Selection::Correlation(ids::fresh()), Senders::Owner("ada"));
        let index = "events_by_correlation_and_owner (correlation_id=? AND owner=?";
        for step in plan.split("; ") {
            assert!(step.contains(index), "{plan}");
        }
    }

    #[test]
    fn pages_are_looked_up_and_never_sorted() {
        let id = ids::fresh();
        for (of, senders, index) in [
            (Selection::Log, Senders::Any, "PRIMARY KEY"),
            (Selection::Operations(&[id]), Senders::Any, "operation_id=?"),
            (Selection::Entity("o"), Senders::Any, "events_by_entity"),
            (
                Selection::Entity("o"),
                Senders::OwnerOrNone("ada"),
                "events_by_entity",
            ),
            (Selection::Creation("o"), Senders::Any, "events_by_entity"),
            (Selection::Parked(None), Senders::Any, "events_parked"),
            (Selection::Parked(Some("o")), Senders::Any, "events_held"),
            (
                Selection::Correlation(id),
                Senders::Any,
                "events_by_correlation ",
            ),
            (
                Selection::Correlation(id),
                Senders::Owner("ada"),
                "events_by_correlation_and_owner (correlation_id=? AND owner=?",
            ),
        ] {
            let plan = plan(of, senders);
            assert!(plan.contains(index), "{of:?} {senders:?}: {plan}");
            assert!(!plan.contains("SCAN"), "{of:?} {senders:?}: {plan}");
            assert!(!plan.contains("B-TREE"), "{of:?} {senders:?}: {plan}");
        }
    }
}
