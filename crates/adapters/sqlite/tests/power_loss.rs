//! Power losses: an acknowledged operation or backup is on disk.

use std::path::{Path, PathBuf};

use bakehouse_dev_servers::power_loss::{
    Loss, by_seed, is_recorded, kept, nothing_unsynced, rerun, wait_for_the_end,
};
use bakehouse_sqlite::{Pending, SqliteStore, back_up, restore};
use bakehouse_testkit::counter::Command;
use bakehouse_testkit::operations;
use tempfile::TempDir;

/// Number of operations that are accepted before the power loss.
const COUNT: usize = 60;

/// Returns the folder of the recorded process.
fn root() -> PathBuf {
    std::env::var("POWER_LOSS_ROOT").expect("a folder").into()
}

/// Schedules `count` operations and appends as many others to the log.
async fn accept(root: &Path, count: usize) {
    let store = SqliteStore::open(root, &[]).expect("it opens");
    let (scheduler, log) = (store.scheduler(), store.log());
    for number in 0..count {
        let operation = operations::operation(&format!("e-{number}"), &Command::Add(1));
        scheduler.schedule(&operation).await.expect("accepted");
        kept(&operation.operation_id.to_string());
        let other = operations::operation(&format!("f-{number}"), &Command::Add(1));
        let logged = [other];
        log.append(&logged).await.expect("appended");
        kept(&logged[0].operation_id.to_string());
    }
}

/// Returns the ids of all operations that survived, scheduled or in the log.
async fn left(root: &Path) -> Vec<String> {
    let store = SqliteStore::open(root, &[]).expect("it opens");
    let events = store.log().read(0, 10 * COUNT).await.expect("read");
    let mut all: Vec<String> = events
        .iter()
        .map(|event| event.operation.operation_id.to_string())
        .collect();
    let waiting = store.consumer().receive_now(10 * COUNT).await;
    let waiting = waiting.expect("received").operations;
    all.extend(waiting.iter().map(|one| one.operation_id.to_string()));
    all
}

fn expect_whole(loss: &Loss) {
    assert!(loss.unrecorded.is_empty(), "{loss:?}");
    // SQLite rebuilds the index of the write-ahead log.
    let is_index = |file: &String| file.ends_with("bakehouse.db-shm");
    assert!(loss.mapped.iter().all(is_index), "{loss:?}");
    assert!(loss.syncs > 0, "{loss:?}");
}

#[tokio::test]
async fn what_was_accepted_survives_a_power_loss() {
    if is_recorded() {
        accept(&root(), COUNT).await;
        return wait_for_the_end();
    }
    let test = "what_was_accepted_survives_a_power_loss";
    let folder = TempDir::new().expect("a folder");
    for seed in 0..4 {
        let data = folder.path().join(seed.to_string());
        std::fs::create_dir(&data).expect("a folder");
        let mut random = by_seed(seed);
        let mut strict = nothing_unsynced;
        let choose: &mut dyn FnMut(usize) -> usize = match seed {
            0 => &mut strict,
            _ => &mut random,
        };
        let (accepted, loss) = rerun(test, &data, 2 * COUNT - 7, choose).expect("it runs");
        expect_whole(&loss);
        let left = left(&data).await;
        for id in accepted {
            assert!(
                left.contains(&id),
                "{id} was accepted but is lost: {loss:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_copy_survives_a_power_loss() {
    if is_recorded() {
        let root = root();
        let copy = back_up(&root.join("data"), &root.join("of/monday"));
        copy.expect("a copy").keep().expect("kept");
        kept("copy");
        let again = root.join("made/again");
        restore(&root.join("of/monday"), &again, Pending::Withhold).expect("restored");
        kept("store");
        return wait_for_the_end();
    }
    let test = "a_copy_survives_a_power_loss";
    let folder = TempDir::new().expect("a folder");
    accept(&folder.path().join("data"), 5).await;
    let rerun = rerun(test, folder.path(), 2, &mut nothing_unsynced);
    let (_, loss) = rerun.expect("it runs");
    assert!(loss.unrecorded.is_empty(), "{loss:?}");
    let expected = left(&folder.path().join("data")).await;
    assert_eq!(expected.len(), 10, "{loss:?}");
    for made in ["of/monday", "made/again"] {
        assert_eq!(left(&folder.path().join(made)).await, expected, "{made}");
    }
}
