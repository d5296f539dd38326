//! Client that requests orders of other owners. All of its requests must be rejected during all
//! faults.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::Client;
use hyper::Method;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::clients::{Identity, OrderClient, RecentOrders};
use crate::hostile::Hostile;
use crate::ledger::{Entry, Request};

/// Subject of its tokens.
pub const NAME: &str = "intruder";
/// Timeout of a request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);
/// Time between two rounds of requests.
const ROUND_INTERVAL: Duration = Duration::from_millis(400);

/// Results of the intruder.
#[derive(Default)]
pub struct IntruderResults {
    /// Descriptions of requests that were not rejected as they must be.
    pub violations: Vec<String>,
    /// Number of rejected requests.
    pub rejected: u64,
    /// Ledger of its changes of other owners' orders, which are rejected at execution at the latest.
    pub ledger: Vec<Entry>,
}

/// A running intruder.
pub struct Intruder {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<IntruderResults>>,
    hostile: Hostile,
}

impl Intruder {
    /// Starts an intruder that requests recently placed orders, and hostile clients beside it. The
    /// token of `reader` has no scope to write.
    #[must_use]
    pub fn start(
        identity: Identity,
        reader: Identity,
        mut order_client: OrderClient,
        recent_orders: RecentOrders,
    ) -> Self {
        let hostile = Hostile::start(identity.clone(), order_client.draw());
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let task = tokio::spawn(intrude(
            identity,
            reader,
            order_client,
            recent_orders,
            ended,
        ));
        Self {
            stop,
            task,
            hostile,
        }
    }

    /// Ends it and returns its results.
    ///
    /// # Errors
    /// When its ledger could not be written.
    pub async fn finish(self) -> Result<IntruderResults> {
        self.stop.store(true, Ordering::Relaxed);
        let mut results = self.task.await??;
        if self.hostile.finish().await? == 0 {
            let violation = "no round of the hostile clients succeeded";
            results.violations.push(violation.to_owned());
        }
        Ok(results)
    }
}

async fn intrude(
    identity: Identity,
    reader: Identity,
    mut order_client: OrderClient,
    recent_orders: RecentOrders,
    stop: Arc<AtomicBool>,
) -> Result<IntruderResults> {
    let mut results = IntruderResults::default();
    let clients: Vec<Client> = identity
        .bases
        .iter()
        .map(|base| Client::new(base))
        .collect();
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        sleep(ROUND_INTERVAL).await;
        let Some(order) = recent_orders.any(turn) else {
            continue;
        };
        turn += 1;
        let client = &clients[turn % clients.len()];
        for request in forbidden_requests(&identity, &reader, &order) {
            attempt(client, request, &mut results).await;
        }
        let change = (Some(order), Request::Status("cancelled".into()));
        order_client.request(change, 1).await?;
    }
    results.ledger = order_client.into_ledger();
    Ok(results)
}

/// A request that must be rejected: method, path, body, token, and the expected status. With 200,
/// the body must be an empty list.
type ForbiddenRequest<'a> = (Method, String, &'static str, Option<&'a str>, u16);

fn forbidden_requests<'a>(
    identity: &'a Identity,
    reader: &'a Identity,
    order: &str,
) -> Vec<ForbiddenRequest<'a>> {
    let own = Some(identity.authorization.as_str());
    let read_only = Some(reader.authorization.as_str());
    let at = format!("/order/{order}");
    let (history, status) = (format!("{at}/history"), format!("{at}/status"));
    let paid = r#"{"status":"paid"}"#;
    vec![
        (Method::GET, at.clone(), "", None, 401),
        (Method::PUT, status.clone(), paid, None, 401),
        (Method::GET, at, "", own, 404),
        (Method::GET, history, "", own, 404),
        (Method::GET, "/order?limit=5".to_owned(), "", own, 200),
        (Method::PUT, status, paid, read_only, 403),
        (Method::GET, "/parked".to_owned(), "", own, 403),
        (Method::POST, "/rebuilds/source".to_owned(), "", own, 403),
    ]
}

async fn attempt(client: &Client, request: ForbiddenRequest<'_>, results: &mut IntruderResults) {
    let (method, path, body, authorization, status) = request;
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|token| ("authorization", token)));
    let description = format!("{method} {path}");
    let sending = client.send(method, &path, &headers, body);
    let Ok(Ok(answer)) = timeout(REQUEST_TIMEOUT, sending).await else {
        return;
    };
    let is_unavailable = answer.status.is_server_error() || answer.status == 429;
    let is_empty = status != 200 || answer.body.as_ref() == b"[]";
    if answer.status == status && is_empty {
        results.rejected += 1;
    } else if !is_unavailable {
        results
            .violations
            .push(format!("{description}: {answer:?}"));
    }
}
