//! Commands of operators: doctor, parked operations, and backup and restore of the embedded store.

use std::time::Duration;

use bakehouse_e2e::ledger::{Load, order};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Kind, World, in_both_worlds, stores};
use tempfile::TempDir;

const SOURCE_URI: &str = "BAKEHOUSE_MONGODB__SOURCE_URI";
const PRESENTATION_URI: &str = "BAKEHOUSE_MONGODB__PRESENTATION_URI";

const TIMEOUT: Duration = Duration::from_secs(30);

in_both_worlds!(
    doctor_finds_nothing_under_load,
    doctor_names_each_fault_and_its_position,
    parked_operations_can_be_listed_retried_and_discarded,
);

async fn doctor_finds_nothing_under_load(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    const MAX_ORDERS: u64 = 3_000;
    let load = Load::start(&world.base, 2, MAX_ORDERS);
    for round in 0..4 {
        let before = load.accepted();
        let is_more = async || load.accepted() >= MAX_ORDERS.min(before + 50);
        wait(TIMEOUT, "more orders", is_more).await.expect("load");
        let placed = client
            .post(order(&format!("own-{round}")))
            .await
            .expect("202");
        let receipt = client.settled(&placed).await.expect("a receipt");
        let id = receipt["order_id"].as_str().expect("an id");
        for status in ["paid", "delivered", "shipped"] {
            let path = format!("/order/{id}/status");
            let body = format!(r#"{{"status":"{status}"}}"#);
            let accepted = client.put(&path, &[], body).await.expect("202");
            client.settled(&accepted).await.expect("a receipt");
        }
        let (code, found) = world.doctor().expect("it runs");
        assert_eq!(code, Some(0), "{found}");
        assert!(found["frames"].as_u64() > Some(3), "{found}");
    }
    let ledger = load.stop().await;
    for name in world.names() {
        world.process(name).kill();
    }
    // All processes are down; unprocessed operations are not a fault.
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!(code, Some(0), "{found}");
    world.begin().await.expect("it starts again");
    let last = client.post(order("last")).await.expect("202");
    client.settled(&last).await.expect("a receipt");
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!(code, Some(0), "{found}");
    let placed = ledger.accepted.len() as u64;
    assert!(
        found["documents"].as_u64() > Some(placed),
        "{found} of {placed}"
    );
    assert_eq!(found["moving"], 0);
}

async fn doctor_names_each_fault_and_its_position(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let mut ids = Vec::new();
    for number in 1..=6 {
        let placed = client
            .post(order(&format!("o-{number}")))
            .await
            .expect("202");
        let receipt = client.settled(&placed).await.expect("a receipt");
        ids.push(receipt["order_id"].as_str().expect("an id").to_owned());
    }
    stores::forge_document(&world, kind, &ids[1]).await;
    stores::remove_frame(&world, kind, 5).await;
    let state = stores::replace_state(&world, kind, &ids[3], r#"{"nonsense":1}"#).await;
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!(code, Some(1));
    let findings = found["findings"].as_array().expect("findings");
    let has = |code: &str, what: &str, word: &str| {
        findings.iter().any(|one| {
            let text = one.to_string();
            one["code"] == code && text.contains(what) && text.contains(word)
        })
    };
    assert!(has("wrong-document", &ids[1], "body.reference"), "{found}");
    assert!(
        has("missing-frame", r#""position":5"#, "no frame"),
        "{found}"
    );
    assert!(has("wrong-state", &ids[3], "state.products"), "{found}");
    stores::replace_state(&world, kind, &ids[3], &state).await;
    assert_eq!(world.doctor().expect("it runs").1["faults"], 2);

    stores::remove_event(&world, kind, 3).await;
    let output = world.operate(&["doctor"]).expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("! log-gap at 3: position 3 is missing"),
        "{text}"
    );
    assert!(text.contains("FAILED: "), "{text}");
}

/// Checks that doctor reports a missing presentation and a missing log, and fails if the
/// presentation cannot be reached.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reports_a_missing_store() {
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    let client = world.client();
    let placed = client.post(order("one")).await.expect("202");
    client.settled(&placed).await.expect("a receipt");
    let at = world.setting(PRESENTATION_URI).to_owned();
    let other = at.replacen("-presentation", "-nothing", 1);
    world.set(PRESENTATION_URI, &other);
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!((code, &found["faults"]), (Some(1), &1.into()), "{found}");
    let text = found["findings"][0]["what"].as_str().expect("words");
    assert!(text.contains("the presentation is missing"), "{text}");
    world.set(PRESENTATION_URI, &at);
    let log = world.setting(SOURCE_URI).to_owned();
    world.set(SOURCE_URI, &log.replacen("-source", "-nothing", 1));
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!((code, &found["faults"]), (Some(1), &1.into()), "{found}");
    let text = found["findings"][0]["what"].as_str().expect("words");
    assert!(text.contains("the log is empty"), "{text}");
    world.set(SOURCE_URI, &log);
    world.set(
        PRESENTATION_URI,
        "mongodb://127.0.0.1:9/presentation?serverSelectionTimeoutMS=500",
    );
    let output = world.operate(&["doctor"]).expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!text.contains("ok: "), "{text}");
}

