//! Receipts, histories, attached files and filtered lists: some of them are read at the end,
//! and held against the log and the rules.

use std::collections::HashMap;

use anyhow::Result;
use bakehouse_e2e::Client;
use serde_json::Value;

use crate::check::{Evidence, Findings};
use crate::clients::Identity;
use crate::evidence::{read, whole_list};
use crate::ledger::{Answer, Entry};
use crate::log::Row;
use crate::model::Orders;
use crate::watchers::hash;

/// Receipts that are read.
const RECEIPTS: usize = 200;
/// Orders whose histories are read.
const HISTORIES: usize = 60;
/// Files that are read.
const FILES: usize = 200;
/// Lists that are read: by status, by customer, and by both.
const LISTS: [(Option<&str>, Option<&str>); 4] = [
    (Some("paid"), None),
    (Some("cancelled"), None),
    (None, Some("c-1")),
    (Some("placed"), Some("c-2")),
];

/// Answers to reads.
#[derive(Default)]
pub struct Reads {
    /// Receipts by the operation's identity.
    receipts: HashMap<String, Value>,
    /// Histories by the order's identity.
    histories: HashMap<String, Vec<Value>>,
    /// Files by the order's and the file's identity: status, and hash of the content.
    files: HashMap<(String, String), (u16, u64)>,
    /// Identities of the orders on each of [`LISTS`].
    lists: Vec<Vec<String>>,
}

/// Takes at most `most` of them, from all over the whole.
fn some<T>(all: Vec<T>, most: usize) -> impl Iterator<Item = T> {
    let step = all.len().div_ceil(most).max(1);
    all.into_iter().step_by(step)
}

impl Reads {
    /// Reads them.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn gather(
        operator: &Identity,
        ledgers: &[Vec<Entry>],
        log: &[Row],
        list: &[Value],
    ) -> Result<Self> {
        let client = Client::new(&operator.bases[0]);
        let mut reads = Self::default();
        let accepted = ledgers.iter().flatten();
        let accepted = accepted.filter_map(|entry| match &entry.answer {
            Answer::Accepted { operation } => Some(operation.clone()),
            _ => None,
        });
        for operation in some(accepted.collect(), RECEIPTS) {
            let receipt = read(&client, operator, &format!("/operation/{operation}")).await?;
            reads.receipts.insert(operation, receipt.json());
        }
        let placed = log.iter().filter(|row| row.verb == "INSERT");
        for row in some(placed.collect(), HISTORIES) {
            let path = format!("/order/{}/history", row.order);
            let history = whole_list(operator, &path).await?;
            reads.histories.insert(row.order.clone(), history);
        }
        for (order, file) in some(files(list), FILES) {
            let path = format!("/order/{order}/attachments/{file}");
            let answer = read(&client, operator, &path).await?;
            let content = String::from_utf8_lossy(&answer.body);
            let found = (answer.status.as_u16(), hash(&content));
            reads.files.insert((order, file), found);
        }
        for (status, customer) in LISTS {
            let status = status.map(|status| format!("&status={status}"));
            let customer = customer.map(|customer| format!("&customer={customer}"));
            let filters = [status, customer].into_iter().flatten().collect::<String>();
            let found = whole_list(operator, &format!("/order?limit=100{filters}")).await?;
            let id = |one: &Value| one["id"].as_str().unwrap_or_default().to_owned();
            reads.lists.push(found.iter().map(id).collect());
        }
        Ok(reads)
    }

    /// Number of reads of each kind.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 4] {
        let listed = self.lists.iter().map(Vec::len).sum::<usize>();
        [
            ("receipts", self.receipts.len() as u64),
            ("histories", self.histories.len() as u64),
            ("files", self.files.len() as u64),
            ("listed by filters", listed as u64),
        ]
    }
}

/// The files that documents speak of.
fn files(list: &[Value]) -> Vec<(String, String)> {
    let of_one = |document: &Value| {
        let order = document["id"].as_str().unwrap_or_default().to_owned();
        let files = document["attachments"].as_array().cloned();
        let id = move |file: &Value| {
            let id = file["id"].as_str().unwrap_or_default();
            (order.clone(), id.to_owned())
        };
        files.unwrap_or_default().iter().map(id).collect::<Vec<_>>()
    };
    list.iter().flat_map(of_one).collect()
}

/// Holds them against the log and the rules.
pub fn check_reads(evidence: &Evidence, orders: &Orders, findings: &mut Findings) {
    let reads = &evidence.reads;
    let is_spoiled = |order: &str| evidence.spoiled.contains(order);
    let mut of_order: HashMap<&str, Vec<&Row>> = HashMap::new();
    for row in &evidence.log {
        of_order.entry(&row.order).or_default().push(row);
        let Some(receipt) = reads.receipts.get(&row.operation) else {
            continue;
        };
        if !is_spoiled(&row.order) {
            let status = match row.status.as_str() {
                "executed" => "baked",
                other => other,
            };
            check_receipt(receipt, (row, status), "wrong receipt", findings);
        }
    }
    for (order, history) in &reads.histories {
        if is_spoiled(order) {
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
        let content = String::from_utf8_lossy(&file.sheet.bytes()).into_owned();
        findings.expect(*found == (200, hash(&content)), "lost file", || {
            format!("{key:?}: status {}", found.0)
        });
    }
    for ((status, customer), found) in LISTS.into_iter().zip(&reads.lists) {
        let found: Vec<&String> = found.iter().filter(|id| !is_spoiled(id)).collect();
        let expected = orders.listed(status, customer);
        let expected: Vec<&String> = expected.iter().filter(|id| !is_spoiled(id)).collect();
        findings.expect(found == expected, "list by a filter", || {
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
    let is_so = receipt["status"] == status
        && receipt["position"] == row.position
        && receipt["operation_id"] == row.operation.as_str();
    findings.expect(is_so, kind, || format!("{receipt} for {row:?}"));
}
