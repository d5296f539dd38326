//! Settings of the stages: sizes of batches, poll intervals, and durations of leases.

use std::time::Duration;

use bakehouse_dev_servers::ports;
use bakehouse_e2e::process::Process;
use bakehouse_e2e::stores::{PRESENTATION, SOURCE};
use bakehouse_e2e::world::{Servers, wait};
use bakehouse_e2e::{Client, Kind, Receiver, World, ledger};
use mongodb::bson::{DateTime, Document};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(60);
/// Time to wait before asserting that something has not happened.
const QUIET_PERIOD: Duration = Duration::from_secs(3);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn prepare(settings: &[(&str, &str)]) -> World {
    let name = format!("e{}", uuid::Uuid::now_v7().simple());
    let servers = Servers::shared(&name);
    World::prepare(Kind::Servers, Some((&name, servers)), settings).expect("a world")
}

/// Returns the value of a metric; 0 if it is not exported.
async fn metric(client: &Client, name: &str) -> u32 {
    let Ok(answer) = client.get("/metrics").await else {
        return 0;
    };
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|value| value.trim().parse().ok())
        .unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_are_limited_as_set() {
    const ORDERS: u32 = 20;
    let hook = Receiver::start().await.expect("it listens");
    let mut world = prepare(&[
        ("BAKEHOUSE_WRITER__MAX_BATCH", "2"),
        ("BAKEHOUSE_MANAGER__MAX_BATCH", "5"),
        ("BAKEHOUSE_BAKER__MAX_BATCH", "2"),
        ("BAKEHOUSE_NOTIFY__MAX_BATCH", "5"),
        ("BAKEHOUSE_WEBHOOK__URLS", &hook.url),
        ("BAKEHOUSE_WEBHOOK__SECRET", SECRET),
        ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true"),
        ("BAKEHOUSE_LOG__FILTER", "debug"),
    ]);
    let stages = [
        ("events-writer", 2),
        ("orders-manager", 5),
        ("data-baker", 2),
    ];
    let mut clients = Vec::new();
    for (stage, _) in stages {
        let bind = format!("127.0.0.1:{}", ports::free().expect("a port"));
        world.set_for(stage, "BAKEHOUSE_HEALTH__BIND", &bind);
        clients.push(Client::new(&format!("http://{bind}")));
    }
    world.begin().await.expect("it starts");
    for stage in ["events-writer", "orders-manager", "data-baker", "notifier"] {
        world.process(stage).terminate(TIMEOUT).expect("it ends");
    }
    // Each stage finds all orders at once when it starts.
    let client = world.client();
    for number in 0..ORDERS {
        let placed = client.post(ledger::order(&format!("{number}"))).await;
        assert_eq!(placed.expect("an answer").status, 202);
    }
    for ((stage, max), client) in stages.into_iter().zip(clients) {
        world.process(stage).start().expect("it starts");
        let name = "bakehouse_stage_batch_events";
        let of = format!("{{stage=\"{stage}\"}}");
        let sum = format!("{name}_sum{of}");
        let is_done = async || metric(&client, &sum).await >= ORDERS;
        let outcome = wait(TIMEOUT, stage, is_done).await;
        assert!(outcome.is_ok(), "{stage}: {}", world.logs());
        let count = metric(&client, &format!("{name}_count{of}")).await;
        let small = format!("{name}_bucket{{stage=\"{stage}\",le=\"{max}\"}}");
        assert_eq!(metric(&client, &small).await, count, "{stage}");
        assert!(count >= ORDERS / max, "{stage}: {count} batches");
    }
    world.process("notifier").start().expect("it starts");
    let are_sent = async || hook.received().len() >= ORDERS as usize;
    let outcome = wait(TIMEOUT, "a webhook of each order", are_sent).await;
    assert!(outcome.is_ok(), "{}", world.logs());
    // Notifier has no metric of its batches, and logs them at debug level.
    let log = world.process("notifier").log();
    let lines = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let batches = lines.filter_map(|line| line["notifications"].as_u64());
    let batches: Vec<u64> = batches.collect();
    assert_eq!(
        batches.iter().sum::<u64>(),
        u64::from(ORDERS),
        "{batches:?}"
    );
    assert!(batches.iter().all(|batch| *batch <= 5), "{batches:?}");
}

async fn status(client: &Client, accepted: &bakehouse_e2e::Answer) -> Value {
    let path = accepted.header("operation-location");
    let receipt = client.get(path).await.expect("an answer").json();
    receipt["status"].clone()
}

async fn place(client: &Client) -> bakehouse_e2e::Answer {
    let placed = client.post(ledger::order("one")).await.expect("an answer");
    assert_eq!(placed.status, 202);
    placed
}

/// Waits until the receipt of an operation has this status.
async fn wait_for_status(world: &World, accepted: &bakehouse_e2e::Answer, expected: &str) {
    let client = world.client();
    let is_so = async || status(&client, accepted).await == expected;
    let outcome = wait(TIMEOUT, expected, is_so).await;
    assert!(outcome.is_ok(), "{}", world.logs());
}

