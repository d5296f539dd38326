//! Clients at work: each sends one request after the other, insists or gives up, and
//! remembers.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::Client;
use bakehouse_e2e::client::Answer as Response;
use hyper::Method;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::ledger::{Answer, Asked, Entry, Ledger, Wish, now};

mod flood;

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long a client waits before it asks again.
const BREATH: Duration = Duration::from_millis(30);
/// Times that a request is sent before it is given up, by those who insist.
const TRIES: usize = 400;
/// Orders that a client goes on changing.
const MEMORY: usize = 40;

/// How all clients work.
#[derive(Clone, Default)]
pub struct Pace {
    /// They end after what they are about.
    pub stop: Arc<AtomicBool>,
    /// Milliseconds between one's requests.
    pub rest: Arc<AtomicU64>,
    /// What has been placed of late.
    pub placed: Placed,
    /// Answers by their status; 0: there was none.
    pub answers: Arc<Mutex<BTreeMap<u16, u64>>>,
    /// Answers that nobody should ever get.
    pub complaints: Arc<Mutex<Vec<String>>>,
}

impl Pace {
    /// How many requests have been accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        lock(&self.answers).get(&202).copied().unwrap_or_default()
    }

    /// Takes note of an answer, or of none.
    fn note(&self, entry: &Entry, answer: Option<&Response>) {
        let status = answer.map_or(0, |answer| answer.status.as_u16());
        *lock(&self.answers).entry(status).or_default() += 1;
        let Some(answer) = answer else { return };
        let is_usual = match status {
            // Not now, and when to come back.
            429 | 503 => !answer.header("retry-after").is_empty(),
            202 | 404 => true,
            _ => false,
        };
        if !is_usual {
            lock(&self.complaints).push(format!("{entry:?}: {answer:?}"));
        }
    }
}

/// Orders of late, of all clients.
#[derive(Clone, Default)]
pub struct Placed(Arc<Mutex<VecDeque<String>>>);

impl Placed {
    fn add(&self, order: &str) {
        let mut all = lock(&self.0);
        all.push_back(order.to_owned());
        if all.len() > MEMORY {
            all.pop_front();
        }
    }

    /// One of them; another one each turn.
    #[must_use]
    pub fn any(&self, turn: usize) -> Option<String> {
        let all = lock(&self.0);
        all.get(turn % all.len().max(1)).cloned()
    }
}

/// What it holds is whole at any time.
pub(crate) fn lock<T>(all: &Mutex<T>) -> MutexGuard<'_, T> {
    all.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who somebody is, and where they ask.
#[derive(Clone)]
pub struct Identity {
    /// As tokens name them.
    pub subject: String,
    /// `Bearer …`.
    pub authorization: String,
    /// Of all api-servers.
    pub bases: Vec<String>,
}

/// Makes somebody of a name.
pub type Identify = Box<dyn Fn(&str) -> Result<Identity>>;

/// One client.
pub struct Person {
    identity: Identity,
    clients: Vec<Client>,
    random: StdRng,
    ledger: Ledger,
    pace: Pace,
    count: u64,
    /// Orders that are worth changing.
    orders: Vec<String>,
}

/// Several at work.
pub struct Crowd {
    tasks: JoinSet<Result<Vec<Entry>>>,
    pace: Pace,
}

impl Crowd {
    /// Starts all of them.
    ///
    /// # Errors
    /// When there is no place for their ledgers.
    pub fn start(identities: &[Identity], folder: &Path, seed: u64, pace: &Pace) -> Result<Self> {
        let mut tasks = JoinSet::new();
        for (index, identity) in identities.iter().enumerate() {
            let seed = seed.wrapping_mul(1_009).wrapping_add(index as u64);
            let person = Person::new(identity.clone(), folder, seed, pace.clone())?;
            tasks.spawn(person.work());
        }
        Ok(Self {
            tasks,
            pace: pace.clone(),
        })
    }

    /// Ends them after what they are about: what each of them remembers.
    ///
    /// # Errors
    /// When one could not keep its ledger.
    pub async fn finish(mut self) -> Result<Vec<Vec<Entry>>> {
        self.pace.stop.store(true, Ordering::Relaxed);
        let mut ledgers = Vec::new();
        while let Some(ledger) = self.tasks.join_next().await {
            ledgers.push(ledger??);
        }
        Ok(ledgers)
    }
}

impl Person {
    /// A number by its seed.
    pub fn draw(&mut self) -> u64 {
        self.random.random()
    }

    /// Somebody with an empty ledger.
    ///
    /// # Errors
    /// When there is no place for it.
    pub fn new(identity: Identity, folder: &Path, seed: u64, pace: Pace) -> Result<Self> {
        let ledger = Ledger::new(folder, &identity.subject)?;
        let clients = identity.bases.iter().map(|base| Client::new(base));
        Ok(Self {
            clients: clients.collect(),
            identity,
            random: StdRng::seed_from_u64(seed),
            ledger,
            pace,
            count: 0,
            orders: Vec::new(),
        })
    }

