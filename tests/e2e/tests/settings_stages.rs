//! Settings of the stages: how much a batch takes, how often a stage looks without being told,
//! how long a lease lasts.

use std::time::Duration;

use bakehouse_dev_servers::ports;
use bakehouse_e2e::process::Process;
use bakehouse_e2e::stores::{PRESENTATION, SOURCE};
use bakehouse_e2e::world::{Servers, wait};
use bakehouse_e2e::{Client, Kind, Receiver, World, ledger};
use mongodb::bson::{DateTime, Document};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(60);
/// Time within which something that must not happen would have happened many times over.
const QUIET: Duration = Duration::from_secs(3);
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn prepare(settings: &[(&str, &str)]) -> World {
    let name = format!("e{}", uuid::Uuid::now_v7().simple());
    let servers = Servers::shared(&name);
    World::prepare(Kind::Servers, Some((&name, servers)), settings).expect("a world")
}

/// A value of the metrics of a stage.
async fn figure(client: &Client, name: &str) -> u32 {
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
        world.process(stage).terminate(LIMIT).expect("it ends");
    }
    // Each stage then finds all of it at once.
    let client = world.client();
    for number in 0..ORDERS {
        let placed = client.post(ledger::order(&format!("{number}"))).await;
        assert_eq!(placed.expect("an answer").status, 202);
    }
    for ((stage, most), client) in stages.into_iter().zip(clients) {
        world.process(stage).start().expect("it starts");
        let name = "bakehouse_stage_batch_events";
        let of = format!("{{stage=\"{stage}\"}}");
        let sum = format!("{name}_sum{of}");
        let is_done = async || figure(&client, &sum).await >= ORDERS;
        let outcome = wait(LIMIT, stage, is_done).await;
        assert!(outcome.is_ok(), "{stage}: {}", world.logs());
        let count = figure(&client, &format!("{name}_count{of}")).await;
        let small = format!("{name}_bucket{{stage=\"{stage}\",le=\"{most}\"}}");
        assert_eq!(figure(&client, &small).await, count, "{stage}");
        assert!(count >= ORDERS / most, "{stage}: {count} batches");
    }
    world.process("notifier").start().expect("it starts");
    let are_told = async || hook.received().len() >= ORDERS as usize;
    let outcome = wait(LIMIT, "word of each order", are_told).await;
    assert!(outcome.is_ok(), "{}", world.logs());
    // Notifier logs its batches at debug level, and has no metric of them.
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

/// Waits until the operation has come as far as that.
async fn until(world: &World, accepted: &bakehouse_e2e::Answer, word: &str) {
    let client = world.client();
    let is_so = async || status(&client, accepted).await == word;
    let outcome = wait(LIMIT, word, is_so).await;
    assert!(outcome.is_ok(), "{}", world.logs());
}

/// Waits until the document can be read: how far a receipt says that it is baked goes by the
/// feed, which hears of nothing here.
async fn until_baked(world: &World, accepted: &bakehouse_e2e::Answer) {
    let client = world.client();
    let is_there = async || {
        let answer = client.get(accepted.header("location")).await;
        answer.is_ok_and(|answer| answer.status == 200)
    };
    let outcome = wait(LIMIT, "a document", is_there).await;
    assert!(outcome.is_ok(), "{}", world.logs());
}

/// Ends a process and starts it with another interval.
fn restart(process: &mut Process, variable: &str) {
    process.terminate(LIMIT).expect("it ends");
    let more = [(variable.to_owned(), "100ms".to_owned())];
    process.start_with(&more).expect("it starts");
}

/// No notice reaches anybody, since each has names of exchanges of its own: what is done is found
/// by looking.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_poll_as_often_as_set_without_notices() {
    const POLL: &str = "BAKEHOUSE_MANAGER__POLL_INTERVAL";
    const BAKE: &str = "BAKEHOUSE_BAKER__POLL_INTERVAL";
    const FEED: &str = "BAKEHOUSE_FEED__POLL_INTERVAL";
    let mut world = prepare(&[(POLL, "1h"), (BAKE, "1h"), (FEED, "1h")]);
    for stage in ["orders-manager", "data-baker"] {
        let prefix = format!("deaf-{stage}-{}", world.prefix());
        world.set_for(stage, "BAKEHOUSE_AMQP__PREFIX", &prefix);
    }
    world.begin().await.expect("it starts");
    let client = world.client();
    // Whatever is there at the start is found at once; this comes later.
    let first = place(&client).await;
    until(&world, &first, "stored").await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(status(&client, &first).await, "stored", "nobody looks");

    restart(world.process("orders-manager"), POLL);
    until(&world, &first, "executed").await;
    let second = place(&client).await;
    until(&world, &second, "executed").await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(status(&client, &second).await, "executed", "nobody looks");

    restart(world.process("data-baker"), BAKE);
    until_baked(&world, &second).await;
    let mut feed = world.feed("").await.expect("a feed");
    assert_eq!(feed.frame().await.expect("a frame")["type"], "welcome");
    let third = place(&client).await;
    until_baked(&world, &third).await;
    let quiet = async {
        loop {
            let frame = feed.frame().await.expect("a frame");
            if frame["order"].is_object() {
                return frame;
            }
        }
    };
    let came = tokio::time::timeout(QUIET, quiet).await;
    assert!(came.is_err(), "nobody looks: {came:?}");

    restart(world.process("api-server"), FEED);
    world.ready(LIMIT).await.expect("ready");
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
            let (least, most) = ((hours - 1) * 3_600_000, hours * 3_600_000 + 60_000);
            (least..=most).contains(&left)
                && lease
                    .get_str("holder")
                    .expect("a name")
                    .contains("bakery-7")
        };
        let outcome = wait(LIMIT, stage, held).await;
        assert!(outcome.is_ok(), "{stage}: {}", world.logs());
    }
}
