//! The feed: subscriptions that are cut and resumed at any time, on any api-server, without gaps or
//! repeats; authentication, changed subscriptions, server-sent events, and refusals.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bakehouse_e2e::{Client, Feed, Issuer, Kind, World, in_both_worlds, ledger};
use hyper::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

in_both_worlds!(
    reconnecting_clients_see_every_event_once,
    a_websocket_authenticates_with_its_first_frame,
    a_subscription_can_be_changed_but_not_rewound,
    server_sent_events_carry_the_same_frames,
);

const CLIENTS: usize = 100;
const CUTS: usize = 100;

// ---- random disconnects ----

/// Places and amends orders, and provokes a rejection of each, until it is stopped.
async fn keep_busy(client: Client, stop: Arc<AtomicBool>, seed: usize) {
    let mut number = 0;
    while !stop.load(Ordering::Relaxed) {
        number += 1;
        let customer = format!("c-{}", (seed + number) % 5);
        let body = json!({
            "products": [{ "name": "Tea", "price": "3.50" }], "customer": { "id": customer },
        });
        let placed = client.post(body.to_string()).await.expect("an answer");
        let order = placed.header("location").to_owned();
        let body = body.to_string();
        client.put(&order, &[], body).await.expect("an answer");
        // Rejected: the order has not been paid.
        let too_early = r#"{"status":"delivered"}"#;
        let path = format!("{order}/status");
        client.put(&path, &[], too_early).await.expect("an answer");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Subscriber that is disconnected again and again, and resumes from its last position.
struct Reader {
    filter: &'static str,
    since: u64,
    seen: Vec<u64>,
}

impl Reader {
    async fn open(&self, base: &str) -> Feed {
        let query = format!("since={}{}", self.since, self.filter);
        Feed::open(base, &query).await.expect("a subscription")
    }

    fn take(&mut self, frame: &Value) {
        // Server shutdown (4001) and slow consumer (4008) only ask for a reconnect.
        let is_transient =
            frame["type"] != "error" || frame["code"] == 4001 || frame["code"] == 4008;
        assert!(is_transient, "{frame}");
        let position = frame["position"].as_u64();
        if frame["type"]
            .as_str()
            .is_some_and(|kind| kind.starts_with("order."))
        {
            self.seen.push(position.expect("a position"));
        }
        // Frames without an event carry a position as well.
        self.since = position.unwrap_or(self.since).max(self.since);
    }

    /// Reads up to `frames` frames, then disconnects.
    async fn read_and_disconnect(&mut self, base: &str, frames: usize) {
        let mut feed = self.open(base).await;
        for _ in 0..frames {
            let next = tokio::time::timeout(Duration::from_millis(40), feed.frame()).await;
            let Ok(next) = next else {
                return;
            };
            self.take(&next.expect("a frame"));
        }
    }

    /// Reads until it is live at `head` or beyond.
    async fn catch_up(&mut self, base: &str, head: u64) {
        let mut feed = self.open(base).await;
        loop {
            let frame = feed.frame().await.expect("a frame");
            self.take(&frame);
            if frame["type"] == "live" && self.since >= head {
                return;
            }
        }
    }
}

/// Query of a filter, and the predicate that tells whether it passes an event by type and customer.
type Filter = (&'static str, fn(&str, &str) -> bool);

const FILTERS: [Filter; 4] = [
    ("", |_, _| true),
    ("&type=order.created", |kind, _| kind == "order.created"),
    ("&customer=c-3", |_, customer| customer == "c-3"),
    (
        "&type=order.rejected,order.updated&customer=c-1",
        |kind, customer| kind != "order.created" && customer == "c-1",
    ),
];

async fn reconnecting_clients_see_every_event_once(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let mut bases = vec![world.base.clone()];
    if kind == Kind::Servers {
        let second = world.start_second("api-server").expect("it starts");
        let is_there = async || Feed::open(&second, "").await.is_ok();
        let limit = Duration::from_secs(30);
        bakehouse_e2e::world::wait(limit, "second", is_there)
            .await
            .expect("ready");
        bases.push(second);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let busy: Vec<_> = (0..2)
        .map(|seed| tokio::spawn(keep_busy(world.client(), stop.clone(), seed)))
        .collect();
    let mut readers = JoinSet::new();
    for index in 0..CLIENTS {
        let bases = bases.clone();
        readers.spawn(async move {
            let (filter, _) = FILTERS[index % FILTERS.len()];
            let mut reader = Reader {
                filter,
                since: 0,
                seen: Vec::new(),
            };
            for cut in 0..CUTS {
                // Pseudo-random, so that readers keep step neither with each other nor with events.
                let random = (index * 7_919 + cut * 104_729) % 9_973;
                let base = &bases[random % bases.len()];
                reader.read_and_disconnect(base, random % 12).await;
            }
            (index, reader)
        });
    }
    let readers = readers.join_all().await;
    // On a slow machine the readers finish before there are enough events.
    let has_enough = async || {
        let mut feed = world.feed("").await.expect("a subscription");
        let welcome = feed.frame().await.expect("a welcome");
        welcome["head"].as_u64() > Some(100)
    };
    let limit = Duration::from_secs(60);
    bakehouse_e2e::world::wait(limit, "events", has_enough)
        .await
        .expect("they come");
    stop.store(true, Ordering::Relaxed);
    for task in busy {
        task.await.expect("it ends");
    }
    // Everything accepted before the fence has a lower position.
    let client = world.client();
    let fence = client.post(ledger::order("fence")).await;
    let fence = client.settled(&fence.expect("an answer")).await;
    assert_eq!(fence.expect("a receipt")["status"], "baked");
    let log = whole_log(&world).await;
    let head = log.len() as u64;
    for (index, mut reader) in readers {
        reader.catch_up(&bases[index % bases.len()], head).await;
        let (_, passes) = FILTERS[index % FILTERS.len()];
        let wanted = log
            .iter()
            .filter(|(_, kind, customer)| passes(kind, customer));
        let wanted: Vec<u64> = wanted.map(|(position, ..)| *position).collect();
        assert_eq!(reader.seen, wanted, "client {index}, {}", world.logs());
    }
}

/// Returns position, type and customer of every event.
async fn whole_log(world: &World) -> Vec<(u64, String, String)> {
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let head = feed.frame().await.expect("a welcome")["head"]
        .as_u64()
        .expect("a head");
    let mut customers = BTreeMap::new();
    let mut log = Vec::new();
    for event in feed.events_up_to(head).await.expect("events") {
        let order = event["order_id"].as_str().expect("an order").to_owned();
        let customer = event["order"]["customer"]["id"].as_str().map(str::to_owned);
        let customer = match customer {
            Some(customer) => customers.entry(order).or_insert(customer).clone(),
            None => customers.get(&order).expect("a known customer").clone(),
        };
        let kind = event["type"].as_str().expect("a kind").to_owned();
        log.push((
            event["position"].as_u64().expect("a position"),
            kind,
            customer,
        ));
    }
    log
}

// ---- authentication and subscriptions ----

async fn a_websocket_authenticates_with_its_first_frame(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let settings = issuer.settings(&issuer.file().display().to_string());
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let token = |who: &str, scope: &str| issuer.token(who, scope).expect("a token");
    let ada = token("ada", "orders:read orders:write");
    for who in ["ada", "bob", "ada"] {
        let bearer = format!("Bearer {}", token(who, "orders:write"));
        let headers = [
            ("Content-Type", "application/json"),
            ("Authorization", &*bearer),
        ];
        let placed = client
            .send(Method::POST, "/order", &headers, ledger::order(who))
            .await;
        assert_eq!(placed.expect("an answer").status, 202);
    }
    let subscribe =
        |token: &str| json!({ "type": "subscribe", "token": token, "since": 0 }).to_string();
    let mut feed = world.feed("").await.expect("a socket");
    feed.say(&subscribe(&ada)).await.expect("sent");
    assert_eq!(feed.frame().await.expect("a frame")["type"], "welcome");
    for _ in 0..2 {
        let event = feed.event().await.expect("an event");
        assert_eq!(event["order"]["reference"], "ada");
    }
    // A new token is accepted for the same principal only.
    let again = json!({ "type": "subscribe", "token": token("ada", "orders:read") });
    feed.say(&again.to_string()).await.expect("sent");
    let bob = json!({ "type": "subscribe", "token": token("bob", "orders:read") });
    feed.say(&bob.to_string()).await.expect("sent");
    assert_eq!(feed.end().await.0, 4403);
    for (frame, code) in [
        (subscribe("nonsense"), 4401),
        (json!({ "type": "subscribe", "since": 0 }).to_string(), 4401),
        (subscribe(&token("ada", "orders:write")), 4403),
    ] {
        let mut feed = world.feed("").await.expect("a socket");
        feed.say(&frame).await.expect("sent");
        assert_eq!(feed.end().await.0, code, "{frame}");
    }
    // A connection that sends no token is closed with a reason.
    let mut silent = world.feed("").await.expect("a socket");
    assert_eq!(silent.end().await.0, 4401);
    // A plain request cannot authenticate later.
    assert_eq!(
        client.get("/order-events").await.expect("an answer").status,
        401
    );
}

async fn a_subscription_can_be_changed_but_not_rewound(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    for reference in ["one", "two"] {
        let placed = client
            .post(ledger::order(reference))
            .await
            .expect("an answer");
        client.settled(&placed).await.expect("a receipt");
    }
    let mut feed = world
        .feed("since=0&type=order.deleted")
        .await
        .expect("a subscription");
    assert_eq!(feed.frame().await.expect("a frame")["type"], "welcome");
    let live = feed.frame().await.expect("a frame");
    assert_eq!(
        (&live["type"], &live["position"]),
        (&json!("live"), &json!(2))
    );
    let change = r#"{"type":"subscribe","types":["order.created"]}"#;
    feed.say(change).await.expect("sent");
    assert_eq!(feed.frame().await.expect("a frame")["type"], "welcome");
    assert_eq!(feed.frame().await.expect("a frame")["type"], "live");
    client
        .post(ledger::order("three"))
        .await
        .expect("an answer");
    assert_eq!(feed.event().await.expect("an event")["position"], 3);
    // Events before the subscription, or excluded by its filter, can still be requested.
    for query in ["", "since=0&type=order.deleted"] {
        let mut feed = world.feed(query).await.expect("a subscription");
        assert_eq!(feed.frame().await.expect("a frame")["type"], "welcome");
        assert_eq!(feed.frame().await.expect("a frame")["type"], "live");
        let from_the_beginning = r#"{"type":"subscribe","since":0}"#;
        feed.say(from_the_beginning).await.expect("sent");
        for position in 1..=3 {
            let event = feed.event().await.expect("an event");
            assert_eq!(event["position"], position, "{query}");
        }
        // Events that were delivered once cannot be requested again.
        let narrower = r#"{"type":"subscribe","types":["order.deleted"]}"#;
        feed.say(narrower).await.expect("sent");
        feed.say(from_the_beginning).await.expect("sent");
        assert_eq!(feed.end().await.0, 4400, "{query}");
    }
    for (frame, field) in [
        (r#"{"type":"subscribe","since":1}"#, "since"),
        (r#"{"type":"subscribe","types":["order.paid"]}"#, "types"),
        (r#"{"type":"subscribe","sinse":1}"#, "sinse"),
        (
            r#"{"type":"subscribe","epoch":"another","since":3}"#,
            "epoch",
        ),
    ] {
        let mut feed = world.feed("since=0").await.expect("a subscription");
        feed.events_up_to(3).await.expect("events");
        feed.say(frame).await.expect("sent");
        let (code, last) = feed.end().await;
        let message = last["message"].as_str().expect("a message");
        assert!(message.contains(field), "{frame}: {message}");
        assert_eq!(last.get("retry_after_ms").is_some(), code < 4400, "{last}");
    }
}

// ---- server-sent events ----

/// Reads `count` server-sent events; returns each with the position in its id.
fn events(base: &str, headers: &str, path: &str, count: usize) -> Vec<(Option<u64>, Value)> {
    let host = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("a connection");
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    let request = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).expect("sent");
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    loop {
        let blocks: Vec<&str> = text.split("\n\n").collect();
        let whole = &blocks[..blocks.len() - 1];
        let found: Vec<_> = whole.iter().filter_map(|block| event(block)).collect();
        if found.len() >= count {
            return found;
        }
        let size = stream.read(&mut buffer).expect("more events");
        assert!(size > 0, "the stream has ended: {text}");
        text += &String::from_utf8_lossy(&buffer[..size]).replace('\r', "");
    }
}

fn event(block: &str) -> Option<(Option<u64>, Value)> {
    let line = |name: &str| block.lines().find_map(|line| line.strip_prefix(name));
    let data = serde_json::from_str(line("data: ")?).ok()?;
    // An id is `<epoch>:<position>`.
    let id = line("id: ").and_then(|id| id.rsplit_once(':'));
    Some((id.and_then(|(_, position)| position.parse().ok()), data))
}

async fn server_sent_events_carry_the_same_frames(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    for reference in ["one", "two", "three"] {
        let placed = client
            .post(ledger::order(reference))
            .await
            .expect("an answer");
        client.settled(&placed).await.expect("a receipt");
    }
    let base = world.base.clone();
    let read = async |headers: &'static str, path: &'static str, count| {
        let base = base.clone();
        let reading = tokio::task::spawn_blocking(move || events(&base, headers, path, count));
        reading.await.expect("it reads")
    };
    let all = read("", "/order-events?since=0", 5).await;
    let ids: Vec<_> = all.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [None, Some(1), Some(2), Some(3), Some(3)]);
    assert_eq!(
        (&all[0].1["type"], &all[4].1["type"]),
        (&json!("welcome"), &json!("live"))
    );
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let same = feed.events_up_to(3).await.expect("events");
    let got: Vec<Value> = all[1..4].iter().map(|(_, frame)| frame.clone()).collect();
    assert_eq!(got, same);
    // `Last-Event-ID` takes precedence over `since`.
    let rest = read("Last-Event-ID: 2\r\n", "/order-events?since=0", 3).await;
    assert_eq!(
        (rest[1].0, &rest[1].1["order"]["reference"]),
        (Some(3), &json!("three"))
    );
    let accept = [("Accept", "text/event-stream")];
    for (path, header, status) in [
        ("/order-events?since=x", None, 400),
        ("/order-events?since=99", None, 410),
        ("/order-events", Some(("Last-Event-ID", "x")), 400),
    ] {
        let headers: Vec<_> = accept.into_iter().chain(header).collect();
        let answer = client.get_with(path, &headers).await.expect("an answer");
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    let plain = client.get("/order-events").await.expect("an answer");
    assert_eq!(
        (plain.status.as_u16(), plain.header("upgrade")),
        (426, "websocket")
    );
}