    async fn work(mut self) -> Result<Vec<Entry>> {
        while !self.pace.stop.load(Ordering::Relaxed) {
            let asked = self.choose();
            let tries = if self.random.random_bool(0.7) {
                TRIES
            } else {
                1
            };
            self.ask(asked, tries).await?;
            let rest = self.pace.rest.load(Ordering::Relaxed);
            let rest = self.random.random_range(0..=2 * rest);
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
        Ok(self.ledger.entries())
    }

    /// What it remembers.
    #[must_use]
    pub fn remember(self) -> Vec<Entry> {
        self.ledger.entries()
    }

    fn choose(&mut self) -> (Option<String>, Asked) {
        let wish = self.wish();
        let dice = self.random.random_range(0..100);
        if self.orders.is_empty() || dice < 55 {
            return (None, Asked::Place(wish));
        }
        let index = self.random.random_range(0..self.orders.len());
        let order = self.orders[index].clone();
        let asked = match dice {
            55..62 => Asked::Amend(wish),
            62..66 => {
                self.orders.swap_remove(index);
                Asked::Delete
            }
            _ => {
                // Some make no sense: they are refused, which is an answer.
                let all = [
                    "paid",
                    "paid",
                    "paid",
                    "shipped",
                    "shipped",
                    "delivered",
                    "cancelled",
                ];
                Asked::Status(all[self.random.random_range(0..all.len())].into())
            }
        };
        (Some(order), asked)
    }

    /// What an order of its is to be: never the same again.
    pub fn wish(&mut self) -> Wish {
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
        Wish {
            products,
            customer: format!("c-{}", self.random.random_range(0..5)),
            reference: format!("{}-{}", self.identity.subject, self.count),
        }
    }

    /// Asks, up to so many times, and remembers: the order's id, if it was accepted.
    ///
    /// # Errors
    /// When the ledger cannot be kept.
    pub async fn ask(
        &mut self,
        (order, asked): (Option<String>, Asked),
        tries: usize,
    ) -> Result<Option<String>> {
        let entry = self.entry(order, asked);
        self.ledger.intend(entry.clone())?;
        let mut may_be_there = false;
        for attempt in 0..tries {
            if attempt > 0 {
                tokio::time::sleep(BREATH).await;
            }
            let response = self.send(&entry).await;
            let status = response.as_ref().map_or(0, |one| one.status.as_u16());
            self.pace.note(&entry, response.as_ref());
            match (status, response) {
                (202, Some(response)) => return self.accepted(&entry, &response),
                // Not there yet, as far as this api-server can see: no refusal for good.
                (400..500, _) if status != 404 && status != 429 => {
                    if !may_be_there {
                        self.ledger.conclude(Answer::Refused(status), None)?;
                    }
                    return Ok(None);
                }
                (404 | 429, _) => {}
                _ => may_be_there = true,
            }
            if self.pace.stop.load(Ordering::Relaxed) && attempt > 3 {
                break;
            }
        }
        Ok(None)
    }

    fn entry(&mut self, order: Option<String>, asked: Asked) -> Entry {
        let key = format!("{}-{}", self.identity.subject, self.count);
        self.count += 1;
        Entry {
            key,
            subject: self.identity.subject.clone(),
            correlation: Uuid::new_v4(),
            order,
            asked,
            sent_at: now(),
            answered_at: None,
            answer: Answer::Unknown,
        }
    }

    fn accepted(&mut self, entry: &Entry, response: &Response) -> Result<Option<String>> {
        let (answer, order) = acceptance(response);
        self.ledger.conclude(answer, Some(order.clone()))?;
        if matches!(entry.asked, Asked::Place(_)) {
            self.pace.placed.add(&order);
            self.orders.push(order.clone());
            if self.orders.len() > MEMORY {
                self.orders.remove(0);
            }
        }
        Ok(Some(order))
    }

    async fn send(&mut self, entry: &Entry) -> Option<Response> {
        send(&self.any_client(), &self.identity.authorization, entry).await
    }

    fn any_client(&mut self) -> Client {
        let index = self.random.random_range(0..self.clients.len());
        self.clients[index].clone()
    }

    /// Whether an order can be read.
    pub async fn sees(&self, order: &str) -> bool {
        let headers = [("authorization", self.identity.authorization.as_str())];
        let path = format!("/order/{order}");
        for client in &self.clients {
            let reading = client.get_with(&path, &headers);
            let answer = tokio::time::timeout(PATIENCE, reading).await;
            if answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 200)) {
                return true;
            }
        }
        false
    }
}

/// What a 202 says: of which operation, and of which order.
fn acceptance(response: &Response) -> (Answer, String) {
    let last = |name: &str| {
        let path = response.header(name);
        path.rsplit('/').next().unwrap_or_default().to_owned()
    };
    let operation = last("operation-location");
    (Answer::Accepted { operation }, last("location"))
}

/// `None`: no answer.
async fn send(client: &Client, authorization: &str, entry: &Entry) -> Option<Response> {
    let order = entry.order.as_deref().unwrap_or_default();
    let (method, path, body) = match &entry.asked {
        Asked::Place(wish) => (Method::POST, "/order".to_owned(), wish.body().to_string()),
        Asked::Amend(wish) => (
            Method::PUT,
            format!("/order/{order}"),
            wish.body().to_string(),
        ),
        Asked::Status(status) => {
            let body = json!({ "status": status }).to_string();
            (Method::PUT, format!("/order/{order}/status"), body)
        }
        Asked::Delete => (Method::DELETE, format!("/order/{order}"), String::new()),
    };
    let correlation = entry.correlation.to_string();
    let mut headers = vec![
        ("authorization", authorization),
        ("idempotency-key", entry.key.as_str()),
        ("x-correlation-id", correlation.as_str()),
    ];
    if !body.is_empty() {
        headers.push(("content-type", "application/json"));
    }
    let sending = client.send(method, &path, &headers, body);
    tokio::time::timeout(PATIENCE, sending).await.ok()?.ok()
}
