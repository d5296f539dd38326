//! Losses of power: the store, attached files and backups are on disk when they are said to be;
//! and a missing sync of a file or its name shows. That of the store itself is planted by
//! `--teeth`: what it leaves may not even open, and each wait for it runs out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bakehouse_dev_servers::power_loss::{Recorder, nothing_unsynced};
use bakehouse_e2e::attachments::{files, form, place, upload};
use bakehouse_e2e::process::command;
use bakehouse_e2e::{Kind, World};
use bakehouse_torture::report::Report;
use bakehouse_torture::run::{Order, run};
use serde_json::Value;
use tempfile::TempDir;

/// Seed of the runs with and without a bug.
const SEED: u64 = 3;

async fn lose_power(bug: Option<&str>) -> Report {
    let order = Order {
        kind: Kind::Embedded,
        seed: SEED,
        time: Duration::from_secs(6),
        rest: 15,
        bug: bug.map(str::to_owned),
        only: Some("power lost".to_owned()),
        enough: &[],
        is_released: false,
        is_loud: false,
    };
    run(&order).await.expect("a scene")
}

async fn shows(bug: &str, kind: &str) {
    let report = lose_power(Some(bug)).await;
    let counts = &report.findings.counts;
    assert!(counts.contains_key(kind), "{}", report.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_power_loss_breaks_no_promise() {
    let report = lose_power(None).await;
    assert!(report.is_clean(), "{}", report.text());
    assert!(report.faults["power lost"] >= 2, "{}", report.text());
    assert!(report.power.syncs > 20, "{}", report.text());
    assert!(report.accepted > 20, "{}", report.text());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_not_synced_shows() {
    shows("unsynced-files", "lost file").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_is_not_synced_shows() {
    shows("unsynced-folders", "lost file").await;
}

/// Runs a command to its good end, and cuts the power.
fn survive(root: &Path, mut operate: Command) {
    let recorder = Recorder::begin(root).expect("it records");
    let output = operate.envs(recorder.environment()).output();
    let output = output.expect("it runs");
    assert!(output.status.success(), "{output:?}");
    let loss = recorder.cut(&mut nothing_unsynced, None);
    let loss = loss.expect("what is on disk");
    assert!(loss.syncs > 0, "{loss:?}");
    assert!(loss.unrecorded.is_empty(), "{loss:?}");
}

fn operate(data: &Path, arguments: &[&str]) -> Command {
    let mut operate = command("bakehouse");
    operate.env("BAKEHOUSE_DATA_DIR", data).args(arguments);
    operate
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_and_what_is_restored_of_it_survive() {
    let mut world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    for (name, content) in [("one.txt", "one"), ("two.txt", "two")] {
        let form = form("file", name, "text/plain", content.as_bytes());
        let accepted = upload(&client, &order, &[], form).await;
        client.settled(&accepted).await.expect("a receipt");
    }
    let expected: Value = files(&client, &order).await;
    let folder = TempDir::new().expect("a folder");
    let (copies, stores) = (folder.path().join("copies"), folder.path().join("stores"));
    for made in [&copies, &stores] {
        std::fs::create_dir(made).expect("a folder");
    }
    let data = PathBuf::from(world.setting("BAKEHOUSE_DATA_DIR"));
    // While the store is at work.
    let copy = copies.join("of/monday");
    survive(&copies, operate(&data, &["backup", text(&copy)]));
    world.stop_all().expect("it ends");
    let again = stores.join("made/again");
    survive(&stores, operate(&again, &["restore", text(&copy)]));

    let doctor = operate(&again, &["doctor", "--json"]).output();
    let doctor = doctor.expect("it runs");
    assert!(doctor.status.success(), "{doctor:?}");
    let settings = [("BAKEHOUSE_DATA_DIR", again.display().to_string())];
    let world = World::start_with(Kind::Embedded, &settings).await;
    let world = world.expect("it starts");
    let client = world.client();
    assert_eq!(files(&client, &order).await, expected);
    for (index, content) in ["one", "two"].into_iter().enumerate() {
        let id = expected[index]["id"].as_str().expect("an identity");
        let path = format!("{order}/attachments/{id}");
        let file = client.get(&path).await.expect("an answer");
        assert_eq!(file.body, content, "{file:?}");
    }
}
