//! More orders than can be taken: sent at their time, answered or not.

use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::sleep_until;

use super::Person;
use super::request::{acceptance, send};
use crate::ledger::{Answer, Asked, Entry};

/// For how long orders keep coming…
const TIME: Duration = Duration::from_secs(1);
/// …and how many at most: each of them has a connection of its own while it waits.
const MOST: f64 = 5_000.0;

/// What was sent, and what came of it.
pub struct Wave {
    /// Each once.
    pub entries: Vec<Entry>,
    /// Until the last was sent.
    pub sent_within: Duration,
}

impl Person {
    /// Places so many orders a second, each at its time and once: those who wait for an
    /// answer would only ask for what can be given.
    ///
    /// # Errors
    /// When the ledger cannot be kept.
    pub async fn flood(mut self, rate: f64) -> Result<Wave> {
        let count = (rate * TIME.as_secs_f64()).clamp(1.0, MOST) as usize;
        let mut entries = Vec::new();
        for _ in 0..count {
            let wish = self.wish();
            entries.push(self.entry(None, Asked::Place(wish)));
        }
        self.ledger.intend_all(entries.clone())?;
        let began = Instant::now();
        let mut sending = JoinSet::new();
        for (index, mut entry) in entries.into_iter().enumerate() {
            let due = began + Duration::from_secs_f64(index as f64 / rate.max(1.0));
            sleep_until(due.into()).await;
            let (client, pace) = (self.any_client(), self.pace.clone());
            let authorization = self.identity.authorization.clone();
            sending.spawn(async move {
                let response = send(&client, &authorization, &entry).await;
                pace.note(&entry, response.as_ref());
                match &response {
                    Some(accepted) if accepted.status == 202 => {
                        let (answer, order, file) = acceptance(&entry, accepted);
                        entry.conclude(answer, Some(order), file);
                    }
                    // Not now: some of these have been accepted after all.
                    _ => entry.conclude(Answer::Unknown, None, None),
                }
                entry
            });
        }
        let sent_within = began.elapsed();
        let entries = sending.join_all().await;
        self.ledger.conclude_all(entries.clone())?;
        Ok(Wave {
            entries,
            sent_within,
        })
    }
}
