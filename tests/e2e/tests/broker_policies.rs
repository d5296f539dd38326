//! Policies of the broker that can lose accepted operations: readiness, doctor and metrics report
//! them.

use std::time::Duration;

use bakehouse_dev_servers::{Rabbit, ports};
use bakehouse_e2e::ledger::order;
use bakehouse_e2e::world::{Servers, wait};
use bakehouse_e2e::{Client, Kind, World};
use serde_json::Value;

const MANAGEMENT: &str = "BAKEHOUSE_AMQP__MANAGEMENT_URI";
const TIMEOUT: Duration = Duration::from_secs(60);

/// Starts a broker with a management API and prepares a system on it; returns both with a client for
/// the health of events-writer.
fn prepare() -> (Rabbit, World, Client) {
    let mut rabbit = Rabbit::bare("e2e-management").expect("a RabbitMQ");
    let management = rabbit.enable_management().expect("a management API");
    rabbit.start_again().expect("it starts");
    let name = format!("e{}", uuid::Uuid::now_v7().simple());
    let servers = Servers {
        amqp: rabbit.uri(),
        ..Servers::shared(&name)
    };
    let settings = [(MANAGEMENT, management.as_str())];
    let servers = Some((name.as_str(), servers));
    let mut world = World::prepare(Kind::Servers, servers, &settings).expect("a world");
    let bind = format!("127.0.0.1:{}", ports::free().expect("a port"));
    world.set_for("events-writer", "BAKEHOUSE_HEALTH__BIND", &bind);
    let writer = Client::new(&format!("http://{bind}"));
    (rabbit, world, writer)
}

/// Returns status and body of a service's readiness; status 0 if there is no answer.
async fn readiness(client: &Client) -> (u16, Value) {
    match client.get("/health/ready").await {
        Ok(answer) => (answer.status.as_u16(), answer.json()),
        Err(_) => (0, Value::Null),
    }
}

/// Waits until all services are ready without notes, so that the policies have been checked.
async fn until_ready(clients: &[&Client], world: &World) {
    let ready = wait(TIMEOUT, "readiness", async || {
        for client in clients {
            let (status, body) = readiness(client).await;
            if status != 200 || !body["notes"].is_null() {
                return false;
            }
        }
        true
    });
    if ready.await.is_err() {
        panic!("{:?}\n{}", readiness(clients[0]).await, world.logs());
    }
}

/// Returns the reason for which readiness reports the broker policies as missing.
fn reason(body: &Value) -> Option<&str> {
    let missing = body["missing"].as_array()?;
    let policies = missing
        .iter()
        .find(|one| one["name"] == "broker policies")?;
    policies["reason"].as_str()
}

