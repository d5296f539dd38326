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
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use uuid::Uuid;

use crate::ledger::{Answer, Asked, Entry, Ledger, Sheet, Wish, now};

mod flood;
mod repeats;
mod request;

use self::request::{acceptance, send};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(12);
/// How long a client waits before it asks again.
const BREATH: Duration = Duration::from_millis(30);
/// Times that a request is sent before it is given up, by those who insist.
const TRIES: usize = 400;
/// Share of the requests that are sent once more after they have been accepted.
const REPEATED: f64 = 0.1;
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
    /// Number of requests that were repeated after they had been accepted, sent to two servers at
    /// once, or raced for a version.
    pub tricks: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Pace {
    /// How many requests have been accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        lock(&self.answers).get(&202).copied().unwrap_or_default()
    }

    fn complain(&self, what: String) {
        lock(&self.complaints).push(what);
    }

    fn count(&self, trick: &'static str) {
        *lock(&self.tricks).entry(trick).or_default() += 1;
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
            // Somebody else was faster, and that is known already.
            412 => entry.expected.is_some(),
            // The same request is under way at another api-server.
            409 => !answer.header("retry-after").is_empty(),
            _ => false,
        };
        if !is_usual {
            self.complain(format!("{entry:?}: {answer:?}"));
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
    /// Requests that were sent side by side: no order among these is promised.
    side_by_side: Vec<Entry>,
}

/// Several at work.
pub struct Crowd {
    tasks: JoinSet<Result<Vec<Vec<Entry>>>>,
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
            ledgers.extend(ledger??);
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
            side_by_side: Vec::new(),
        })
    }

    async fn work(mut self) -> Result<Vec<Vec<Entry>>> {
        while !self.pace.stop.load(Ordering::Relaxed) {
            match self.random.random_range(0..100) {
                0..5 => self.race().await?,
                5..9 => self.ask_twice_at_once().await?,
                _ => {
                    let asked = self.choose();
                    let is_patient = self.random.random_bool(0.7);
                    let tries = if is_patient { TRIES } else { 1 };
                    self.ask(asked, tries).await?;
                }
            }
            let rest = self.pace.rest.load(Ordering::Relaxed);
            let rest = self.random.random_range(0..=2 * rest);
            tokio::time::sleep(Duration::from_millis(rest)).await;
        }
        Ok(self.remember_all())
    }

    /// Ledger of the client, in the order in which it asked.
    #[must_use]
    pub fn remember(self) -> Vec<Entry> {
        self.ledger.entries()
    }

    /// That ledger, and those of what it sent side by side.
    fn remember_all(self) -> Vec<Vec<Entry>> {
        let alone = self.side_by_side.into_iter().map(|entry| vec![entry]);
        let mut all: Vec<Vec<Entry>> = alone.collect();
        all.push(self.ledger.entries());
        all
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
            55..61 => Asked::Amend(wish),
            61..65 => Asked::Attach(self.sheet()),
            65..69 => {
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

    fn sheet(&mut self) -> Sheet {
        Sheet {
            name: format!("note-{}.txt", self.count),
            size: self.random.random_range(1..40_000),
            seed: self.random.random(),
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
                (202, Some(response)) => {
                    let order = self.accepted(&entry, &response)?;
                    if self.random.random_bool(REPEATED) {
                        self.repeat(&entry, &response).await;
                    }
                    return Ok(order);
                }
                // Not there yet, as far as this api-server can see: no refusal for good.
                (400..500, _) if !matches!(status, 404 | 409 | 429) => {
                    if !may_be_there {
                        self.ledger.conclude(Answer::Refused(status), None, None)?;
                    }
                    return Ok(None);
                }
                (404 | 409 | 429, _) => {}
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
            expected: None,
            file: None,
            sent_at: now(),
            answered_at: None,
            answer: Answer::Unknown,
        }
    }

    fn accepted(&mut self, entry: &Entry, response: &Response) -> Result<Option<String>> {
        let (answer, order, file) = acceptance(entry, response);
        self.ledger.conclude(answer, Some(order.clone()), file)?;
        if matches!(entry.asked, Asked::Place(_)) {
            self.has_placed(&order);
        }
        Ok(Some(order))
    }

    fn has_placed(&mut self, order: &str) {
        self.pace.placed.add(order);
        self.orders.push(order.to_owned());
        if self.orders.len() > MEMORY {
            self.orders.remove(0);
        }
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
