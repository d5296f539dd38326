//! Outages of broker and databases: servers that start late, are killed, hang, and return.

use std::time::Duration;

use bakehouse_dev_servers::{Mongo, Rabbit};
use bakehouse_e2e::ledger::{Load, audit, order};
use bakehouse_e2e::world::{Servers, wait};
use bakehouse_e2e::{Kind, World};
use tokio::time::sleep;

/// Timeout for an answer while a server hangs; the drivers' own timeouts are about a minute.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

/// Capabilities that readiness also reports as missing while a server is down.
const DEPENDENT_CAPABILITIES: [&str; 3] = ["reads", "feed", "stages"];

/// Returns the names that readiness reports as missing.
async fn missing(world: &World) -> Vec<String> {
    let Ok(answer) = world.client().get("/health/ready").await else {
        return vec!["api-server".into()];
    };
    if answer.status == 200 {
        return Vec::new();
    }
    let problem = answer.json();
    let names = problem["missing"].as_array();
    let names = names.unwrap_or_else(|| panic!("readiness names nothing: {answer:?}"));
    let name = |one: &serde_json::Value| one["name"].as_str().expect("a name").to_owned();
    names.iter().map(name).collect()
}

async fn wait_for_missing(world: &World, expected: &[&str]) {
    let limit = Duration::from_secs(20);
    let waiting = wait(limit, "the expected readiness", async || {
        let mut missing = missing(world).await;
        if !expected.is_empty() {
            missing.retain(|name| !DEPENDENT_CAPABILITIES.contains(&name.as_str()));
        }
        missing == expected
    })
    .await;
    if waiting.is_err() {
        panic!(
            "expected {expected:?}, missing {:?}\n{}",
            missing(world).await,
            world.logs()
        );
    }
}

/// Checks that the answer is 503 with a problem document and `Retry-After`, within the timeout.
async fn assert_unavailable(answer: impl Future<Output = anyhow::Result<bakehouse_e2e::Answer>>) {
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, answer)
        .await
        .expect("an answer in time");
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 503);
    assert_eq!(answer.header("content-type"), "application/problem+json");
    assert_eq!(answer.json()["type"], "urn:bakehouse:problem:unavailable");
    assert!(!answer.header("retry-after").is_empty());
}

/// Starts the services before their empty servers, kills and pauses each server under load, then
/// audits everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn absent_servers_are_waited_for_and_survived() {
    let mut mongo = Mongo::bare("away-mongo").expect("a mongod");
    let mut rabbit = Rabbit::bare("away-rabbit").expect("a RabbitMQ");
    let servers = Servers {
        source: mongo.uri("source"),
        presentation: mongo.uri("presentation"),
        amqp: rabbit.uri(),
    };
    let settings = [("BAKEHOUSE_MONGODB__INITIATE_REPLICA_SET", "true")];
    let mut world = World::prepare(Kind::Servers, Some(("", servers)), &settings).expect("a world");
    world.start_all().expect("they start");
    let databases = ["source database", "presentation database"];
    wait_for_missing(&world, &["broker", databases[0], databases[1]]).await;
    let client = world.client();
    assert_unavailable(client.post(order("too early"))).await;
    assert_unavailable(client.get("/order")).await;
    rabbit.start_again().expect("it starts");
    wait_for_missing(&world, &databases).await;
    mongo.start_again().expect("it starts");
    world.ready(Duration::from_secs(30)).await.expect("ready");

    let load = Load::start(&world.base, 4, u64::MAX);
    sleep(Duration::from_millis(500)).await;

    rabbit.kill();
    assert_unavailable(client.post(order("broker killed"))).await;
    assert_eq!(
        client
            .get("/order?limit=1")
            .await
            .expect("an answer")
            .status,
        200
    );
    rabbit.start_again().expect("it starts again");
    wait_for_missing(&world, &[]).await;
    sleep(Duration::from_millis(500)).await;

    rabbit.pause();
    assert_unavailable(client.post(order("broker paused"))).await;
    rabbit.resume();
    wait_for_missing(&world, &[]).await;
    sleep(Duration::from_millis(500)).await;

    mongo.kill();
    // A write that the broker confirms is accepted while the databases are down.
    let accepted = client
        .post(order("database killed"))
        .await
        .expect("an answer");
    assert_eq!(accepted.status, 202);
    assert_unavailable(client.get("/order")).await;
    mongo.start_again().expect("it starts again");
    wait_for_missing(&world, &[]).await;
    sleep(Duration::from_millis(500)).await;

    let mut ledger = load.stop().await;
    ledger.accepted.insert("database killed".into());
    for reference in ["too early", "broker killed", "broker paused"] {
        ledger.unknown.insert(reference.into());
    }
    audit(&world, &ledger, Duration::from_secs(90))
        .await
        .expect("a clean audit");
    for name in world.names() {
        let (status, _) = world
            .process(name)
            .terminate(ANSWER_TIMEOUT)
            .expect("it ends");
        assert!(status.success(), "{name}");
    }
}

/// Checks that api-server answers in time while its database hangs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hanging_database_does_not_block_answers() {
    let mongo = Mongo::start("hang-mongo").await.expect("a mongod");
    let name = format!("e{}", uuid::Uuid::now_v7().simple());
    let servers = Servers {
        source: mongo.uri("source"),
        presentation: mongo.uri("presentation"),
        ..Servers::shared(&name)
    };
    let mut world = World::prepare(Kind::Servers, Some((&name, servers)), &[]).expect("a world");
    world.start_all().expect("they start");
    world.ready(Duration::from_secs(30)).await.expect("ready");
    let client = world.client();
    mongo.pause();
    assert_unavailable(client.get("/order")).await;
    let keyed = tokio::time::timeout(ANSWER_TIMEOUT, client.post_keyed("k", order("a"))).await;
    assert_eq!(
        keyed.expect("an answer in time").expect("an answer").status,
        202
    );
    mongo.resume();
    let mut feed = world.feed("since=0").await.expect("a subscription");
    assert_eq!(
        feed.event().await.expect("an event")["order"]["reference"],
        "a"
    );
}