/// Waits until the document can be read. The receipt does not become `baked` here, since that
/// depends on the feed, which receives no notices.
async fn wait_for_document(world: &World, accepted: &bakehouse_e2e::Answer) {
    let client = world.client();
    let is_there = async || {
        let answer = client.get(accepted.header("location")).await;
        answer.is_ok_and(|answer| answer.status == 200)
    };
    let outcome = wait(TIMEOUT, "a document", is_there).await;
    assert!(outcome.is_ok(), "{}", world.logs());
}

/// Restarts a process with a poll interval of 100 ms.
fn restart(process: &mut Process, variable: &str) {
    process.terminate(TIMEOUT).expect("it ends");
    let more = [(variable.to_owned(), "100ms".to_owned())];
    process.start_with(&more).expect("it starts");
}

/// Checks that stages poll at their interval: each has its own prefix of exchanges, so that no
/// notices arrive.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_poll_as_often_as_set_without_notices() {
    const MANAGER_INTERVAL: &str = "BAKEHOUSE_MANAGER__POLL_INTERVAL";
    const BAKER_INTERVAL: &str = "BAKEHOUSE_BAKER__POLL_INTERVAL";
    const FEED_INTERVAL: &str = "BAKEHOUSE_FEED__POLL_INTERVAL";
    let mut world = prepare(&[
        (MANAGER_INTERVAL, "1h"),
        (BAKER_INTERVAL, "1h"),
        (FEED_INTERVAL, "1h"),
    ]);
    for stage in ["orders-manager", "data-baker"] {
        let prefix = format!("deaf-{stage}-{}", world.prefix());
        world.set_for(stage, "BAKEHOUSE_AMQP__PREFIX", &prefix);
    }
    world.begin().await.expect("it starts");
    let client = world.client();
    // Stages process existing work at their start; this order is placed later.
    let first = place(&client).await;
    wait_for_status(&world, &first, "stored").await;
    tokio::time::sleep(QUIET_PERIOD).await;
    assert_eq!(status(&client, &first).await, "stored", "polled too early");

    restart(world.process("orders-manager"), MANAGER_INTERVAL);
    wait_for_status(&world, &first, "executed").await;
    let second = place(&client).await;
    wait_for_status(&world, &second, "executed").await;
    tokio::time::sleep(QUIET_PERIOD).await;
    assert_eq!(
        status(&client, &second).await,
        "executed",
        "polled too early"
    );

    restart(world.process("data-baker"), BAKER_INTERVAL);
    wait_for_document(&world, &second).await;
    let mut feed = world.feed("").await.expect("a feed");
    assert_eq!(feed.frame().await.expect("a frame")["type"], "welcome");
    let third = place(&client).await;
    wait_for_document(&world, &third).await;
    let next_event = async {
        loop {
            let frame = feed.frame().await.expect("a frame");
            if frame["order"].is_object() {
                return frame;
            }
        }
    };
    let received = tokio::time::timeout(QUIET_PERIOD, next_event).await;
    assert!(received.is_err(), "polled too early: {received:?}");

    restart(world.process("api-server"), FEED_INTERVAL);
    world.ready(TIMEOUT).await.expect("ready");
    let mut feed = world.feed("").await.expect("a feed");
    place(&client).await;
    let event = feed.event().await.expect("an event");
    assert_eq!(event["type"], "order.created");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leases_name_their_holder_and_last_as_set() {
    let hook = Receiver::start().await.expect("it listens");
    let world = prepare(&[
        ("BAKEHOUSE_INSTANCE", "bakery-7"),
        ("BAKEHOUSE_MANAGER__LEASE_TTL", "2h"),
        ("BAKEHOUSE_BAKER__LEASE_TTL", "4h"),
        ("BAKEHOUSE_NOTIFY__LEASE_TTL", "6h"),
        ("BAKEHOUSE_WEBHOOK__URLS", &hook.url),
        ("BAKEHOUSE_WEBHOOK__SECRET", SECRET),
        ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true"),
    ]);
    let mut world = world;
    world.begin().await.expect("it starts");
    for (stage, database, hours) in [
        ("orders-manager", SOURCE, 2),
        ("data-baker", PRESENTATION, 4),
        ("notifier", SOURCE, 6),
    ] {
        let client = mongodb::Client::with_uri_str(world.setting(database)).await;
        let leases = client
            .expect("a client")
            .default_database()
            .expect("a name");
        let leases = leases.collection::<Document>("leases");
        let held = async || {
            let lease = leases.find_one(mongodb::bson::doc! { "_id": stage }).await;
            let Some(lease) = lease.expect("an answer") else {
                return false;
            };
            let end = lease.get_datetime("expires_at").expect("a time");
            let left = end.timestamp_millis() - DateTime::now().timestamp_millis();
            let (min, max) = ((hours - 1) * 3_600_000, hours * 3_600_000 + 60_000);
            (min..=max).contains(&left)
                && lease
                    .get_str("holder")
                    .expect("a name")
                    .contains("bakery-7")
        };
        let outcome = wait(TIMEOUT, stage, held).await;
        assert!(outcome.is_ok(), "{stage}: {}", world.logs());
    }
}
