//! Floods: orders at a fixed rate above the capacity, independent of answers.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::OrderClient;
use super::request::{acceptance, send};
use crate::ledger::{Answer, Entry, Request};

/// Duration of a flood.
const FLOOD_DURATION: Duration = Duration::from_secs(1);
/// Maximum number of orders; each has its own connection while it waits for its answer.
const MAX_ORDERS: f64 = 5_000.0;

/// Result of a flood.
pub struct FloodResult {
    /// Ledger entries of all orders.
    pub entries: Vec<Entry>,
    /// Time until the last order was sent.
    pub sent_within: Duration,
}

impl OrderClient {
    /// Places orders at a fixed rate per second, each once. Clients that wait for answers would
    /// never exceed the capacity.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn flood(mut self, rate: f64) -> Result<FloodResult> {
        let count = (rate * FLOOD_DURATION.as_secs_f64()).clamp(1.0, MAX_ORDERS) as usize;
        let mut entries = Vec::new();
        for _ in 0..count {
            let draft = self.draft();
            entries.push(self.entry(None, Request::Place(draft)));
        }
        self.ledger.intend_all(entries.clone())?;
        let started = Instant::now();
        let mut sending = JoinSet::new();
        for (index, mut entry) in entries.into_iter().enumerate() {
            let due = started + Duration::from_secs_f64(index as f64 / rate.max(1.0));
            sleep_until(due.into()).await;
            let (client, workload) = (self.random_client(), self.workload.clone());
            let authorization = self.identity.authorization.clone();
            sending.spawn(async move {
                let response = send(&client, &authorization, &entry).await;
                workload.count_answer(&entry, response.as_ref());
                match &response {
                    Some(accepted) if accepted.status == 202 => {
                        let (answer, order, file) = acceptance(&entry, accepted);
                        entry.conclude(answer, Some(order), file);
                    }
                    // An order without a 202 may have been stored nevertheless.
                    _ => entry.conclude(Answer::Unknown, None, None),
                }
                entry
            });
        }
        let sent_within = started.elapsed();
        let entries = sending.join_all().await;
        self.ledger.conclude_all(entries.clone())?;
        Ok(FloodResult {
            entries,
            sent_within,
        })
    }
}
