//! Upper bounds on the cost of reads: waits, histories, refused changes, invalid tokens.

use std::fmt::Debug;
use std::ops::RangeBounds;
use std::time::{Duration, Instant};

use bakehouse_e2e::issuer::bearer;
use bakehouse_e2e::{Answer, Client, Issuer, Kind, World, in_both_worlds, ledger, world};
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use uuid::Uuid;

in_both_worlds!(
    waits_end_with_their_clients,
    waits_are_bounded_for_each_client_and_in_all,
    histories_come_in_pages,
    past_states_are_read_after_many_changes,
    refused_changes_are_limited,
    a_correlation_shows_only_the_callers_operations,
    invalid_tokens_are_counted_by_address,
    head_is_answered_wherever_get_is,
    encoded_bodies_are_refused,
);

const READ_AND_WRITE: &str = "orders:read orders:write";
const LIMIT: Duration = Duration::from_secs(20);

async fn start(kind: Kind, settings: &[(&str, &str)]) -> World {
    let settings: Vec<_> = settings
        .iter()
        .map(|(name, value)| (*name, (*value).to_owned()))
        .collect();
    World::start_with(kind, &settings).await.expect("it starts")
}

/// Places an order, waits until it is baked, and returns its path.
async fn place(client: &Client, reference: &str) -> String {
    let accepted = client.post(ledger::order(reference)).await;
    let accepted = accepted.expect("an answer");
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked");
    accepted.header("location").to_owned()
}

/// Sends a request on a new connection, without reading the answer.
async fn ask(world: &World, path: &str, headers: &str) -> TcpStream {
    let address = world.base.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{headers}\r\n");
    let sent = socket.write_all(request.as_bytes()).await;
    sent.expect("it is sent");
    socket
}

/// Reads the first line of an answer.
async fn status(socket: &mut TcpStream) -> String {
    let mut buffer = [0; 256];
    let read = tokio::time::timeout(LIMIT, socket.read(&mut buffer)).await;
    let count = read.expect("in time").expect("read");
    let text = String::from_utf8_lossy(&buffer[..count]).into_owned();
    text.lines().next().unwrap_or_default().to_owned()
}

/// Returns the number of open file descriptors of the HTTP server.
fn descriptors(world: &mut World) -> usize {
    let name = world.names()[0];
    let pid = world.process(name).pid().expect("it runs");
    let open = std::fs::read_dir(format!("/proc/{pid}/fd"));
    open.expect("descriptors").count()
}

