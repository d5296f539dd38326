//! What clients remember of what they asked for and were answered: outside the system,
//! on disk before they send anything, and in their own words.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

/// What an order is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wish {
    /// Name, price in cents, quantity.
    pub products: Vec<(String, u64, u64)>,
    /// The customer's own id.
    pub customer: String,
    /// The sender's own name for it.
    pub reference: String,
}

/// An amount in cents, as documents write it.
#[must_use]
pub fn euros(cents: u64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

impl Wish {
    /// As it is posted.
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

/// A file that is attached: text, made of a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sheet {
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: usize,
    /// Seed of its bytes.
    pub seed: u64,
}

impl Sheet {
    /// Its content.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let line = format!("{} {:016x}\n", self.name, self.seed);
        line.bytes().cycle().take(self.size).collect()
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Asked {
    /// A file on an order.
    Attach(Sheet),
    /// A new order.
    Place(Wish),
    /// Another content.
    Amend(Wish),
    /// Another status.
    Status(String),
    /// Its end.
    Delete,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// 202, with the operation's identity: there, once.
    Accepted {
        /// The last part of `Operation-Location`.
        operation: String,
    },
    /// Refused for good, with this status and whenever it was tried: not there.
    Refused(u16),
    /// Anything else: there at most once.
    Unknown,
}

/// One request, however often it was repeated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Entry {
    /// The idempotency key.
    pub key: String,
    /// Who asked.
    pub subject: String,
    /// What every event that comes of it is found by.
    pub correlation: Uuid,
    /// Of which order; of a new one, as far as it is known.
    pub order: Option<String>,
    /// What.
    pub asked: Asked,
    /// Version that the order must be at, if that is asked for.
    pub expected: Option<u64>,
    /// The identity of the file that was attached, where that was answered.
    pub file: Option<String>,
    /// When it was sent first, in milliseconds since 1970.
    pub sent_at: i64,
    /// When it was answered.
    pub answered_at: Option<i64>,
    /// What came of it.
    pub answer: Answer,
}

impl Entry {
    /// What came of it, as of now.
    pub fn conclude(&mut self, answer: Answer, order: Option<String>, file: Option<String>) {
        self.file = file;
        self.answer = answer;
        self.answered_at = Some(now());
        self.order = order.or(self.order.take());
    }
}

/// What one client remembers, in the order in which it asked.
pub struct Ledger {
    file: File,
    entries: Vec<Entry>,
}

impl Ledger {
    /// A new one, in a file of its own.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn new(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(format!("{name}.ledger"));
        let file = File::create(&path).with_context(|| path.display().to_string())?;
        Ok(Self {
            file,
            entries: Vec::new(),
        })
    }

    /// Notes down what is about to be sent; on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn intend(&mut self, entry: Entry) -> Result<()> {
        self.intend_all(vec![entry])
    }

    /// Notes down what is about to be sent side by side; on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn intend_all(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.write(&entries)?;
        self.entries.extend(entries);
        Ok(())
    }

    /// Notes down what came of what was sent last; on disk when this returns.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn conclude(
        &mut self,
        answer: Answer,
        order: Option<String>,
        file: Option<String>,
    ) -> Result<()> {
        let last = self.entries.last_mut().context("nothing was sent")?;
        last.conclude(answer, order, file);
        let line = last.clone();
        self.write(&[line])
    }

    /// Notes down what came of all that was sent, each with its answer in it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn conclude_all(&mut self, entries: Vec<Entry>) -> Result<()> {
        self.write(&entries)?;
        self.entries = entries;
        Ok(())
    }

    /// Notes down what is remembered elsewhere, and not in an order with the rest; on disk when
    /// this returns.
    ///
    /// # Errors
    /// When it cannot be written.
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

    /// All that is remembered.
    #[must_use]
    pub fn entries(self) -> Vec<Entry> {
        self.entries
    }
}

/// Milliseconds since 1970.
#[must_use]
pub fn now() -> i64 {
    chrono::Utc::now().timestamp_millis()
}
