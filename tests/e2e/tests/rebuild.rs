//! Online rebuilds under reads and writes: no byte changes, every request is answered, damage is
//! repaired, and a rebuild survives crashes or is abandoned.
//!
//! With `REBUILD_ORDERS=100000` the first test is the long run of `docs/torture.md`.

use std::os::unix::process::ExitStatusExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bakehouse_e2e::ledger::{Load, order};
use bakehouse_e2e::rebuilds::{PARTS, REBUILD_TIMEOUT, ask, ended};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Client, Feed, Kind, World, in_both_worlds, stores};
use bytes::Bytes;
use hyper::Method;
use nix::sys::signal::Signal::{SIGABRT, SIGCONT};
use serde_json::Value;

in_both_worlds!(
    a_rebuild_under_load_changes_no_byte,
    a_rebuild_repairs_damage,
    a_rebuild_that_cannot_succeed_is_abandoned,
    a_rebuild_survives_an_abort_at_every_failpoint,
);

/// Default number of orders placed before a rebuild.
const DEFAULT_ORDERS: u64 = 1_200;
/// Timeout for the start and the end of a process.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Number of orders per order that is changed after it was placed.
const ORDERS_PER_CHANGE: u64 = 20;

fn orders() -> u64 {
    let wanted = std::env::var("REBUILD_ORDERS").ok();
    wanted.map_or(DEFAULT_ORDERS, |wanted| {
        wanted.parse().expect("a number of orders")
    })
}

/// Returns every frame up to position `end`, byte for byte.
async fn frames(world: &World, end: u64) -> Vec<String> {
    let mut feed = world.feed("since=0").await.expect("a feed");
    let mut frames = Vec::new();
    while (frames.len() as u64) < end {
        let text = feed.text().await.expect("a frame");
        let frame: Value = serde_json::from_str(&text).expect("JSON");
        if frame["position"] == frames.len() as u64 + 1 && frame["operation_id"].is_string() {
            frames.push(text);
        }
    }
    frames
}

/// Returns the `count` oldest documents, oldest first, byte for byte.
async fn documents(client: &Client, count: u64) -> Vec<String> {
    let mut path = "/order?limit=100&sort=created_at".to_owned();
    let mut documents = Vec::new();
    loop {
        let page = client.get(&path).await.expect("a page");
        let all: Vec<Box<serde_json::value::RawValue>> =
            serde_json::from_slice(&page.body).expect("documents");
        documents.extend(all.iter().map(|document| document.get().to_owned()));
        if documents.len() as u64 >= count {
            documents.truncate(usize::try_from(count).expect("few enough"));
            return documents;
        }
        path = page.next_page().expect("another page");
    }
}

