//! Power losses: the store, attached files and backups survive them, and a missing sync of a file
//! or of its name is detected. A missing sync of the store itself is only planted by
//! `--mutation-check`: such a store may not even open, so every wait times out.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bakehouse_dev_servers::power_loss::{Recorder, nothing_unsynced};
use bakehouse_e2e::attachments::{files, form, place, upload};
use bakehouse_e2e::process::command;
use bakehouse_e2e::{Kind, World};
use bakehouse_torture::report::Report;
use bakehouse_torture::run::{RunOptions, run};
use serde_json::Value;
use tempfile::TempDir;

/// Seed of the runs with and without a bug.
const SEED: u64 = 3;

async fn lose_power(bug: Option<&str>) -> Report {
    let options = RunOptions {
        kind: Kind::Embedded,
        seed: SEED,
        duration: Duration::from_secs(6),
        pause_ms: 15,
        bug: bug.map(str::to_owned),
        only: Some("power lost".to_owned()),
        stop_at: &[],
        is_released: false,
        is_loud: false,
    };
    run(&options).await.expect("the system starts")
}

async fn expect_finding(bug: &str, kind: &str) {
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
async fn a_missing_sync_of_a_file_is_found() {
    expect_finding("unsynced-files", "lost file").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_sync_of_a_name_is_found() {
    expect_finding("unsynced-folders", "lost file").await;
}

/// Runs a command until it succeeds, then simulates a power loss.
fn run_before_power_loss(root: &Path, mut command: Command) {
    let recorder = Recorder::begin(root).expect("the recorder starts");
    let output = command.envs(recorder.environment()).output();
    let output = output.expect("the command runs");
    assert!(output.status.success(), "{output:?}");
    let loss = recorder.cut(&mut nothing_unsynced, None);
    let loss = loss.expect("the content of the disk");
    assert!(loss.syncs > 0, "{loss:?}");
    assert!(loss.unrecorded.is_empty(), "{loss:?}");
}

fn bakehouse(data: &Path, arguments: &[&str]) -> Command {
    let mut bakehouse = command("bakehouse");
    bakehouse.env("BAKEHOUSE_DATA_DIR", data).args(arguments);
    bakehouse
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_and_its_restored_copy_survive_a_power_loss() {
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
    for folder in [&copies, &stores] {
        std::fs::create_dir(folder).expect("a folder");
    }
    let data = PathBuf::from(world.setting("BAKEHOUSE_DATA_DIR"));
    // The backup is taken while the store is in use.
    let copy = copies.join("of/monday");
    run_before_power_loss(&copies, bakehouse(&data, &["backup", text(&copy)]));
    world.stop_all().expect("it ends");
    let restored = stores.join("of/monday");
    run_before_power_loss(&stores, bakehouse(&restored, &["restore", text(&copy)]));

    let doctor = bakehouse(&restored, &["doctor", "--json"]).output();
    let doctor = doctor.expect("the command runs");
    assert!(doctor.status.success(), "{doctor:?}");
    let settings = [("BAKEHOUSE_DATA_DIR", restored.display().to_string())];
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
