//! Checks of the sampled receipts, histories, attached files and filtered lists against the log
//! and the model.

use std::collections::HashMap;

use serde_json::Value;

use crate::evidence::Evidence;
use crate::findings::Findings;
use crate::log::Row;
use crate::model::Orders;
use crate::reads::LISTS;
use crate::subscribers::hash;

/// Compares the samples with the log and the model.
pub(super) fn check_reads(evidence: &Evidence, orders: &Orders, findings: &mut Findings) {
    let reads = &evidence.reads;
    let is_poisoned = |order: &str| evidence.poisoned.contains(order);
    let mut of_order: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in &evidence.log {
        of_order.entry(&row.order).or_default().push(row);
        let Some(receipt) = reads.receipts.get(&row.operation) else {
            continue;
        };
        if !is_poisoned(&row.order) {
            let status = match row.status.as_str() {
                "executed" => "baked",
                other => other,
            };
            check_receipt(receipt, (row, status), "wrong receipt", findings);
        }
    }
    for (order, history) in &reads.histories {
        if is_poisoned(order) {
            continue;
        }
        let rows = of_order.get(order.as_str()).map(Vec::as_slice);
        let rows = rows.unwrap_or_default();
        findings.expect(history.len() == rows.len(), "wrong history", || {
            format!(
                "{order}: {} entries of {} events",
                history.len(),
                rows.len()
            )
        });
        for (entry, row) in history.iter().zip(rows) {
            check_receipt(entry, (row, &row.status), "wrong history", findings);
        }
    }
    for (order, file) in orders.files() {
        let key = (order.to_owned(), file.id.clone());
        let Some(found) = reads.files.get(&key) else {
            continue;
        };
        let content = String::from_utf8_lossy(&file.test_file.bytes()).into_owned();
        findings.expect(*found == (200, hash(&content)), "lost file", || {
            format!("{key:?}: status {}", found.0)
        });
    }
    for ((status, customer), found) in LISTS.into_iter().zip(&reads.lists) {
        let found: Vec<&String> = found.iter().filter(|id| !is_poisoned(id)).collect();
        let expected = orders.listed(status, customer);
        let expected: Vec<&String> = expected.iter().filter(|id| !is_poisoned(id)).collect();
        findings.expect(found == expected, "wrong filtered list", || {
            let (found, expected) = (found.len(), expected.len());
            format!("{status:?} {customer:?}: {found} orders, expected {expected}")
        });
    }
}

fn check_receipt(
    receipt: &Value,
    (row, status): (&Row, &str),
    kind: &'static str,
    findings: &mut Findings,
) {
    let matches = receipt["status"] == status
        && receipt["position"] == row.position
        && receipt["operation_id"] == row.operation.as_str();
    findings.expect(matches, kind, || format!("{receipt} for {row:?}"));
}
