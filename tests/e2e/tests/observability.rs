//! Health and metrics of every service: the exported metrics are exactly those that
//! `docs/operating.md` documents.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use bakehouse_dev_servers::{ports, shared};
use bakehouse_e2e::attachments::{form, place, upload};
use bakehouse_e2e::rebuilds::{ask, ended};
use bakehouse_e2e::world::{SERVICES, Servers, wait};
use bakehouse_e2e::{Client, Kind, Receiver, World, ledger};
use hyper::Method;
use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use tokio::net::TcpStream;

const TIMEOUT: Duration = Duration::from_secs(60);
const DOCUMENTATION: &str = include_str!("../../../docs/operating.md");
/// Name of a crate that has the prefix of metrics.
const ENGINE_CRATE: &str = "bakehouse_engine";

/// Metrics that this test does not cause, each with the test module that reads it.
const TESTED_ELSEWHERE: &[(&str, &str)] = &[
    ("bakehouse_dead_letters_total", "broker_policies.rs"),
    ("bakehouse_log_lines_lost_total", "logging.rs"),
    ("bakehouse_queue_check_errors_total", "broker_policies.rs"),
    ("bakehouse_queue_risks", "broker_policies.rs"),
    ("bakehouse_token_key_loads_total", "tokens.rs"),
    ("bakehouse_token_refusals_total", "tokens.rs"),
];

/// Metrics of rare failures, which no test reads.
const UNTESTED: &[&str] = &[
    "bakehouse_attachments_removed_total",
    "bakehouse_rebuild_errors_total",
    "bakehouse_schedule_queue_lost_total",
    "bakehouse_stage_errors_total",
];

fn documented() -> BTreeSet<String> {
    let is_name_part = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    let words = DOCUMENTATION.split(|letter| !is_name_part(letter));
    let names = words.filter(|word| word.starts_with("bakehouse_") && *word != ENGINE_CRATE);
    names.map(str::to_owned).collect()
}

/// Returns the names of a program's metrics, without the suffixes of histograms.
async fn exported(client: &Client) -> BTreeSet<String> {
    let answer = client.get("/metrics").await.expect("an answer");
    assert_eq!(answer.status, 200);
    assert!(
        answer
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = types.filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exported_metrics_are_those_documented() {
    let hook = Receiver::start().await.expect("it listens");
    let name = format!("e{}", uuid::Uuid::now_v7().simple());
    let settings = [
        ("BAKEHOUSE_HTTP__MAX_CONNECTIONS_PER_CLIENT", "20"),
        ("BAKEHOUSE_WEBHOOK__URLS", hook.url.as_str()),
        (
            "BAKEHOUSE_WEBHOOK__SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ),
        ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true"),
    ];
    let servers = Some((name.as_str(), Servers::shared(&name)));
    let mut world = World::prepare(Kind::Servers, servers, &settings).expect("a world");
    let mut clients = vec![("api-server", world.client())];
    for name in SERVICES[1..].iter().chain(&["notifier"]) {
        let bind = format!("127.0.0.1:{}", ports::free().expect("a port"));
        world.set_for(name, "BAKEHOUSE_HEALTH__BIND", &bind);
        clients.push((name, Client::new(&format!("http://{bind}"))));
    }
    world.begin().await.expect("it starts");
    for (name, client) in &clients {
        is_healthy(name, client).await;
    }
    cause_metrics(&world, &hook).await;
    let writer = &clients[1].1;
    let garbage = "bakehouse_unreadable_messages_total";
    wait(TIMEOUT, garbage, async || {
        exported(writer).await.contains(garbage)
    })
    .await
    .expect("counted");
    let mut all = BTreeSet::new();
    for (name, client) in &clients {
        let names = exported(client).await;
        assert!(!names.is_empty(), "{name}");
        all.extend(names);
    }
    let elsewhere = TESTED_ELSEWHERE
        .iter()
        .map(|(name, _)| *name)
        .chain(UNTESTED.iter().copied());
    all.extend(elsewhere.map(str::to_owned));
    assert_eq!(all, documented(), "exported (left) and documented (right)");
}

async fn is_healthy(name: &str, client: &Client) {
    for path in ["/health/live", "/health/ready"] {
        let is_ok = async || {
            let answer = client.get(path).await;
            answer.is_ok_and(|answer| answer.status == 200)
        };
        let outcome = wait(TIMEOUT, path, is_ok).await;
        assert!(outcome.is_ok(), "{name}: {path}");
        let wrong = client.send(Method::POST, path, &[], "").await;
        assert_eq!(wrong.expect("an answer").status, 405, "{name}: {path}");
    }
    let missing = client.get("/nowhere").await.expect("an answer");
    assert_eq!(missing.status, 404, "{name}");
    let foreign = client
        .get_with("/metrics", &[("Host", "evil.example")])
        .await;
    assert_eq!(foreign.expect("an answer").status, 421, "{name}");
    if name != "api-server" {
        // These services serve health and metrics only.
        for path in ["/order", "/parked", "/openapi.json"] {
            let answer = client.get(path).await.expect("an answer");
            assert_eq!(answer.status, 404, "{name}: {path}");
        }
    }
}

/// Causes an increment of every metric that is not listed in an exception.
async fn cause_metrics(world: &World, hook: &Receiver) {
    let client = world.client();
    let placed = client.post(ledger::order("one")).await.expect("an answer");
    client.settled(&placed).await.expect("a receipt");
    let order = place(&client).await;
    let attached = upload(
        &client,
        &order,
        &[],
        form("file", "a.txt", "text/plain", b"a"),
    )
    .await;
    client.settled(&attached).await.expect("a receipt");
    ask(&client, "presentation").await;
    assert_eq!(ended(&client, "presentation").await["state"], "done");
    let mut feed = world.feed("").await.expect("a feed");
    feed.say("what?").await.expect("sent");
    assert_eq!(feed.end().await.0, 4400);
    let queue = format!("{}platform-event.schedule", world.prefix());
    send_garbage(&queue).await;
    wait(TIMEOUT, "a webhook", async || !hook.received().is_empty())
        .await
        .expect("a request");
    let address = world.base.trim_start_matches("http://").to_owned();
    let mut connections = Vec::new();
    for _ in 0..60 {
        connections.extend(TcpStream::connect(&address).await);
    }
    drop(connections);
    let has_metric = async |name: &str| {
        let answer = client.get("/metrics").await;
        answer.is_ok_and(|answer| String::from_utf8_lossy(&answer.body).contains(name))
    };
    let refused = "bakehouse_http_connections_refused_total{";
    wait(TIMEOUT, refused, async || has_metric(refused).await)
        .await
        .expect("counted");
}

async fn send_garbage(queue: &str) {
    let uri = shared::amqp_uri();
    let connection = Connection::connect(&uri, ConnectionProperties::default());
    let connection = connection.await.expect("the broker answers");
    let channel = connection.create_channel().await.expect("a channel");
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    let sent = channel.basic_publish("".into(), queue.into(), options, b"garbage", properties);
    sent.await.expect("sent").await.expect("confirmed");
    connection.close(200, "".into()).await.expect("closed");
}

/// Checks that the listed modules read the metrics, and that untested metrics are documented.
#[test]
fn lists_of_exceptions_are_correct() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, file) in TESTED_ELSEWHERE {
        let text = std::fs::read_to_string(folder.join("tests").join(file)).expect("a module");
        assert!(text.contains(name), "{file} does not read {name}");
    }
    let documented = documented();
    for name in UNTESTED {
        assert!(documented.contains(*name), "{name}");
    }
}
