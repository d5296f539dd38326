//! Requests that are repeated after they were accepted, sent to two servers at once, or that
//! race each other for a version.

use anyhow::Result;
use bakehouse_e2e::client::Answer as Response;
use rand::Rng;

use super::request::{acceptance, send};
use super::{PATIENCE, Person};
use crate::ledger::{Answer, Asked, Entry};

/// Places of a client's order, operation and file, as an answer tells them.
fn places(response: &Response) -> (String, String) {
    let header = |name: &str| response.header(name).to_owned();
    (header("location"), header("operation-location"))
}

impl Person {
    /// Sends once more what has been accepted, to whichever server: the same answer, or none.
    pub(super) async fn repeat(&mut self, entry: &Entry, first: &Response) {
        let again = self.send(entry).await;
        self.pace.count("repeated after 202");
        self.compare(entry, first, again.as_ref());
    }

    fn compare(&self, entry: &Entry, first: &Response, again: Option<&Response>) {
        let Some(again) = again else { return };
        let is_same = match again.status.as_u16() {
            202 => places(first) == places(again),
            409 | 429 => true,
            // The other server does not see the order yet.
            404 => !matches!(entry.asked, Asked::Place(_)),
            status => status >= 500,
        };
        if !is_same {
            self.pace
                .complain(format!("{entry:?}: first {first:?}, then {again:?}"));
        }
    }

    /// Sends one request to two servers at once, where there are two.
    pub(super) async fn ask_twice_at_once(&mut self) -> Result<()> {
        let (order, asked) = self.choose();
        let entry = self.entry(order, asked);
        self.ledger.intend(entry.clone())?;
        let count = self.clients.len();
        let one = self.random.random_range(0..count);
        let (one, other) = (&self.clients[one], &self.clients[(one + 1) % count]);
        let authorization = &self.identity.authorization;
        let (one, other) = tokio::join!(
            send(one, authorization, &entry),
            send(other, authorization, &entry)
        );
        self.pace.count("sent twice at once");
        for answer in [&one, &other] {
            self.pace.note(&entry, answer.as_ref());
        }
        let is_accepted = |answer: &&Response| answer.status == 202;
        let (one, other) = (one.as_ref(), other.as_ref());
        if let (Some(one), Some(other)) = (one.filter(is_accepted), other) {
            self.compare(&entry, one, Some(other));
        }
        let accepted = one.filter(is_accepted).or(other.filter(is_accepted));
        if let Some(accepted) = accepted {
            self.accepted(&entry, accepted)?;
        }
        Ok(())
    }

    /// Two changes of one order at its present version, at once: one of them at most is carried
    /// out, and both are answered.
    pub(super) async fn race(&mut self) -> Result<()> {
        if self.orders.is_empty() {
            return Ok(());
        }
        let order = self.orders[self.random.random_range(0..self.orders.len())].clone();
        let Some(version) = self.version(&order).await else {
            return Ok(());
        };
        let wish = self.wish();
        let status = ["paid", "shipped", "cancelled"][self.random.random_range(0..3)];
        let mut entries = Vec::new();
        for asked in [Asked::Amend(wish), Asked::Status(status.to_owned())] {
            let mut entry = self.entry(Some(order.clone()), asked);
            entry.expected = Some(version);
            entries.push(entry);
        }
        self.ledger.note(&entries)?;
        let (one, other) = (self.any_client(), self.any_client());
        let authorization = &self.identity.authorization;
        let answers = tokio::join!(
            send(&one, authorization, &entries[0]),
            send(&other, authorization, &entries[1])
        );
        self.pace.count("raced for a version");
        for (mut entry, answer) in entries.into_iter().zip([answers.0, answers.1]) {
            self.pace.note(&entry, answer.as_ref());
            match &answer {
                Some(accepted) if accepted.status == 202 => {
                    let (answer, order, file) = acceptance(&entry, accepted);
                    entry.conclude(answer, Some(order), file);
                }
                // It was sent once.
                Some(refused) if refused.status == 412 => {
                    entry.conclude(Answer::Refused(412), None, None);
                }
                _ => entry.conclude(Answer::Unknown, None, None),
            }
            self.ledger.note(std::slice::from_ref(&entry))?;
            self.side_by_side.push(entry);
        }
        Ok(())
    }

    /// The version that an order is at, as far as a server can see.
    async fn version(&mut self, order: &str) -> Option<u64> {
        let headers = [("authorization", self.identity.authorization.as_str())];
        let path = format!("/order/{order}");
        let client = &self.clients[self.random.random_range(0..self.clients.len())];
        let reading = client.get_with(&path, &headers);
        let answer = tokio::time::timeout(PATIENCE, reading).await.ok()?.ok()?;
        answer.json()["version"].as_u64()
    }
}
