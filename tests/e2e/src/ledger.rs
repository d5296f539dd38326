//! Load from clients that record the responses, and the audit that compares the feed and the list
//! with them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::{Client, Feed, World};

/// Returns the body of an order with the given reference.
#[must_use]
pub fn order(reference: &str) -> String {
    json!({
        "products": [{ "name": "Tea", "price": "3.50", "quantity": 2, "sku": "A-1" }],
        "customer": { "id": "c-1", "name": "Ada" },
        "reference": reference,
    })
    .to_string()
}

/// Responses that the clients have got, by the references of their orders.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Orders answered with 202; each must exist exactly once.
    pub accepted: BTreeSet<String>,
    /// Orders answered otherwise or not at all; each may exist at most once.
    pub unknown: BTreeSet<String>,
    /// Accepted references of each client, in the order of its requests. A client sends one
    /// request after the other, so its orders must be executed in this sequence.
    pub sequences: Vec<Vec<String>>,
}

/// Running clients that place orders.
pub struct Load {
    clients: JoinSet<Ledger>,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
}

impl Load {
    /// Starts `clients` clients that together place `orders` orders, or fewer if they are stopped
    /// before.
    #[must_use]
    pub fn start(base: &str, clients: usize, orders: u64) -> Self {
        let next = Arc::new(AtomicU64::new(0));
        let stop = Arc::new(AtomicBool::new(false));
        let accepted = Arc::new(AtomicU64::new(0));
        let mut tasks = JoinSet::new();
        for _ in 0..clients {
            let client = Client::new(base);
            let (next, stop, accepted) = (next.clone(), stop.clone(), accepted.clone());
            tasks.spawn(async move {
                let mut ledger = Ledger::default();
                let mut sequence = Vec::new();
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= orders {
                        break;
                    }
                    let reference = format!("r-{number}");
                    if place(&client, &reference).await {
                        accepted.fetch_add(1, Ordering::Relaxed);
                        sequence.push(reference.clone());
                        ledger.accepted.insert(reference);
                    } else {
                        ledger.unknown.insert(reference);
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                ledger.sequences.push(sequence);
                ledger
            });
        }
        Self {
            clients: tasks,
            stop,
            accepted,
        }
    }

    /// Returns the number of orders accepted so far.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Waits until all orders have been placed.
    pub async fn finish(self) -> Ledger {
        let mut all = Ledger::default();
        for mut ledger in self.clients.join_all().await {
            all.accepted.append(&mut ledger.accepted);
            all.unknown.append(&mut ledger.unknown);
            all.sequences.append(&mut ledger.sequences);
        }
        all
    }

    /// Stops the clients after their requests in flight.
    pub async fn stop(self) -> Ledger {
        self.stop.store(true, Ordering::Relaxed);
        self.finish().await
    }
}

async fn place(client: &Client, reference: &str) -> bool {
    let placing = client.post(order(reference));
    let answer = tokio::time::timeout(Duration::from_secs(20), placing).await;
    matches!(answer, Ok(Ok(answer)) if answer.status == 202)
}

/// Prefix of the references of orders that an audit places.
const FENCE: &str = "fence-";

fn is_fence(order: &Value) -> bool {
    let reference = order["reference"].as_str();
    reference.is_some_and(|reference| reference.starts_with(FENCE))
}

/// Places an order after all orders of the clients, and returns its reference.
async fn fence(world: &World) -> String {
    let client = world.client();
    loop {
        let reference = format!("{FENCE}{}", uuid::Uuid::now_v7());
        if place(&client, &reference).await {
            return reference;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Checks the complete feed and the list of orders against the recorded responses. Returns the
/// number of orders of the clients. Places an order of its own to find the end of the feed.
pub async fn audit(world: &World, ledger: &Ledger, limit: Duration) -> Result<u64> {
    let audit = async {
        let events = whole_feed(world, ledger).await?;
        let orders = check_events(&events, ledger)?;
        check_list(world, &orders).await?;
        let own = orders.values().filter(|order| !is_fence(order));
        Ok(own.count() as u64)
    };
    let outcome = tokio::time::timeout(limit, audit)
        .await
        .context("audit timed out");
    outcome
        .and_then(|outcome| outcome)
        .with_context(|| world.logs())
}

/// Reads the feed from position 0 up to an order that is placed now, and beyond it as long as an
/// accepted order is missing.
async fn whole_feed(world: &World, ledger: &Ledger) -> Result<Vec<Value>> {
    let fence = fence(world).await;
    let mut feed = world.feed("since=0").await?;
    let mut missing: BTreeSet<&str> = ledger.accepted.iter().map(String::as_str).collect();
    missing.insert(&fence);
    let mut events = Vec::new();
    while !missing.is_empty() {
        let count = missing.len();
        let event = feed.event().await;
        let event = event.with_context(|| format!("{count} accepted orders are missing"))?;
        if let Some(reference) = event["order"]["reference"].as_str() {
            missing.remove(reference);
        }
        events.push(event);
    }
    Ok(events)
}

/// Checks that positions and numbers have no gap, times do not decrease, each accepted order
/// exists exactly once, and the orders of each client are in its sequence.
fn check_events(events: &[Value], ledger: &Ledger) -> Result<BTreeMap<u64, Value>> {
    let mut seen: BTreeMap<String, u64> = BTreeMap::new();
    let mut orders = BTreeMap::new();
    let mut time = String::new();
    for (expected, event) in (1..).zip(events) {
        ensure!(
            event["position"] == expected,
            "position {expected}: {event}"
        );
        ensure!(event["type"] == "order.created", "{event}");
        let at = event["at"].as_str().context("an event without a time")?;
        ensure!(time.as_str() <= at, "time decreases at {event}");
        at.clone_into(&mut time);
        let order = &event["order"];
        ensure!(order["number"] == expected, "number {expected}: {event}");
        let reference = order["reference"]
            .as_str()
            .context("an order without a reference")?
            .to_owned();
        ensure!(seen.insert(reference, expected).is_none(), "twice: {event}");
        orders.insert(expected, order.clone());
    }
    for reference in &ledger.accepted {
        ensure!(
            seen.contains_key(reference),
            "accepted and lost: {reference}"
        );
    }
    for sequence in &ledger.sequences {
        let positions = sequence.iter().map(|reference| seen.get(reference));
        ensure!(positions.is_sorted(), "reordered: {sequence:?}");
    }
    for reference in seen.keys() {
        let is_known = ledger.accepted.contains(reference) || ledger.unknown.contains(reference);
        let is_known = is_known || reference.starts_with(FENCE);
        ensure!(is_known, "never sent: {reference}");
    }
    Ok(orders)
}

/// Checks that the list, newest first and page by page, equals the orders of the feed.
async fn check_list(world: &World, orders: &BTreeMap<u64, Value>) -> Result<()> {
    let client = world.client();
    let mut next = Some("/order?limit=100".to_owned());
    let mut expected = orders.values().rev();
    while let Some(path) = next {
        let page = client.get(&path).await?;
        for document in page.json().as_array().context("a list")? {
            let order = expected
                .next()
                .context("the list has more orders than the feed")?;
            ensure!(
                document == order,
                "the list has {document}, the feed has {order}"
            );
        }
        next = page.next_page();
    }
    ensure!(
        expected.next().is_none(),
        "the list has fewer orders than the feed"
    );
    Ok(())
}

/// Reads the feed up to a position and reconnects after every `every` events. Returns the
/// positions received.
pub async fn follow_with_cuts(base: &str, up_to: u64, every: usize) -> Result<Vec<u64>> {
    let mut positions: Vec<u64> = Vec::new();
    loop {
        let since = positions.last().copied().unwrap_or(0);
        let mut feed = Feed::open(base, &format!("since={since}")).await?;
        for _ in 0..every {
            let event = feed.event().await?;
            positions.push(event["position"].as_u64().context("a position")?);
            if positions.last() == Some(&up_to) {
                return Ok(positions);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns frames of orders with the given references, at positions and numbers 1, 2, 3, …
    fn events(references: &[&str]) -> Vec<Value> {
        let event = |(position, reference): (u64, &&str)| {
            json!({
                "type": "order.created", "position": position,
                "at": format!("2026-01-01T00:00:0{position}.000Z"),
                "order": { "number": position, "reference": reference },
            })
        };
        (1..).zip(references).map(event).collect()
    }

    fn violation(events: &[Value]) -> String {
        let text = |reference: &&str| (*reference).to_owned();
        let ledger = Ledger {
            accepted: ["a-1", "a-2", "b-1"].iter().map(text).collect(),
            unknown: ["b-2"].iter().map(text).collect(),
            sequences: vec![vec!["a-1".into(), "a-2".into()], vec!["b-1".into()]],
        };
        let outcome = check_events(events, &ledger);
        outcome
            .err()
            .map_or(String::new(), |error| error.to_string())
    }

    #[test]
    fn each_violation_is_reported() {
        for good in [
            &["a-1", "b-1", "a-2"][..],
            &["b-1", "a-1", "b-2", "a-2", "fence-1"],
        ] {
            assert_eq!(violation(&events(good)), "", "{good:?}");
        }
        for (references, expected) in [
            (&["a-2", "a-1", "b-1"][..], "reordered"),
            (&["a-1", "b-1"], "accepted and lost: a-2"),
            (&["a-1", "a-2", "a-2", "b-1"], "twice"),
            (&["a-1", "a-2", "b-1", "c-1"], "never sent: c-1"),
        ] {
            let found = violation(&events(references));
            assert!(found.starts_with(expected), "{references:?}: {found}");
        }
        let damaged = |index: usize, member: &str, value: Value| {
            let mut all = events(&["a-1", "a-2", "b-1"]);
            all[index][member] = value;
            violation(&all)
        };
        assert!(damaged(1, "position", json!(3)).starts_with("position 2"));
        assert!(damaged(1, "at", json!("2025")).starts_with("time decreases"));
        let number = json!({ "number": 3, "reference": "a-2" });
        assert!(damaged(1, "order", number).starts_with("number 2"));
    }
}