/// Places `count` orders and changes some of them; returns the last position of the log.
async fn place_and_change_orders(world: &World, count: u64) -> u64 {
    let load = Load::start(&world.base, 8, count);
    let placed = load.finish().await.accepted.len() as u64;
    assert_eq!(placed, count);
    let client = world.client();
    let is_baked = async || {
        let newest = client.get("/order?limit=1").await.expect("a page").json();
        newest[0]["number"] == count
    };
    let baked = wait(REBUILD_TIMEOUT, "all are baked", is_baked).await;
    baked.expect("they are");
    let page = client.get("/order?limit=100").await.expect("a page").json();
    let mut ids = page.as_array().expect("orders").iter();
    let changed = count / ORDERS_PER_CHANGE;
    for number in 0..changed {
        let id = ids.next().map(|one| one["id"].clone());
        let Some(id) = id else { return count + number };
        let id = id.as_str().expect("an id");
        let path = format!("/order/{id}/status");
        let paid = client.put(&path, &[], r#"{"status":"paid"}"#).await;
        let receipt = client.settled(&paid.expect("202")).await;
        assert_eq!(receipt.expect("a receipt")["status"], "baked");
    }
    count + changed
}

/// Result of a reader: longest response time, and unexpected responses.
#[derive(Debug, Default)]
struct ReadStats {
    longest: Duration,
    unexpected: Vec<String>,
}

/// Reads documents and lists repeatedly until stopped, counting requests in `count`.
async fn read(
    client: Client,
    documents: Vec<String>,
    stop: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
) -> ReadStats {
    let mut stats = ReadStats::default();
    let with_ids: Vec<(String, &String)> = documents
        .iter()
        .map(|text| {
            let document: Value = serde_json::from_str(text).expect("a document");
            (document["id"].as_str().expect("an id").to_owned(), text)
        })
        .collect();
    let mut turn = 0;
    while !stop.load(Ordering::Relaxed) {
        let (id, expected) = &with_ids[turn % with_ids.len()];
        turn += 37;
        for (path, body) in [
            (format!("/order/{id}"), Some(expected.as_bytes())),
            ("/order?limit=100&sort=created_at".to_owned(), None),
            ("/order?limit=100".to_owned(), None),
        ] {
            let began = Instant::now();
            let answer = client.get(&path).await;
            stats.longest = stats.longest.max(began.elapsed());
            count.fetch_add(1, Ordering::Relaxed);
            match answer {
                Ok(answer) if answer.status == 200 => {
                    let is_same =
                        body.is_none_or(|body| answer.body == Bytes::copy_from_slice(body));
                    let is_full = body.is_some()
                        || answer.json().as_array().map(Vec::len) == Some(100.min(documents.len()));
                    if !(is_same && is_full) {
                        stats.unexpected.push(format!("{path}: {answer:?}"));
                    }
                }
                other => stats.unexpected.push(format!("{path}: {other:?}")),
            }
        }
    }
    stats
}

/// Checks until stopped that every position after `since` arrives once and in order; returns the
/// last one.
async fn check_positions(mut feed: Feed, since: u64, stop: Arc<AtomicBool>) -> Result<u64, String> {
    let mut position = since;
    while !stop.load(Ordering::Relaxed) {
        let Ok(event) = tokio::time::timeout(Duration::from_millis(300), feed.event()).await else {
            continue;
        };
        let event = event.map_err(|error| format!("after {position}: {error:#}"))?;
        position += 1;
        if event["position"] != position {
            return Err(format!("expected {position}: {event}"));
        }
    }
    Ok(position)
}

async fn a_rebuild_under_load_changes_no_byte(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let count = orders();
    let end = place_and_change_orders(&world, count).await;
    let (old_frames, old_documents) = (frames(&world, end).await, documents(&client, count).await);

    let stop = Arc::new(AtomicBool::new(false));
    let feed = world.feed(&format!("since={end}")).await.expect("a feed");
    let subscriber = tokio::spawn(check_positions(feed, end, stop.clone()));
    let count_read = Arc::new(AtomicU64::new(0));
    let reading = read(
        world.client(),
        old_documents.clone(),
        stop.clone(),
        count_read.clone(),
    );
    let reading = tokio::spawn(reading);
    let load = Load::start(&world.base, 2, u64::MAX);
    for part in PARTS {
        let began = Instant::now();
        let before = count_read.load(Ordering::Relaxed);
        ask(&client, part).await;
        let rebuild = ended(&client, part).await;
        assert_eq!(
            (&rebuild["state"], &rebuild["round"]),
            (&"done".into(), &1.into())
        );
        let after = count_read.load(Ordering::Relaxed);
        assert!(after > before, "no reads during the rebuild");
        println!("{part} of {end} events rebuilt in {:?}", began.elapsed());
    }
    let more = load.stop().await;
    assert!(more.unknown.is_empty(), "not accepted: {:?}", more.unknown);
    assert!(more.accepted.len() > 20, "too little load");
    stop.store(true, Ordering::Relaxed);
    let stats = reading.await.expect("a reader");
    println!(
        "read {} times, waited {:?} at most",
        count_read.load(Ordering::Relaxed),
        stats.longest
    );
    let unexpected = &stats.unexpected;
    assert!(
        unexpected.is_empty(),
        "{} unexpected: {}",
        unexpected.len(),
        unexpected[0]
    );
    let followed = subscriber.await.expect("a subscriber").expect("no gap");
    assert!(followed > end, "no events during the rebuilds");

    assert!(frames(&world, end).await == old_frames, "frames differ");
    assert!(
        documents(&client, count).await == old_documents,
        "documents differ"
    );
    let (_, found) = world.doctor().expect("it runs");
    assert_eq!(found["faults"], 0, "{found}");
}

/// Runs the rebuilds from the command line.
async fn a_rebuild_repairs_damage(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let mut ids = Vec::new();
    for number in 0..8 {
        let placed = client
            .post(order(&format!("o-{number}")))
            .await
            .expect("202");
        let receipt = client.settled(&placed).await.expect("a receipt");
        ids.push(receipt["order_id"].as_str().expect("an id").to_owned());
    }
    let whole = documents(&client, 8).await;
    stores::forge_document(&world, kind, &ids[1]).await;
    stores::remove_frame(&world, kind, 5).await;
    let state = stores::replace_state(&world, kind, &ids[3], r#"{"nonsense":1}"#).await;
    let rebuild = |arguments: &[&str]| {
        let all = [&["rebuild"], arguments].concat();
        let output = world.operate(&all).expect("it runs");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let never = "source: never rebuilt\npresentation: never rebuilt\n";
    assert_eq!(rebuild(&[]), (Some(0), never.to_owned()));
    for part in PARTS {
        let done = format!("{part}: rebuild 1, done; position 8 of 8\n");
        assert_eq!(rebuild(&[part]), (Some(0), done));
    }
    assert!(documents(&client, 8).await == whole);
    assert_eq!(frames(&world, 8).await.len(), 8);
    let repaired = stores::replace_state(&world, kind, &ids[3], &state).await;
    let repaired: Value = serde_json::from_str(&repaired).expect("JSON");
    assert_eq!(
        repaired,
        serde_json::from_str::<Value>(&state).expect("JSON")
    );
    // The rebuilt orders can be changed.
    for id in &ids[1..4] {
        let path = format!("/order/{id}/status");
        let paid = client
            .put(&path, &[], r#"{"status":"paid"}"#)
            .await
            .expect("202");
        let receipt = client.settled(&paid).await.expect("a receipt");
        assert_eq!(receipt["status"], "baked", "{receipt}");
    }

    let unknown = client
        .post_to("/rebuilds/nonsense", "")
        .await
        .expect("an answer");
    assert_eq!(unknown.status, 404);
    assert!(
        unknown.json()["detail"]
            .as_str()
            .is_some_and(|it| it.contains("`presentation`"))
    );
    let (code, _) = rebuild(&["nonsense"]);
    assert_eq!(code, Some(2));
}

async fn a_rebuild_that_cannot_succeed_is_abandoned(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    place_and_change_orders(&world, 40).await;
    let before = documents(&client, 40).await;
    stores::remove_event(&world, kind, 7).await;
    for part in PARTS {
        ask(&client, part).await;
        let rebuild = ended(&client, part).await;
        assert_eq!(rebuild["state"], "given-up", "{rebuild}");
        let reason = rebuild["reason"].as_str().expect("a reason");
        assert!(reason.contains("expected position 7"), "{reason}");
    }
    let output = world.operate(&["rebuild", "source"]).expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let nothing = client
        .send(Method::DELETE, "/rebuilds/source", &[], "")
        .await;
    assert_eq!(nothing.expect("an answer").status, 204);
    // Reads and writes are not affected.
    assert!(documents(&client, 40).await == before);
    let placed = client.post(order("after")).await.expect("202");
    let receipt = client.settled(&placed).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked", "{receipt}");
}

/// Checks that a rebuild is cancelled by the API and by the command line while its stage is
/// stopped, and that the stage removes the shadow when it continues.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rebuild_in_progress_can_be_cancelled() {
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    let client = world.client();
    // More events than a few batches of a rebuild.
    const COUNT: u64 = 400;
    let end = place_and_change_orders(&world, COUNT).await;
    let before = documents(&client, COUNT).await;
    for (rebuild_id, is_by_api) in [(1, true), (2, false)] {
        world.process("data-baker").kill();
        let stop = (
            "TORTURE_STOP_AT".to_owned(),
            "rebuild.batch-written:1".to_owned(),
        );
        let baker = world.process("data-baker");
        baker.start_with(&[stop]).expect("it starts");
        world.ready(TIMEOUT).await.expect("ready");
        ask(&client, "presentation").await;
        let until = Instant::now() + TIMEOUT;
        while !world.process("data-baker").is_stopped() {
            assert!(Instant::now() < until, "it does not stop");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_ne!(
            stores::shadows(&world).await,
            [""; 0],
            "no shadow was created"
        );
        if is_by_api {
            let path = "/rebuilds/presentation";
            let cancelled = client.send(Method::DELETE, path, &[], "").await;
            assert_eq!(cancelled.expect("an answer").status, 204);
        } else {
            let arguments = ["rebuild", "presentation", "--cancel"];
            let output = world.operate(&arguments).expect("it runs");
            assert!(output.status.success(), "{output:?}");
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let expected = "presentation: rebuild 2, given-up: cancelled by an operator; ";
            assert!(text.starts_with(expected), "{text}");
        }
        // Longer than the stage's interval of polling for requests.
        tokio::time::sleep(Duration::from_secs(2)).await;
        world.process("data-baker").signal(SIGCONT);
        let is_gone = async || stores::shadows(&world).await.is_empty();
        let gone = wait(TIMEOUT, "removal of the shadow", is_gone).await;
        gone.expect("it is removed");
        let last = ended(&client, "presentation").await;
        assert_eq!(
            (&last["state"], &last["round"]),
            (&"given-up".into(), &rebuild_id.into())
        );
        assert_eq!(last["reason"], "cancelled by an operator");
    }
    assert!(documents(&client, COUNT).await == before);
    assert_eq!(frames(&world, end).await.len() as u64, end);
}

async fn a_rebuild_survives_an_abort_at_every_failpoint(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let count = orders();
    let end = place_and_change_orders(&world, count).await;
    let (old_frames, old_documents) = (frames(&world, end).await, documents(&client, count).await);
    let common = [
        "rebuild.batch-written:1",
        "rebuild.batch-written:3",
        "rebuild.swapped:1",
    ];
    let mongodb_only = ["mongodb.replacing:1", "mongodb.renamed:1"];
    let failpoints = match kind {
        Kind::Embedded => common.to_vec(),
        Kind::Servers => [&common[..], &mongodb_only].concat(),
    };
    for part in PARTS {
        let program = match (kind, part) {
            (Kind::Embedded, _) => "bakehouse",
            (Kind::Servers, "source") => "orders-manager",
            (Kind::Servers, _) => "data-baker",
        };
        for (rebuild_id, failpoint) in (1..).zip(&failpoints) {
            world.process(program).kill();
            let abort = ("TORTURE_ABORT_AT".to_owned(), (*failpoint).to_owned());
            world
                .process(program)
                .start_with(&[abort])
                .expect("it starts");
            world.ready(TIMEOUT).await.expect("ready");
            ask(&client, part).await;
            // The abort shows that the rebuild had reached the failpoint.
            let status = world.process(program).ended(TIMEOUT);
            let status = status.unwrap_or_else(|error| panic!("{part} at {failpoint}: {error}"));
            assert_eq!(
                status.signal(),
                Some(SIGABRT as i32),
                "{part} at {failpoint}"
            );
            world.process(program).start().expect("it starts again");
            world.ready(TIMEOUT).await.expect("ready");
            let last = ended(&client, part).await;
            let done = (&"done".into(), &rebuild_id.into());
            assert_eq!(
                (&last["state"], &last["round"]),
                done,
                "{part} at {failpoint}"
            );
        }
    }
    assert!(frames(&world, end).await == old_frames, "frames differ");
    assert!(
        documents(&client, count).await == old_documents,
        "documents differ"
    );
}
