//! Ledgers: records of requests and answers that clients keep outside the system. Every request is
//! on disk before it is sent.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// Content of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrderDraft {
    /// Name, price in cents and quantity of each product.
    pub products: Vec<(String, u64, u64)>,
    /// Customer id.
    pub customer: String,
    /// Reference of the client.
    pub reference: String,
}

/// Formats an amount in cents as in documents.
#[must_use]
pub fn euros(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

impl OrderDraft {
    /// Returns the request body.
    #[must_use]
    pub fn body(&self) -> Value {
        let product = |(name, cents, quantity): &(String, u64, u64)| json!({ "name": name, "price": euros(*cents), "quantity": quantity });
        json!({
            "products": self.products.iter().map(product).collect::<Vec<_>>(),
            "customer": { "id": self.customer },
            "reference": self.reference,
        })
    }
}

/// An attached text file, generated from a seed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestFile {
    /// File name.
    pub name: String,
    /// Size in bytes.
    pub size: usize,
    /// Seed of the content.
    pub seed: u64,
}

impl TestFile {
    /// Returns the content.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let line = format!("{} {:016x}\n", self.name, self.seed);
        line.bytes().cycle().take(self.size).collect()
    }
}

/// A change that a client requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Attaches a file to an order.
    Attach(TestFile),
    /// Places a new order.
    Place(OrderDraft),
    /// Replaces the content of an order.
    Amend(OrderDraft),
    /// Changes the status of an order.
    Status(String),
    /// Deletes an order.
    Delete,
}

/// Outcome of a request, as far as the client knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// 202: the operation must be in the log exactly once.
    Accepted {
        /// Operation id, the last segment of `Operation-Location`.
        operation: String,
    },
    /// Every attempt was refused, the last one with this status: it must not be in the log.
    Refused(u16),
    /// Any other outcome: it may be in the log at most once.
    Unknown,
}

/// One request, including its repetitions.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// Idempotency key.
    pub key: String,
    /// Subject of the client.
    pub subject: String,
    /// Correlation id of the resulting events.
    pub correlation: Uuid,
    /// Order id; `None` for a new order until it is known.
    pub order: Option<String>,
    /// Requested change.
    pub request: Request,
    /// Version in `If-Match`.
    pub expected: Option<u64>,
    /// Id of the attached file, from the answer.
    pub file: Option<String>,
    /// Time at which it was created, in milliseconds since 1970.
    pub sent_at: i64,
    /// Time of the last answer, in milliseconds since 1970.
    pub answered_at: Option<i64>,
    /// Outcome.
    pub answer: Answer,
}

impl Entry {
    /// Sets the outcome and the current time.
    pub fn conclude(&mut self, answer: Answer, order: Option<String>, file: Option<String>) {
        self.file = file;
        self.answer = answer;
        self.answered_at = Some(now());
        self.order = order.or(self.order.take());
    }
}

/// Ledger of one client, in order of its requests.
pub struct Ledger {
    file: File,
    entries: Vec<Entry>,
}

impl Ledger {
    /// Creates a ledger and its file.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(format!("{name}.ledger"));
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Self {
            file,
            entries: Vec::new(),
        })
    }

    /// Adds a request before it is sent, and syncs the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn intend(&mut self, entry: Entry) -> Result<()> {
        self.intend_all(vec![entry])
    }

    /// Adds concurrent requests before they are sent, and syncs the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn intend_all(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.write(&entries)?;
        self.entries.extend(entries);
        Ok(())
    }

    /// Sets the outcome of the last request, and syncs the file.
    ///
    /// # Errors
    /// When there is no request or the file cannot be written.
    pub fn conclude(
        &mut self,
        answer: Answer,
        order: Option<String>,
        file: Option<String>,
    ) -> Result<()> {
        let last = self.entries.last_mut().context("the ledger is empty")?;
        last.conclude(answer, order, file);
        let line = last.clone();
        self.write(&[line])
    }

    /// Replaces all entries by those with outcomes, and syncs the file.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn conclude_all(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.write(&entries)?;
        self.entries = entries;
        Ok(())
    }

    /// Writes entries to the file only, since their order is not that of the ledger, and syncs it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn note(&mut self, entries: &[Entry]) -> Result<()> {
        self.write(entries)
    }

    fn write(&mut self, entries: &[Entry]) -> Result<()> {
        let mut lines = String::new();
        for entry in entries {
            lines.push_str(&serde_json::to_string(entry)?);
            lines.push('\n');
        }
        self.file.write_all(lines.as_bytes())?;
        Ok(self.file.sync_data()?)
    }

    /// Returns all entries.
    #[must_use]
    pub fn entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// Returns the current time in milliseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
