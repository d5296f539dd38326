//! Clients that send one request after the other, retry or not, and record everything in a
//! ledger.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::Client;
use bakehouse_e2e::client::Answer as Response;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::ledger::{Answer, Entry, Ledger, OrderDraft, Request, TestFile, now};

mod flood;
mod repeats;
mod request;

use self::request::{REQUEST_TIMEOUT, acceptance, send};

/// Time before a request is retried.
const RETRY_INTERVAL: Duration = Duration::from_millis(30);
/// Maximum number of attempts of a request that is retried.
const MAX_ATTEMPTS: usize = 400;
/// Share of the accepted requests that are sent again.
const REPEATED_SHARE: f64 = 0.1;
/// Number of recent orders that a client changes.
const MAX_ORDERS: usize = 40;

/// State that all clients of a group share.
#[derive(Clone, Default)]
pub struct Workload {
    /// True to end after the current request.
    pub stop: Arc<AtomicBool>,
    /// Average time between two requests of a client, in milliseconds.
    pub pause_ms: Arc<AtomicU64>,
    /// Orders that were placed recently.
    pub placed: RecentOrders,
    /// Number of answers by status; 0 counts missing answers.
    pub answers: Arc<Mutex<BTreeMap<u16, u64>>>,
    /// Descriptions of answers that must not occur.
    pub violations: Arc<Mutex<Vec<String>>>,
    /// Number of requests that were repeated after a 202, sent to two servers at once, or raced for
    /// a version, by kind.
    pub special_requests: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Workload {
    /// Returns the number of accepted requests.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        lock(&self.answers).get(&202).copied().unwrap_or_default()
    }

    fn add_violation(&self, what: String) {
        lock(&self.violations).push(what);
    }

    fn count(&self, kind: &'static str) {
        *lock(&self.special_requests).entry(kind).or_default() += 1;
    }

    /// Counts an answer and checks that its status may occur.
    fn count_answer(&self, entry: &Entry, answer: Option<&Response>) {
        let status = answer.map_or(0, |answer| answer.status.as_u16());
        *lock(&self.answers).entry(status).or_default() += 1;
        let Some(answer) = answer else { return };
        let is_expected = match status {
            // Unavailable for now.
            429 | 503 => !answer.header("retry-after").is_empty(),
            202 | 404 => true,
            // Another client changed the order first.
            412 => entry.expected.is_some(),
            // Another api-server is processing the same request.
            409 => !answer.header("retry-after").is_empty(),
            _ => false,
        };
        if !is_expected {
            self.add_violation(format!("{entry:?}: {answer:?}"));
        }
    }
}

/// Ids of orders that any client placed recently.
#[derive(Clone, Default)]
pub struct RecentOrders(Arc<Mutex<VecDeque<String>>>);

impl RecentOrders {
    fn add(&self, order: &str) {
        let mut all = lock(&self.0);
        all.push_back(order.to_owned());
        if all.len() > MAX_ORDERS {
            all.pop_front();
        }
    }

    /// Returns one of them, a different one for each turn.
    #[must_use]
    pub fn any(&self, turn: usize) -> Option<String> {
        let all = lock(&self.0);
        all.get(turn % all.len().max(1)).cloned()
    }
}

/// Locks a mutex. A panic of another holder leaves its content consistent.
pub(crate) fn lock<T>(all: &Mutex<T>) -> MutexGuard<'_, T> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Identity of a client, and the servers that it uses.
#[derive(Clone)]
pub struct Identity {
    /// Subject of its tokens.
    pub subject: String,
    /// `Authorization` header: `Bearer …`.
    pub authorization: String,
    /// Base URLs of all api-servers.
    pub bases: Vec<String>,
}

/// Creates an identity for a subject.
pub type Identify = Box<dyn Fn(&str) -> Result<Identity>>;

/// A client that places and changes orders.
pub struct OrderClient {
    identity: Identity,
    clients: Vec<Client>,
    random: StdRng,
    ledger: Ledger,
    workload: Workload,
    count: u64,
    /// Ids of its recent orders.
    orders: Vec<String>,
    /// Requests that were sent concurrently, whose order is not guaranteed.
    concurrent: Vec<Entry>,
}

