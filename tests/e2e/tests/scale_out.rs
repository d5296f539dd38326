//! Ten thousand increments of one value by competing instances that are killed meanwhile: the
//! result is exactly ten thousand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bakehouse_e2e::{Client, Kind, World, world};
use serde_json::json;
use tokio::time::sleep;

const CHANGES: u64 = 10_000;
const CLIENTS: usize = 16;
const PROGRAM: &str = "calculator";
const TIMEOUT: Duration = Duration::from_secs(120);

/// Sends each change until it is accepted, with an idempotency key, to the instances in turn.
async fn add_one(clients: Arc<Vec<Client>>, at: Arc<String>, next: Arc<AtomicU64>) {
    let until = Instant::now() + TIMEOUT;
    let mut instance = 0;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= CHANGES {
            return;
        }
        let key = format!("change-{number}");
        loop {
            assert!(Instant::now() < until, "change {number} is not accepted");
            instance += 1;
            let client = &clients[instance % clients.len()];
            let body = json!({ "operation": "ADD", "value": 1 }).to_string();
            let headers = [("Idempotency-Key", key.as_str())];
            let sent = client.put(&at, &headers, body);
            match tokio::time::timeout(Duration::from_secs(5), sent).await {
                Ok(Ok(answer)) if answer.status == 202 => break,
                // Refused or unknown: repeats the request with the same key.
                _ => sleep(Duration::from_millis(10)).await,
            }
        }
    }
}

async fn no_change_is_lost_or_doubled(kind: Kind, instances: usize) {
    let mut world = World::start_domain(kind, &[PROGRAM], "/values-events")
        .await
        .expect("it starts");
    let first = world.client();
    let created = first.post_to("/values", r#"{"value":0}"#).await;
    let at = created.expect("accepted").header("location").to_owned();
    let mut clients = vec![first];
    for number in 2..=instances {
        let base = world.start_another(PROGRAM, number).expect("one more");
        clients.push(Client::new(&base));
    }
    let (clients, at) = (Arc::new(clients), Arc::new(at));
    let next = Arc::new(AtomicU64::new(0));
    let senders: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(add_one(clients.clone(), at.clone(), next.clone())))
        .collect();
    // Kills the first two instances in turn, one of which is the initial leader.
    let victims = [PROGRAM.to_owned(), format!("{PROGRAM}-2")];
    for round in 0..6 {
        let begun = CHANGES / 8 * (round + 1);
        let is_there = async || next.load(Ordering::Relaxed) >= begun;
        let outcome = world::wait(TIMEOUT, "more changes", is_there).await;
        outcome.expect("they go on");
        let victim = &victims[round as usize % victims.len().min(instances)];
        world.process(victim).kill();
        sleep(Duration::from_millis(150)).await;
        world.process(victim).start().expect("it starts again");
    }
    for sender in senders {
        sender.await.expect("all are accepted");
    }
    let client = world.client();
    let is_done = async || {
        let found = client.get(&at).await;
        found.is_ok_and(|found| found.json() == json!({ "value": CHANGES }))
    };
    let done = world::wait(TIMEOUT, "ten thousand", is_done).await;
    done.unwrap_or_else(|error| panic!("{error}\n{}", world.logs()));
    // One position for each change, and one for the creation.
    let mut feed = world
        .feed(&format!("since={CHANGES}"))
        .await
        .expect("a feed");
    let last = feed.event().await.expect("a frame");
    assert_eq!(last["position"], CHANGES + 1);
    assert_eq!(last["value"]["value"], CHANGES);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_one_embedded_store() {
    no_change_is_lost_or_doubled(Kind::Embedded, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_servers_by_five_instances() {
    no_change_is_lost_or_doubled(Kind::Servers, 5).await;
}
