//! Somebody who wants what is not theirs: everything they try is turned away, whatever
//! else goes wrong.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::Client;
use hyper::Method;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::clients::{Identity, Person, Placed};
use crate::hostile::Hostile;
use crate::ledger::{Asked, Entry};

/// As tokens name them.
pub const NAME: &str = "intruder";
const PATIENCE: Duration = Duration::from_secs(12);
/// Between one round and the next.
const REST: Duration = Duration::from_millis(400);

/// What they got.
#[derive(Default)]
pub struct Loot {
    /// What they asked for and were not turned away from, or not as they should be.
    pub complaints: Vec<String>,
    /// How often they were turned away.
    pub turned_away: u64,
    /// Changes of others' orders that they asked for; such are refused at the latest when
    /// they are carried out.
    pub ledger: Vec<Entry>,
}

/// At work.
pub struct Intruder {
    stop: Arc<AtomicBool>,
    task: JoinHandle<Result<Loot>>,
    hostile: Hostile,
}

impl Intruder {
    /// Starts one, who asks for what others have placed; `reader` may read, and no more.
    /// Hostile clients, who cost what they can, work beside.
    #[must_use]
    pub fn start(identity: Identity, reader: Identity, mut person: Person, placed: Placed) -> Self {
        let hostile = Hostile::start(identity.clone(), person.draw());
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let task = tokio::spawn(intrude(identity, reader, person, placed, ended));
        Self {
            stop,
            task,
            hostile,
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// When its ledger could not be kept.
    pub async fn finish(self) -> Result<Loot> {
        self.stop.store(true, Ordering::Relaxed);
        let mut loot = self.task.await??;
        if self.hostile.finish().await? == 0 {
            let never = "hostile clients never came as far as to do harm";
            loot.complaints.push(never.to_owned());
        }
        Ok(loot)
    }
}

async fn intrude(
    identity: Identity,
    reader: Identity,
    mut person: Person,
    placed: Placed,
    stop: Arc<AtomicBool>,
) -> Result<Loot> {
    let mut loot = Loot::default();
    let clients: Vec<Client> = identity
        .bases
        .iter()
        .map(|base| Client::new(base))
        .collect();
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        sleep(REST).await;
        let Some(order) = placed.any(turn) else {
            continue;
        };
        turn += 1;
        let client = &clients[turn % clients.len()];
        for trespass in trespasses(&identity, &reader, &order) {
            attempt(client, trespass, &mut loot).await;
        }
        let change = (Some(order), Asked::Status("cancelled".into()));
        person.ask(change, 1).await?;
    }
    loot.ledger = person.remember();
    Ok(loot)
}

/// Something that is not to be had: how it is asked for, with which body and token, and the
/// status that turns away. With 200, an empty list does.
type Trespass<'a> = (Method, String, &'static str, Option<&'a str>, u16);

fn trespasses<'a>(identity: &'a Identity, reader: &'a Identity, order: &str) -> Vec<Trespass<'a>> {
    let own = Some(identity.authorization.as_str());
    let may_read = Some(reader.authorization.as_str());
    let at = format!("/order/{order}");
    let (history, status) = (format!("{at}/history"), format!("{at}/status"));
    let paid = r#"{"status":"paid"}"#;
    vec![
        (Method::GET, at.clone(), "", None, 401),
        (Method::PUT, status.clone(), paid, None, 401),
        (Method::GET, at, "", own, 404),
        (Method::GET, history, "", own, 404),
        (Method::GET, "/order?limit=5".to_owned(), "", own, 200),
        (Method::PUT, status, paid, may_read, 403),
        (Method::GET, "/parked".to_owned(), "", own, 403),
        (Method::POST, "/rebuilds/source".to_owned(), "", own, 403),
    ]
}

async fn attempt(client: &Client, trespass: Trespass<'_>, loot: &mut Loot) {
    let (method, path, body, authorization, status) = trespass;
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(authorization.map(|token| ("authorization", token)));
    let told = format!("{method} {path}");
    let asking = client.send(method, &path, &headers, body);
    let Ok(Ok(answer)) = timeout(PATIENCE, asking).await else {
        return;
    };
    let is_away = answer.status.is_server_error() || answer.status == 429;
    let is_empty = status != 200 || answer.body.as_ref() == b"[]";
    if answer.status == status && is_empty {
        loot.turned_away += 1;
    } else if !is_away {
        loot.complaints.push(format!("{told}: {answer:?}"));
    }
}