/// A group of running clients.
pub struct ClientGroup {
    tasks: JoinSet<Result<Vec<Vec<Entry>>>>,
    workload: Workload,
}

impl ClientGroup {
    /// Starts one client for each identity.
    ///
    /// # Errors
    /// When a ledger cannot be created.
    pub fn start(
        identities: &[Identity],
        folder: &Path,
        seed: u64,
        workload: &Workload,
    ) -> Result<Self> {
        let mut tasks = JoinSet::new();
        for (index, identity) in identities.iter().enumerate() {
            let seed = seed.wrapping_mul(1_009).wrapping_add(index as u64);
            let client = OrderClient::new(identity.clone(), folder, seed, workload.clone())?;
            tasks.spawn(client.work());
        }
        Ok(Self {
            tasks,
            workload: workload.clone(),
        })
    }

    /// Ends all clients after their current request. Returns their ledgers.
    ///
    /// # Errors
    /// When a ledger could not be written.
    pub async fn finish(mut self) -> Result<Vec<Vec<Entry>>> {
        self.workload.stop.store(true, Ordering::Relaxed);
        let mut ledgers = Vec::new();
        while let Some(ledger) = self.tasks.join_next().await {
            ledgers.extend(ledger??);
        }
        Ok(ledgers)
    }
}

impl OrderClient {
    /// Returns a random number, determined by the seed.
    pub fn draw(&mut self) -> u64 {
        self.random.random()
    }

    /// Creates a client with an empty ledger.
    ///
    /// # Errors
    /// When the ledger cannot be created.
    pub fn new(identity: Identity, folder: &Path, seed: u64, workload: Workload) -> Result<Self> {
        let ledger = Ledger::new(folder, &identity.subject)?;
        let clients = identity.bases.iter().map(|base| Client::new(base));
        Ok(Self {
            clients: clients.collect(),
            identity,
            random: StdRng::seed_from_u64(seed),
            ledger,
            workload,
            count: 0,
            orders: Vec::new(),
            concurrent: Vec::new(),
        })
    }