/// Returns the value of a metric; `None` if it is not exported.
async fn metric(client: &Client, name: &str) -> Option<f64> {
    let text = client.get("/metrics").await.ok()?.body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line?.trim().parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_can_lose_operations_fails_readiness() {
    let (rabbit, mut world, writer) = prepare();
    world.begin().await.expect("it starts");
    let api = world.client();
    let both = [&api, &writer];
    until_ready(&both, &world).await;
    let queue = format!("{}platform-event.schedule", world.prefix());
    for (policy, key) in [
        (
            r#"{"max-length":5,"overflow":"drop-head"}"#,
            "overflow=\"drop-head\"",
        ),
        (r#"{"message-ttl":60000}"#, "message-ttl=60000"),
        (r#"{"expires":600000}"#, "expires=600000"),
    ] {
        rabbit.set_policy("theirs", ".*", policy).expect("a policy");
        let text = format!("queue {queue}: policy \"theirs\" sets {key}");
        for client in both {
            let named = wait(TIMEOUT, &text, async || {
                let (status, body) = readiness(client).await;
                let reason = reason(&body).unwrap_or_default();
                status == 503
                    && reason.contains(&text)
                    && reason.contains("rabbitmqctl clear_policy -p / theirs")
            });
            named.await.expect("it is named");
            let risks = metric(client, "bakehouse_queue_risks").await;
            assert!(risks.expect("a figure") > 0.0);
        }
        let (code, found) = world.doctor().expect("it runs");
        assert_eq!(code, Some(1), "{found}");
        let findings = found["findings"].as_array().expect("findings");
        let finding = findings.iter().find(|one| one["field"] == *queue);
        let finding = finding.expect("a finding of the queue");
        assert_eq!(finding["code"], "lossy-queue");
        assert!(finding["what"].as_str().expect("words").contains(&text));
        let fix = finding["fix"].as_str().expect("words");
        assert!(
            fix.starts_with("rabbitmqctl clear_policy -p / theirs"),
            "{fix}"
        );
        rabbit.clear_policy("theirs");
        until_ready(&both, &world).await;
        assert_eq!(metric(&api, "bakehouse_queue_risks").await, Some(0.0));
    }
    dead_letters_are_counted_once(&rabbit, &mut world, &writer).await;
}

/// Checks that a dead letter is counted by the process that stores it, not again by one that finds it
/// in the log.
async fn dead_letters_are_counted_once(rabbit: &Rabbit, world: &mut World, writer: &Client) {
    const COUNTED: &str = "bakehouse_dead_letters_total";
    let api = world.client();
    world.process("events-writer").kill();
    let expiring = r#"{"message-ttl":100}"#;
    rabbit.set_policy("p", ".*", expiring).expect("a policy");
    let in_force = wait(TIMEOUT, "the policy", async || {
        let (_, body) = readiness(&api).await;
        reason(&body).is_some_and(|reason| reason.contains("message-ttl=100"))
    });
    in_force.await.expect("it is in force");
    let mut receipts = Vec::new();
    for number in 0..3 {
        let placed = api.post(order(&format!("dead-{number}"))).await;
        let placed = placed.expect("an answer");
        assert_eq!(placed.status, 202);
        receipts.push(placed);
    }
    // The messages are left in the stream only, which doctor does not count.
    let expired = wait(TIMEOUT, "an empty queue", async || {
        world.doctor().expect("it runs").1["waiting"] == 0
    });
    expired.await.expect("they expire");
    rabbit.clear_policy("p");
    world.start_all().expect("it starts again");
    for placed in &receipts {
        api.settled(placed).await.expect("a receipt");
    }
    assert_eq!(metric(writer, COUNTED).await, Some(3.0));

    world.process("events-writer").kill();
    world.start_all().expect("it starts again");
    let placed = api.post(order("afterwards")).await.expect("an answer");
    api.settled(&placed).await.expect("a receipt");
    // The dead letters delivered before that order were already in the log.
    assert_eq!(metric(writer, COUNTED).await.unwrap_or_default(), 0.0);
}

/// Checks that an unreachable management API is reported as a note and does not fail readiness.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unchecked_policies_are_reported_and_fail_nothing() {
    let unreachable = format!(
        "http://user:hunter2@127.0.0.1:{}",
        ports::free().expect("a port")
    );
    let settings = [(MANAGEMENT, unreachable)];
    let world = World::start_with(Kind::Servers, &settings).await;
    let world = world.expect("it is ready");
    let client = world.client();
    let noted = wait(TIMEOUT, "the note", async || {
        let (status, body) = readiness(&client).await;
        let note = body["notes"][0]["note"].as_str().unwrap_or_default();
        status == 200 && note.starts_with("not checked: management API: no answer")
    });
    noted.await.expect("a note");
    let errors = metric(&client, "bakehouse_queue_check_errors_total").await;
    assert!(errors.expect("a figure") > 0.0);
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!(code, Some(0), "{found}");
    let not_checked = found["not_checked"].to_string();
    assert!(not_checked.contains("policies of the broker"), "{found}");
    let logs = world.logs_in_full();
    assert!(!logs.contains("hunter2"));
    let warning = "policies on the broker's queues are not checked";
    // Once by api-server, once by events-writer.
    assert_eq!(logs.matches(warning).count(), 2, "{logs}");

    let without = World::start(Kind::Servers).await.expect("it is ready");
    let (_, found) = without.doctor().expect("it runs");
    let not_checked = found["not_checked"].to_string();
    assert!(
        not_checked.contains("amqp.management_uri is not set"),
        "{found}"
    );
    assert_eq!(without.logs_in_full().matches(warning).count(), 2);
}