/// Waits until the HTTP server has that many open descriptors, for much less than the 60 s that
/// clients wait.
async fn until_open(world: &mut World, expected: impl RangeBounds<usize> + Debug) {
    let until = Instant::now() + LIMIT;
    loop {
        let open = descriptors(world);
        if expected.contains(&open) {
            return;
        }
        let in_time = Instant::now() < until;
        assert!(in_time, "{open} are open, not {expected:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn waits_end_with_their_clients(kind: Kind) {
    const CLIENTS: usize = 60;
    let mut world = start(kind, &[]).await;
    let order = place(&world.client(), "w-1").await;
    let before = descriptors(&mut world);
    let newer = "Prefer: wait=60\r\nIf-None-Match: \"1\"\r\n";
    let mut waiting = Vec::new();
    for n in 0..CLIENTS {
        let missing = Uuid::now_v7();
        let (path, headers) = match n % 3 {
            0 => (order.clone(), newer),
            1 => (format!("/order/{missing}/history"), "Prefer: wait=60\r\n"),
            _ => (
                format!("/order/{missing}/attachments"),
                "Prefer: wait=60\r\n",
            ),
        };
        waiting.push(ask(&world, &path, headers).await);
    }
    // One descriptor a connection, and possibly some more to the stores.
    let expected = before + CLIENTS - 5..before + CLIENTS * 3 / 2;
    until_open(&mut world, expected.clone()).await;
    // All requests are still waiting.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let during = descriptors(&mut world);
    assert!(expected.contains(&during), "{before} → {during}");
    // A client that closes only its sending side still gets its answer.
    let mut half_closed = ask(&world, &order, newer).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    half_closed.shutdown().await.expect("closed");
    let start = Instant::now();
    assert_eq!(status(&mut half_closed).await, "HTTP/1.1 304 Not Modified");
    assert!(start.elapsed() < LIMIT);
    drop((waiting, half_closed));
    // Fewer than the connections of one of the three kinds.
    until_open(&mut world, ..=before + CLIENTS / 6).await;
}

async fn waits_are_bounded_for_each_client_and_in_all(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let mut settings = issuer.settings(&issuer.file().display().to_string());
    settings.push(("BAKEHOUSE_HTTP__MAX_WAITS", "3".to_owned()));
    settings.push(("BAKEHOUSE_HTTP__MAX_WAITS_PER_CLIENT", "2".to_owned()));
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let token = |name| bearer(&issuer.token(name, READ_AND_WRITE).expect("a token"));
    let (ada, bob) = (token("ada"), token("bob"));
    let path = format!("/order/{}", Uuid::now_v7());
    let wait = |token: &str| format!("Prefer: wait=60\r\nAuthorization: {token}\r\n");
    let refused = async |token: &str| {
        let headers = [("Authorization", token), ("Prefer", "wait=60")];
        let start = Instant::now();
        let answer = client.get_with(&path, &headers).await.expect("an answer");
        assert!(start.elapsed() < LIMIT, "at once");
        assert!(!answer.header("retry-after").is_empty());
        assert_eq!(answer.header("content-type"), "application/problem+json");
        answer.status.as_u16()
    };
    let first = ask(&world, &path, &wait(&ada)).await;
    let second = ask(&world, &path, &wait(&ada)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(refused(&ada).await, 429);
    let third = ask(&world, &path, &wait(&bob)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(refused(&bob).await, 503);
    // Requests without a wait are answered, and orders are accepted without waiting.
    let headers = [("Authorization", ada.as_str())];
    let answer = client.get_with(&path, &headers).await.expect("an answer");
    assert_eq!(answer.status, 404);
    let headers = [headers[0], ("Prefer", "wait=60")];
    let accepted = client
        .post_with("/order", &headers, ledger::order("w-2"))
        .await;
    let accepted = accepted.expect("an answer");
    assert_eq!(accepted.status, 202);
    assert_eq!(accepted.header("preference-applied"), "");
    drop((first, second, third));
    let is_free = async || {
        let headers = [("Authorization", ada.as_str()), ("Prefer", "wait=1")];
        let answer = client.get_with(&path, &headers).await;
        answer.is_ok_and(|answer| answer.status == 404)
    };
    let freed = world::wait(LIMIT, "free waits", is_free).await;
    freed.expect("in time");
}

/// Checks that disconnected clients leave no waits for operations behind, and that connected ones
/// are answered as soon as the operation is executed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_for_operations_end_with_their_clients() {
    let mut world = start(Kind::Servers, &[]).await;
    let client = world.client();
    world.process("events-writer").kill();
    let accepted = client.post(ledger::order("w-3")).await.expect("an answer");
    let path = accepted.header("operation-location").to_owned();
    let before = descriptors(&mut world);
    let mut waiting = Vec::new();
    for _ in 0..60 {
        waiting.push(ask(&world, &path, "Prefer: wait=60\r\n").await);
    }
    until_open(&mut world, before + 55..).await;
    let staying = tokio::spawn({
        let (client, path) = (client.clone(), path.clone());
        async move { client.get_with(&path, &[("Prefer", "wait=60")]).await }
    });
    drop(waiting);
    until_open(&mut world, ..=before + 10).await;
    world.process("events-writer").start().expect("it starts");
    let receipt = staying.await.expect("it ends").expect("an answer").json();
    assert_eq!(receipt["status"], "baked");
}

/// Sends invalid changes one after the other, and returns the answers.
async fn refuse(client: &Client, order: &str, count: usize) -> Vec<Answer> {
    let mut answers = Vec::new();
    for _ in 0..count {
        let body = json!({ "status": "delivered" }).to_string();
        let answer = client.put(&format!("{order}/status"), &[], body).await;
        let answer = answer.expect("an answer");
        if answer.status == 202 {
            let receipt = client.settled(&answer).await.expect("a receipt");
            assert_eq!(receipt["status"], "rejected");
        }
        answers.push(answer);
    }
    answers
}

/// Reads all pages of a list, starting at `first`.
async fn pages(client: &Client, first: &str) -> Vec<Vec<Value>> {
    let mut pages = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let answer = client.get(&path).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
        next = answer.next_page();
        pages.push(answer.json().as_array().expect("an array").clone());
    }
    pages
}

async fn histories_come_in_pages(kind: Kind) {
    let world = start(kind, &[]).await;
    let client = world.client();
    let order = place(&client, "h-1").await;
    refuse(&client, &order, 104).await;
    let history = format!("{order}/history");
    let all = pages(&client, &history).await;
    let sizes: Vec<_> = all.iter().map(Vec::len).collect();
    assert_eq!(sizes, [100, 5]);
    let all = all.concat();
    assert!(all.iter().map(|line| line["position"].as_u64()).is_sorted());
    let by_seven = pages(&client, &format!("{history}?limit=7")).await;
    assert_eq!(by_seven.len(), 15);
    assert_eq!(by_seven.concat(), all);
    let last = all[104]["position"].as_u64().expect("a position");
    let beyond = pages(&client, &format!("{history}?after={last}")).await;
    assert_eq!(beyond, [Vec::<Value>::new()]);
    for wrong in ["limit=0", "limit=101", "after=x", "cursor=1"] {
        let answer = client.get(&format!("{history}?{wrong}")).await;
        assert_eq!(answer.expect("an answer").status, 400, "{wrong}");
    }
}

async fn past_states_are_read_after_many_changes(kind: Kind) {
    const CHANGES: u64 = 130;
    let world = start(kind, &[]).await;
    let client = world.client();
    let order = place(&client, "a-0").await;
    let mut last = None;
    for n in 1..=CHANGES {
        let answer = client
            .put(&order, &[], ledger::order(&format!("a-{n}")))
            .await;
        last = Some(answer.expect("an answer"));
    }
    let last = last.expect("changes");
    client.settled(&last).await.expect("a receipt");
    refuse(&client, &order, 3).await;
    let history = pages(&client, &format!("{order}/history")).await.concat();
    let at = |n: u64| &history[usize::try_from(n).expect("an index")];
    for n in [0, 1, 31, 32, 33, 64, 98, 99, 100, 101, 129, CHANGES] {
        let then = at(n)["position"].as_u64().expect("a position");
        let answer = client.get(&format!("{order}?as_of={then}")).await;
        let document = answer.expect("an answer").json();
        assert_eq!(document["reference"], format!("a-{n}"), "as of {then}");
        assert_eq!(document["version"], n + 1);
        assert_eq!(document["position"], then);
    }
    // A time includes all entries that were stored in the same millisecond.
    let time = at(50)["stored_at"].as_str().expect("a time").to_owned();
    let same = history
        .iter()
        .rposition(|line| line["stored_at"] == time.as_str());
    let answer = client.get(&format!("{order}?as_of={time}")).await;
    let document = answer.expect("an answer").json();
    assert_eq!(
        document["reference"],
        format!("a-{}", same.expect("a line"))
    );
    let answer = client
        .get(&format!("{order}?as_of=2000-01-01T00:00:00Z"))
        .await;
    assert_eq!(answer.expect("an answer").status, 404);
}

async fn refused_changes_are_limited(kind: Kind) {
    let world = start(kind, &[("BAKEHOUSE_HTTP__MAX_REFUSED_CHANGES", "5")]).await;
    let client = world.client();
    let (order, other) = (place(&client, "r-1").await, place(&client, "r-2").await);
    // Executed changes do not count.
    for n in 0..8 {
        let body = ledger::order(&format!("r-1-{n}"));
        let answer = client.put(&order, &[], body).await.expect("an answer");
        let receipt = client.settled(&answer).await.expect("a receipt");
        assert_eq!(receipt["status"], "baked");
    }
    let answers = refuse(&client, &order, 12).await;
    let refused = answers.iter().find(|answer| answer.status == 429);
    let refused = refused.expect("a change over the limit");
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=60).contains(&wait), "{wait}");
    assert_eq!(refused.header("content-type"), "application/problem+json");
    let accepted = answers.iter().filter(|answer| answer.status == 202);
    assert!((5..12).contains(&accepted.count()));
    let answers = refuse(&client, &other, 1).await;
    assert_eq!(answers[0].status, 202, "each order has its own limit");
    let answer = client.get(&order).await.expect("an answer");
    assert_eq!(answer.status, 200);
}