    /// Sends random requests until the group stops. Returns the ledgers.
    async fn work(mut self) -> Result<Vec<Vec<Entry>>> {
        while !self.workload.stop.load(Ordering::Relaxed) {
            match self.random.random_range(0..100) {
                0..5 => self.race().await?,
                5..9 => self.request_twice_at_once().await?,
                _ => {
                    let request = self.choose();
                    let retries = self.random.random_bool(0.7);
                    let max_attempts = if retries { MAX_ATTEMPTS } else { 1 };
                    self.request(request, max_attempts).await?;
                }
            }
            let pause_ms = self.workload.pause_ms.load(Ordering::Relaxed);
            let pause_ms = self.random.random_range(0..=2 * pause_ms);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
        Ok(self.into_ledgers())
    }

    /// Returns the ledger, in order of the requests.
    #[must_use]
    pub fn into_ledger(self) -> Vec<Entry> {
        self.ledger.entries()
    }

    /// Returns the ledger, and a separate one for each concurrent request.
    fn into_ledgers(self) -> Vec<Vec<Entry>> {
        let concurrent = self.concurrent.into_iter().map(|entry| vec![entry]);
        let mut all: Vec<Vec<Entry>> = concurrent.collect();
        all.push(self.ledger.entries());
        all
    }

    /// Returns a random request, with the order that it changes.
    fn choose(&mut self) -> (Option<String>, Request) {
        let draft = self.draft();
        let roll = self.random.random_range(0..100);
        if self.orders.is_empty() || roll < 55 {
            return (None, Request::Place(draft));
        }
        let index = self.random.random_range(0..self.orders.len());
        let order = self.orders[index].clone();
        let request = match roll {
            55..61 => Request::Amend(draft),
            61..65 => Request::Attach(self.test_file()),
            65..69 => {
                self.orders.swap_remove(index);
                Request::Delete
            }
            _ => {
                // Some of these transitions are invalid and lead to a rejection.
                let all = [
                    "paid",
                    "paid",
                    "paid",
                    "shipped",
                    "shipped",
                    "delivered",
                    "cancelled",
                ];
                Request::Status(all[self.random.random_range(0..all.len())].into())
            }
        };
        (Some(order), request)
    }

    /// Returns random content of an order, with a unique reference.
    pub fn draft(&mut self) -> OrderDraft {
        let lines = self.random.random_range(1..=3);
        let product = |random: &mut StdRng| {
            let name = ["Tea", "Bread", "Soup", "Rye"][random.random_range(0..4)];
            (
                name.to_owned(),
                random.random_range(1..2_000),
                random.random_range(1..9),
            )
        };
        let products = (0..lines).map(|_| product(&mut self.random)).collect();
        OrderDraft {
            products,
            customer: format!("c-{}", self.random.random_range(0..5)),
            reference: format!("{}-{}", self.identity.subject, self.count),
        }
    }

    fn test_file(&mut self) -> TestFile {
        TestFile {
            name: format!("note-{}.txt", self.count),
            size: self.random.random_range(1..40_000),
            seed: self.random.random(),
        }
    }

    /// Sends a request with up to so many attempts and records it. Returns the order's id if it was
    /// accepted.
    ///
    /// # Errors
    /// When the ledger cannot be written.
    pub async fn request(
        &mut self,
        (order, request): (Option<String>, Request),
        max_attempts: usize,
    ) -> Result<Option<String>> {
        let entry = self.entry(order, request);
        self.ledger.intend(entry.clone())?;
        let mut may_be_stored = false;
        for attempt in 0..max_attempts {
            if attempt > 0 {
                tokio::time::sleep(RETRY_INTERVAL).await;
            }
            let response = self.send(&entry).await;
            let status = response.as_ref().map_or(0, |one| one.status.as_u16());
            self.workload.count_answer(&entry, response.as_ref());
            match (status, response) {
                (202, Some(response)) => {
                    let order = self.accepted(&entry, &response)?;
                    if self.random.random_bool(REPEATED_SHARE) {
                        self.repeat(&entry, &response).await;
                    }
                    return Ok(order);
                }
                // 404 is not final: the order may not be visible yet at this api-server.
                (400..500, _) if !matches!(status, 404 | 409 | 429) => {
                    if !may_be_stored {
                        self.ledger.conclude(Answer::Refused(status), None, None)?;
                    }
                    return Ok(None);
                }
                (404 | 409 | 429, _) => {}
                _ => may_be_stored = true,
            }
            if self.workload.stop.load(Ordering::Relaxed) && attempt > 3 {
                break;
            }
        }
        Ok(None)
    }

    /// Creates the ledger entry of a new request.
    fn entry(&mut self, order: Option<String>, request: Request) -> Entry {
        let key = format!("{}-{}", self.identity.subject, self.count);
        self.count += 1;
        Entry {
            key,
            subject: self.identity.subject.clone(),
            correlation: Uuid::new_v4(),
            order,
            request,
            expected: None,
            file: None,
            sent_at: now(),
            answered_at: None,
            answer: Answer::Unknown,
        }
    }

    /// Records that a request was accepted.
    fn accepted(&mut self, entry: &Entry, response: &Response) -> Result<Option<String>> {
        let (answer, order, file) = acceptance(entry, response);
        self.ledger.conclude(answer, Some(order.clone()), file)?;
        if matches!(entry.request, Request::Place(_)) {
            self.add_order(&order);
        }
        Ok(Some(order))
    }

    fn add_order(&mut self, order: &str) {
        self.workload.placed.add(order);
        self.orders.push(order.to_owned());
        if self.orders.len() > MAX_ORDERS {
            self.orders.remove(0);
        }
    }

    async fn send(&mut self, entry: &Entry) -> Option<Response> {
        send(&self.random_client(), &self.identity.authorization, entry).await
    }

    fn random_client(&mut self) -> Client {
        let index = self.random.random_range(0..self.clients.len());
        self.clients[index].clone()
    }

    /// Checks whether any api-server returns an order.
    pub async fn can_read(&self, order: &str) -> bool {
        let headers = [("authorization", self.identity.authorization.as_str())];
        let path = format!("/order/{order}");
        for client in &self.clients {
            let reading = client.get_with(&path, &headers);
            let answer = tokio::time::timeout(REQUEST_TIMEOUT, reading).await;
            if answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200)) {
                return true;
            }
        }
        false
    }
}