/// Checks that doctor finds an outdated state that is consistent in both stores but behind the log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn doctor_reports_a_stale_state() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    let placed = client.post(order("old")).await.expect("202");
    let receipt = client.settled(&placed).await.expect("a receipt");
    let id = receipt["order_id"].as_str().expect("an id");
    stores::keep(&world);
    // More events than doctor reads in one batch.
    Load::start(&world.base, 4, 600).finish().await;
    for status in ["paid", "shipped"] {
        let body = format!(r#"{{"status":"{status}"}}"#);
        let changed = client.put(&format!("/order/{id}/status"), &[], body).await;
        let receipt = client.settled(&changed.expect("202")).await;
        assert_eq!(receipt.expect("a receipt")["status"], "baked");
    }
    assert_eq!(world.doctor().expect("it runs").0, Some(0));
    stores::put_back(&world, id);
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!((code, &found["faults"]), (Some(1), &2.into()), "{found}");
    let findings = found["findings"].as_array().expect("findings");
    for finding in findings {
        let text = finding.to_string();
        assert!(text.contains(id) && text.contains("stale-state"), "{text}");
    }
}

/// Checks `parked list`, `parked retry` and `parked discard`.
async fn parked_operations_can_be_listed_retried_and_discarded(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let run_parked = |arguments: &[&str]| {
        let all = [&["parked"], arguments].concat();
        let output = world.operate(&all).expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.code(), text)
    };
    assert_eq!(
        run_parked(&[]),
        (Some(0), "no parked operations\n".to_owned())
    );
    let placed = client.post(order("spoiled")).await.expect("202");
    let receipt = client.settled(&placed).await.expect("a receipt");
    let id = receipt["order_id"].as_str().expect("an id");
    stores::replace_state(&world, kind, id, r#"{"nonsense":1}"#).await;
    let path = format!("/order/{id}/status");
    let paid = client
        .put(&path, &[], r#"{"status":"paid"}"#)
        .await
        .expect("202");
    let parked = client.settled(&paid).await.expect("a receipt");
    let operation = parked["operation_id"].as_str().expect("an id");
    let (code, listed) = run_parked(&["list"]);
    assert_eq!(code, Some(0));
    let mut lines = listed.lines();
    let header = lines.next().expect("a header");
    let header: Vec<&str> = header.split_whitespace().collect();
    let names = [
        "POSITION",
        "OPERATION",
        "ID",
        "OPERATION",
        "ENTITY",
        "REASON",
    ];
    assert_eq!(header, names, "{listed}");
    let line = lines.next().expect("a line");
    let columns: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(columns[..4], ["2", operation, "UPDATE", id], "{listed}");
    assert!(columns.len() > 4 && lines.next().is_none(), "{listed}");
    let (code, text) = run_parked(&["retry", operation]);
    assert_eq!(code, Some(1), "the state has not been repaired: {text}");
    assert!(text.starts_with("rejected: "), "{text}");
    let (code, text) = run_parked(&["discard", operation, "--reason", "unknown cause"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(text.starts_with("ok: executed at position 4"), "{text}");
    assert_eq!(run_parked(&[]).1, "no parked operations\n");
    let (code, text) = run_parked(&["discard", operation, "--reason", "again"]);
    assert_eq!(code, Some(1));
    assert!(
        text.contains("404") && text.contains("no parked operation"),
        "{text}"
    );
    let (code, text) = run_parked(&["--url", "http://127.0.0.1:9"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("no answer from http://127.0.0.1:9"), "{text}");
}

#[test]
fn doctor_refuses_a_service_without_both_stores() {
    let mut command = bakehouse_e2e::process::command("orders-manager");
    let output = command.arg("doctor").output().expect("it runs");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("run it with api-server"), "{text}");
}

#[test]
fn commands_without_a_store_fail_and_create_nothing() {
    let folder = TempDir::new().expect("a folder");
    for task in [
        &["doctor"][..],
        &["backup", "elsewhere"],
        &["restore", "nowhere"],
    ] {
        let mut command = bakehouse_e2e::process::command("bakehouse");
        command.args(task).current_dir(folder.path());
        let output = command.output().expect("it runs");
        assert_eq!(output.status.code(), Some(1), "{task:?}");
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            text.starts_with("bakehouse: ") && text.contains("bakehouse.db"),
            "{text}"
        );
    }
    let left = std::fs::read_dir(folder.path()).expect("a folder").count();
    assert_eq!(left, 0, "files were created");
}

/// Checks that a copy contains what was accepted before it and nothing later, and that the restored
/// store has a new epoch.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_taken_under_load_can_be_restored() {
    let mut world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    let load = Load::start(&world.base, 4, u64::MAX);
    tokio::time::sleep(Duration::from_millis(800)).await;
    let before = client.post(order("before")).await.expect("202");
    let id = before
        .header("location")
        .rsplit('/')
        .next()
        .expect("an id")
        .to_owned();
    let copy = TempDir::new().expect("a folder");
    let copy_at = copy.path().join("copy").display().to_string();
    let copied = world.operate(&["backup", &copy_at]).expect("it runs");
    assert!(copied.status.success(), "{copied:?}");
    let again = world.operate(&["backup", &copy_at]).expect("it runs");
    assert_eq!(again.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&again.stderr).contains("already exists"));
    let after = client.post(order("after")).await.expect("202");
    client.settled(&after).await.expect("a receipt");
    let welcome = world.feed("").await.expect("a feed").frame().await;
    let epoch = welcome.expect("a welcome")["epoch"].clone();
    load.stop().await;

    let overwriting = world.operate(&["restore", &copy_at]).expect("it runs");
    assert_eq!(overwriting.status.code(), Some(1), "the store exists");
    world.process("bakehouse").kill();
    let data = world.folder().join("data");
    // The WAL that a killed server has left would become part of the restored store.
    let store = data.join("bakehouse.db");
    let aside = world.folder().join("aside.db");
    std::fs::rename(&store, &aside).expect("moved");
    let refused = world.operate(&["restore", &copy_at]).expect("it runs");
    assert_eq!(refused.status.code(), Some(1));
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(text.contains("bakehouse.db-wal already exists"), "{text}");
    std::fs::rename(&aside, &store).expect("moved back");
    std::fs::rename(&data, world.folder().join("lost")).expect("moved");
    let restored = world.operate(&["restore", &copy_at]).expect("it runs");
    assert!(restored.status.success(), "{restored:?}");
    world.begin().await.expect("it starts");
    let path = format!("/order/{id}");
    let found = client.get_with(&path, &[("prefer", "wait=10")]);
    assert_eq!(
        found.await.expect("an answer").json()["reference"],
        "before"
    );
    let gone = client
        .get(after.header("location"))
        .await
        .expect("an answer");
    assert_eq!(gone.status, 404);
    let mut feed = world.feed("").await.expect("a feed");
    let now = feed.frame().await.expect("a welcome")["epoch"].clone();
    assert_ne!(now, epoch);
    let placed = client.post(order("and on")).await.expect("202");
    assert_eq!(
        client.settled(&placed).await.expect("one")["status"],
        "baked"
    );
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!(code, Some(0), "{found}");
}