async fn a_correlation_shows_only_the_callers_operations(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let settings = issuer.settings(&issuer.file().display().to_string());
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let token = |name, scope| bearer(&issuer.token(name, scope).expect("a token"));
    let (ada, bob) = (token("ada", READ_AND_WRITE), token("bob", READ_AND_WRITE));
    let operator = token("eve", "orders:admin");
    for (token, count) in [(&ada, 25), (&bob, 2)] {
        for n in 0..count {
            let authorization = ("Authorization", token.as_str());
            let headers = [authorization, ("X-Correlation-ID", "theirs")];
            let body = ledger::order(&format!("c-{n}"));
            let answer = client.post_with("/order", &headers, body).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 202);
            let operation = answer.header("operation-location");
            let headers = [authorization, ("Prefer", "wait=20")];
            let receipt = client.get_with(operation, &headers).await;
            assert_eq!(receipt.expect("an answer").json()["status"], "baked");
        }
    }
    let seen = async |token: &str| {
        let headers = [("Authorization", token)];
        let mut count = 0;
        let mut next = Some("/correlation/theirs?limit=10".to_owned());
        while let Some(path) = next {
            let answer = client.get_with(&path, &headers).await.expect("an answer");
            assert_eq!(answer.status, 200);
            count += answer.json().as_array().expect("an array").len();
            next = answer.next_page();
        }
        count
    };
    assert_eq!(seen(&ada).await, 25);
    assert_eq!(seen(&bob).await, 2);
    assert_eq!(seen(&operator).await, 27);
    assert_eq!(seen(&token("carl", READ_AND_WRITE)).await, 0);
}

