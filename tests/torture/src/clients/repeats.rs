//! Requests that are repeated after a 202, sent to two servers at once, or race for a version.

use anyhow::Result;
use bakehouse_e2e::client::Answer as Response;
use rand::Rng;

use super::OrderClient;
use super::request::{REQUEST_TIMEOUT, acceptance, send};
use crate::ledger::{Answer, Entry, Request};

/// Returns the `Location` and `Operation-Location` headers of an answer.
fn locations(response: &Response) -> (String, String) {
    let header = |name: &str| response.header(name).to_owned();
    (header("location"), header("operation-location"))
}

impl OrderClient {
    /// Sends an accepted request again to any server and compares the answers.
    pub(super) async fn repeat(&mut self, entry: &Entry, first: &Response) {
        let repetition = self.send(entry).await;
        self.workload.count("repeated after 202");
        self.compare(entry, first, repetition.as_ref());
    }

    /// Checks that a repeated request was not accepted as another operation.
    fn compare(&self, entry: &Entry, first: &Response, repetition: Option<&Response>) {
        let Some(repetition) = repetition else { return };
        let is_same = match repetition.status.as_u16() {
            202 => locations(first) == locations(repetition),
            409 | 429 => true,
            // The order is not visible yet at the other server.
            404 => !matches!(entry.request, Request::Place(_)),
            status => status >= 500,
        };
        if !is_same {
            self.workload
                .add_violation(format!("{entry:?}: first {first:?}, then {repetition:?}"));
        }
    }

    /// Sends one request to two servers at once, or twice to the only one.
    pub(super) async fn request_twice_at_once(&mut self) -> Result<()> {
        let (order, request) = self.choose();
        let entry = self.entry(order, request);
        self.ledger.intend(entry.clone())?;
        let count = self.clients.len();
        let one = self.random.random_range(0..count);
        let (one, other) = (&self.clients[one], &self.clients[(one + 1) % count]);
        let authorization = &self.identity.authorization;
        let (one, other) = tokio::join!(
            send(one, authorization, &entry),
            send(other, authorization, &entry)
        );
        self.workload.count("sent twice at once");
        for answer in [&one, &other] {
            self.workload.count_answer(&entry, answer.as_ref());
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

    /// Sends two changes of the same version of an order at once. At most one may be executed.
    pub(super) async fn race(&mut self) -> Result<()> {
        if self.orders.is_empty() {
            return Ok(());
        }
        let order = self.orders[self.random.random_range(0..self.orders.len())].clone();
        let Some(version) = self.version(&order).await else {
            return Ok(());
        };
        let draft = self.draft();
        let status = ["paid", "shipped", "cancelled"][self.random.random_range(0..3)];
        let mut entries = Vec::new();
        for request in [Request::Amend(draft), Request::Status(status.to_owned())] {
            let mut entry = self.entry(Some(order.clone()), request);
            entry.expected = Some(version);
            entries.push(entry);
        }
        self.ledger.note(&entries)?;
        let (one, other) = (self.random_client(), self.random_client());
        let authorization = &self.identity.authorization;
        let answers = tokio::join!(
            send(&one, authorization, &entries[0]),
            send(&other, authorization, &entries[1])
        );
        self.workload.count("raced for a version");
        for (mut entry, answer) in entries.into_iter().zip([answers.0, answers.1]) {
            self.workload.count_answer(&entry, answer.as_ref());
            match &answer {
                Some(accepted) if accepted.status == 202 => {
                    let (answer, order, file) = acceptance(&entry, accepted);
                    entry.conclude(answer, Some(order), file);
                }
                // Final, since the request was sent only once.
                Some(refused) if refused.status == 412 => {
                    entry.conclude(Answer::Refused(412), None, None);
                }
                _ => entry.conclude(Answer::Unknown, None, None),
            }
            self.ledger.note(std::slice::from_ref(&entry))?;
            self.concurrent.push(entry);
        }
        Ok(())
    }

    /// Reads the current version of an order from any server.
    async fn version(&mut self, order: &str) -> Option<u64> {
        let headers = [("authorization", self.identity.authorization.as_str())];
        let path = format!("/order/{order}");
        let client = &self.clients[self.random.random_range(0..self.clients.len())];
        let reading = client.get_with(&path, &headers);
        let answer = tokio::time::timeout(REQUEST_TIMEOUT, reading)
            .await
            .ok()?
            .ok()?;
        answer.json()["version"].as_u64()
    }
}
