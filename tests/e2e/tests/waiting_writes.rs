//! Writes with `Prefer: wait`: they are answered with the outcome, or with 202 if the time limit is
//! over or the server shuts down.

use std::collections::BTreeMap;
use std::time::Duration;

use bakehouse_e2e::attachments::{form, upload};
use bakehouse_e2e::{Answer, Kind, World, in_both_worlds, ledger, world};
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

in_both_worlds!(
    every_write_of_an_order_answers_with_its_outcome,
    a_read_that_waits_is_answered_at_shutdown,
);

const WAIT: (&str, &str) = ("Prefer", "wait=20");
const TIMEOUT: Duration = Duration::from_secs(20);
/// Maximum number of attempts to stop the server while writes are pending.
const MAX_ROUNDS: usize = 20;

fn status_of(answer: &Answer) -> u16 {
    assert_eq!(answer.header("preference-applied"), "wait=20", "{answer:?}");
    let receipt = answer.header("operation-location");
    assert!(receipt.starts_with("/operation/"), "{answer:?}");
    answer.status.as_u16()
}

fn assert_refused(answer: &Answer, status: u16, detail: &str) {
    assert_eq!(status_of(answer), status, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let problem = answer.json();
    assert_eq!(problem["type"], "urn:bakehouse:problem:refused");
    let found = problem["detail"].as_str().unwrap_or_default();
    assert!(found.contains(detail), "{found}");
}

async fn every_write_of_an_order_answers_with_its_outcome(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let keyed = [WAIT, ("Idempotency-Key", "once")];
    let placed = client.post_with("/order", &keyed, ledger::order("a")).await;
    let placed = placed.expect("an answer");
    assert_eq!(status_of(&placed), 201);
    let order = placed.header("location").to_owned();
    let now = client.get(&order).await.expect("an answer");
    assert_eq!((now.status.as_u16(), now.json()), (200, placed.json()));
    // Without the header a write is answered when it is durable.
    let at_once = client.post(ledger::order("b")).await.expect("an answer");
    assert_eq!((at_once.status.as_u16(), at_once.body.len()), (202, 0));
    assert_eq!(at_once.header("preference-applied"), "");

    let amended = client.put(&order, &[WAIT], ledger::order("c")).await;
    let amended = amended.expect("an answer");
    assert_eq!(status_of(&amended), 200);
    assert_eq!(amended.json()["reference"], "c");
    let path = format!("{order}/status");
    let paid = json!({ "status": "paid" }).to_string();
    let answer = client.put(&path, &[WAIT], paid.clone()).await;
    let answer = answer.expect("an answer");
    assert_eq!(
        (status_of(&answer), &answer.json()["status"]),
        (200, &json!("paid"))
    );
    let again = client.put(&path, &[WAIT], paid).await.expect("an answer");
    assert_refused(&again, 409, "paid");
    let file = form("file", "note.txt", "text/plain", b"hello");
    let attached = upload(&client, &order, &[WAIT], file).await;
    assert_eq!(status_of(&attached), 201, "{attached:?}");
    let files = attached.json()["attachments"].clone();
    assert_eq!(files[0]["name"], "note.txt");
    let file = attached.header("location").to_owned();
    assert!(file.ends_with(files[0]["id"].as_str().expect("an id")));
    let delete = async |path: &str| {
        let answer = client.send(Method::DELETE, path, &[WAIT], "").await;
        answer.expect("an answer")
    };
    let detached = delete(&file).await;
    assert_eq!(status_of(&detached), 200);
    assert_eq!(detached.json()["attachments"], Value::Null);
    let deleted = delete(&order).await;
    assert_eq!(status_of(&deleted), 200);
    assert_eq!(deleted.json()["status"], "cancelled");
    // A repeated request gets the first answer.
    let repeated = client.post_with("/order", &keyed, ledger::order("a")).await;
    let repeated = repeated.expect("an answer");
    assert_eq!(status_of(&repeated), 201);
    assert_eq!(repeated.body, placed.body);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_is_accepted_when_time_is_up_or_the_server_stops() {
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    world.process("orders-manager").kill();
    let client = world.client();
    let short = [("Prefer", "wait=1")];
    let accepted = client.post_with("/order", &short, ledger::order("a")).await;
    let accepted = accepted.expect("an answer");
    assert_eq!((accepted.status.as_u16(), accepted.body.len()), (202, 0));
    assert_eq!(accepted.header("preference-applied"), "wait=1");
    let waiting = tokio::spawn({
        let client = client.clone();
        let wait = [("Prefer", "wait=60")];
        async move { client.post_with("/order", &wait, ledger::order("b")).await }
    });
    // Once the command is in the log, the request waits for its outcome only.
    let is_stored = async || {
        let metrics = client.get("/metrics").await.expect("metrics");
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        text.contains("bakehouse_position{stage=\"stored\"} 2")
    };
    world::wait(TIMEOUT, "second event", is_stored)
        .await
        .expect("stored");
    assert!(!waiting.is_finished(), "answered before it is executed");
    let server = world.process("api-server");
    let (ended, _) = server.terminate(TIMEOUT).expect("it ends");
    assert_eq!(ended.code(), Some(0));
    let accepted = waiting.await.expect("it ends").expect("an answer");
    assert_eq!((accepted.status.as_u16(), accepted.body.len()), (202, 0));
    assert!(accepted.header("location").starts_with("/order/"));
}

/// Sends a health check and `request` in one packet, and reads the response of the health check.
async fn send_after_health_check(world: &World, request: &str) -> TcpStream {
    let host = world.base.trim_start_matches("http://");
    let mut socket = TcpStream::connect(host).await.expect("it listens");
    let health = format!("GET /health/live HTTP/1.1\r\nHost: {host}\r\n\r\n");
    let all = format!("{health}{request}");
    socket.write_all(all.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    while !answer.ends_with(b"{\"status\":\"live\"}") {
        let read = tokio::time::timeout(TIMEOUT, socket.read_buf(&mut answer)).await;
        assert!(read.expect("in time").expect("read") > 0, "closed");
    }
    socket
}

/// Returns status and text of the response before the connection is closed; `None` if there is
/// none.
async fn last_answer(mut socket: TcpStream) -> Option<(u16, String)> {
    let mut answer = Vec::new();
    let read = tokio::time::timeout(TIMEOUT, socket.read_to_end(&mut answer)).await;
    // A reset after the response is ignored.
    let _ = read.expect("in time");
    let text = String::from_utf8_lossy(&answer).to_lowercase();
    let status = text.strip_prefix("http/1.1 ")?.get(..3)?;
    Some((status.parse().expect("a status"), text))
}

async fn a_read_that_waits_is_answered_at_shutdown(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let placed = client
        .post_with("/order", &[WAIT], ledger::order("a"))
        .await;
    let order = placed.expect("an answer").header("location").to_owned();
    let unknown = format!("/order/{}", Uuid::now_v7());
    let waits = [
        (unknown.clone(), "", 404),
        (format!("{unknown}/history"), "", 404),
        (order, "If-None-Match: \"1\"\r\n", 304),
    ];
    let host = world.base.trim_start_matches("http://").to_owned();
    let mut sockets = Vec::new();
    for (path, headers, expected) in waits {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nPrefer: wait=60\r\n{headers}\r\n");
        sockets.push((
            send_after_health_check(&world, &request).await,
            expected,
            path,
        ));
    }
    let name = world.names()[0];
    let (ended, _) = world.process(name).terminate(TIMEOUT).expect("it ends");
    assert_eq!(ended.code(), Some(0));
    for (socket, expected, path) in sockets {
        let (status, head) = last_answer(socket).await.expect("an answer");
        assert_eq!(status, expected, "{path}: {head}");
    }
}

/// Returns the references of all orders, after everything accepted before has been executed.
async fn references(world: &World) -> Vec<String> {
    let client = world.client();
    let last = client
        .post_with("/order", &[WAIT], ledger::order("last"))
        .await;
    assert_eq!(last.expect("an answer").status, 201);
    let mut found = Vec::new();
    let mut next = Some("/order?limit=100".to_owned());
    while let Some(path) = next {
        let page = client.get(&path).await.expect("a page");
        for order in page.json().as_array().expect("orders") {
            found.push(order["reference"].as_str().expect("text").to_owned());
        }
        next = page.next_page();
    }
    found
}

/// Sends so many orders that some are accepted but not yet executed when the all-in-one process is
/// terminated, and checks that each of them is answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_writes_are_answered_at_shutdown() {
    let mut world = World::start(Kind::Embedded).await.expect("it starts");
    let host = world.base.trim_start_matches("http://").to_owned();
    let mut answers: BTreeMap<String, Option<u16>> = BTreeMap::new();
    for round in 0..MAX_ROUNDS {
        let mut sockets = Vec::new();
        for _ in 0..40 {
            sockets.push(send_after_health_check(&world, "").await);
        }
        for (number, socket) in sockets.iter_mut().enumerate() {
            let body = ledger::order(&format!("{round}-{number}"));
            let request = format!(
                "POST /order HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n\
                 Prefer: wait=60\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(request.as_bytes()).await.expect("sent");
        }
        let (ended, _) = world
            .process("bakehouse")
            .terminate(TIMEOUT)
            .expect("an end");
        assert_eq!(ended.code(), Some(0));
        for (number, socket) in sockets.into_iter().enumerate() {
            let status = last_answer(socket).await.map(|(status, _)| status);
            answers.insert(format!("{round}-{number}"), status);
        }
        world.begin().await.expect("it starts again");
        for reference in references(&world).await {
            let Some(answer) = answers.get(&reference) else {
                continue;
            };
            let is_answered = matches!(answer, Some(201 | 202));
            assert!(is_answered, "{reference} is there, answered {answer:?}");
        }
        if answers.values().any(|answer| *answer == Some(202)) {
            return;
        }
    }
    panic!("nothing was pending in any round: {answers:?}");
}