async fn invalid_tokens_are_counted_by_address(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let settings = issuer.settings(&issuer.file().display().to_string());
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let other_issuer = Issuer::new().expect("another issuer");
    let bad = bearer(&other_issuer.token("ada", READ_AND_WRITE).expect("a token"));
    let good = bearer(&issuer.token("ada", READ_AND_WRITE).expect("a token"));
    let read = async |token: &str| {
        let answer = client.get_with("/order", &[("Authorization", token)]).await;
        answer.expect("an answer")
    };
    let start = Instant::now();
    let mut verified = 0;
    let refused = loop {
        let answer = read(&bad).await;
        if answer.status == 429 {
            break answer;
        }
        assert_eq!(answer.status, 401);
        verified += 1;
        assert!(verified < 2_000, "invalid tokens are not limited");
    };
    // The limit is a burst of a hundred, and ten a second.
    let seconds = start.elapsed().as_secs();
    assert!(
        verified <= 100 + 10 * (seconds + 1),
        "{verified} in {seconds} s"
    );
    assert!(!refused.header("retry-after").is_empty());
    // Other addresses and requests without a token are not affected.
    let address = world.base.trim_start_matches("http://").parse();
    let socket = TcpSocket::new_v4().expect("a socket");
    socket
        .bind("127.0.0.2:0".parse().expect("an address"))
        .expect("bound");
    let connected = socket.connect(address.expect("an address")).await;
    let mut other = connected.expect("it listens");
    let request =
        format!("GET /order HTTP/1.1\r\nHost: localhost\r\nAuthorization: {good}\r\n\r\n");
    other.write_all(request.as_bytes()).await.expect("sent");
    assert_eq!(status(&mut other).await, "HTTP/1.1 200 OK");
    let live = client.get("/health/live").await.expect("an answer");
    assert_eq!(live.status, 200);
    let is_accepted = async || read(&good).await.status == 200;
    let accepted = world::wait(LIMIT, "end of the limit", is_accepted).await;
    accepted.expect("in time");
}

