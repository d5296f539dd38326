//! Samples of receipts, histories, attached files and filtered lists, which are compared with the
//! log and the model.

use std::collections::HashMap;

use anyhow::Result;
use bakehouse_e2e::Client;
use serde_json::Value;

use crate::clients::Identity;
use crate::ledger::{Answer, Entry};
use crate::log::Row;
use crate::queries::{read, whole_list};
use crate::subscribers::hash;

/// Maximum number of receipts that are read.
const RECEIPTS: usize = 200;
/// Maximum number of histories that are read.
const HISTORIES: usize = 60;
/// Maximum number of files that are read.
const FILES: usize = 200;
/// Filtered lists that are read, each by status, by customer or by both.
pub(crate) const LISTS: [(Option<&str>, Option<&str>); 4] = [
    (Some("paid"), None),
    (Some("cancelled"), None),
    (None, Some("c-1")),
    (Some("placed"), Some("c-2")),
];

/// Answers of the API.
#[derive(Default)]
pub struct Reads {
    /// Receipts by operation id.
    pub(crate) receipts: HashMap<String, Value>,
    /// Histories by order id.
    pub(crate) histories: HashMap<String, Vec<Value>>,
    /// Status and hash of the content of files, by order id and file id.
    pub(crate) files: HashMap<(String, String), (u16, u64)>,
    /// Ids of the orders on each of [`LISTS`].
    pub(crate) lists: Vec<Vec<String>>,
}

/// Takes at most `max_count` items, evenly distributed.
fn sample<T>(all: Vec<T>, max_count: usize) -> impl Iterator<Item = T> {
    let step = all.len().div_ceil(max_count).max(1);
    all.into_iter().step_by(step)
}

impl Reads {
    /// Reads the samples as an operator.
    ///
    /// # Errors
    /// When a request gets no answer or a list is refused.
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
        for operation in sample(accepted.collect(), RECEIPTS) {
            let receipt = read(&client, operator, &format!("/operation/{operation}")).await?;
            reads.receipts.insert(operation, receipt.json());
        }
        let placed = log.iter().filter(|row| row.verb == "INSERT");
        for row in sample(placed.collect(), HISTORIES) {
            let path = format!("/order/{}/history", row.order);
            let history = whole_list(operator, &path).await?;
            reads.histories.insert(row.order.clone(), history);
        }
        for (order, file) in sample(files(list), FILES) {
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

    /// Returns the number of reads by kind.
    #[must_use]
    pub fn counts(&self) -> [(&'static str, u64); 4] {
        let listed = self.lists.iter().map(Vec::len).sum::<usize>();
        [
            ("receipts", self.receipts.len() as u64),
            ("histories", self.histories.len() as u64),
            ("files", self.files.len() as u64),
            ("entries of filtered lists", listed as u64),
        ]
    }
}

/// Returns order id and file id of every attachment in documents.
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