async fn head_is_answered_wherever_get_is(kind: Kind) {
    let world = start(kind, &[]).await;
    let client = world.client();
    let order = place(&client, "g-1").await;
    let operation = client
        .get(&format!("{order}/history"))
        .await
        .expect("an answer");
    let operation = operation.json()[0]["operation_id"]
        .as_str()
        .map(str::to_owned);
    let operation = operation.expect("an id");
    let paths = [
        "/".to_owned(),
        "/page/app.js".to_owned(),
        "/docs".to_owned(),
        "/docs/".to_owned(),
        "/docs/swagger-ui.css".to_owned(),
        "/openapi.json".to_owned(),
        "/asyncapi.json".to_owned(),
        "/health/live".to_owned(),
        "/health/ready".to_owned(),
        "/metrics".to_owned(),
        "/order".to_owned(),
        "/order-events".to_owned(),
        "/parked".to_owned(),
        "/read-models".to_owned(),
        "/rebuilds".to_owned(),
        "/nothing".to_owned(),
        format!("/operation/{operation}"),
        format!("/correlation/{operation}"),
        order.clone(),
        format!("{order}/history"),
        format!("{order}/notifications"),
        format!("{order}/attachments"),
    ];
    for path in paths {
        let get = client.get(&path).await.expect("an answer");
        let head = client.send(Method::HEAD, &path, &[], "").await;
        let head = head.expect("an answer");
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty(), "{path}");
        for name in ["content-type", "etag", "location"] {
            assert_eq!(head.header(name), get.header(name), "{path}: {name}");
        }
        if path != "/metrics" {
            let length = "content-length";
            assert_eq!(head.header(length), get.header(length), "{path}");
        }
    }
    // The response to GET would be endless.
    let stream = [("Accept", "text/event-stream")];
    let head = client.send(Method::HEAD, "/order-events", &stream, "");
    let head = tokio::time::timeout(LIMIT, head).await.expect("it ends");
    let head = head.expect("an answer");
    assert_eq!(head.status, 200);
    assert!(head.header("content-type").starts_with("text/event-stream"));
}

async fn encoded_bodies_are_refused(kind: Kind) {
    let world = start(kind, &[]).await;
    let client = world.client();
    let order = place(&client, "e-1").await;
    let calls = [
        (Method::POST, "/order".to_owned()),
        (Method::PUT, order.clone()),
        (Method::PUT, format!("{order}/status")),
        (Method::POST, format!("{order}/attachments")),
        (Method::POST, format!("/parked/{}/discard", Uuid::now_v7())),
    ];
    for (method, path) in calls {
        for coding in ["gzip", "br", "identity, gzip", "x-made-up"] {
            let headers = [
                ("Content-Type", "application/json"),
                ("Content-Encoding", coding),
            ];
            let answer = client.send(method.clone(), &path, &headers, "{}").await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 415, "{method} {path} {coding}");
            assert_eq!(answer.header("accept-encoding"), "identity");
            assert_eq!(answer.header("content-type"), "application/problem+json");
        }
    }
    let headers = [("Content-Encoding", "identity")];
    let accepted = client
        .post_with("/order", &headers, ledger::order("e-2"))
        .await;
    assert_eq!(accepted.expect("an answer").status, 202);
    let headers = [("Content-Encoding", "gzip")];
    let read = client.get_with("/order", &headers).await;
    assert_eq!(read.expect("an answer").status, 200, "it has no body");
}
