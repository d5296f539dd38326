//! Findings of doctor about attached files, queued operations, and a damaged file of the embedded
//! store.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Kind, World, in_both_worlds, stores};
use hyper::Method;
use serde_json::{Value, json};

use crate::doctor::{assert_values, find, findings, world_of};

in_both_worlds!(
    attached_files_are_compared_by_size_and_checksum,
    queued_operations_are_counted,
);

/// Returns all attached files of orders, sorted by path.
fn files(world: &World) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![world.folder().join("data/attachments/orders")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            match path.is_dir() {
                true => folders.push(path),
                false => found.push(path),
            }
        }
    }
    found.sort();
    found
}

async fn attached_files_are_compared_by_size_and_checksum(kind: Kind) {
    let (world, ids) = world_of(kind, 3).await;
    let client = world.client();
    for id in &ids {
        let body = "--limit\r\nContent-Disposition: form-data; name=\"file\"; \
                    filename=\"Ada.txt\"\r\nContent-Type: text/plain\r\n\r\nhello\r\n--limit--\r\n";
        let form = [("Content-Type", "multipart/form-data; boundary=limit")];
        let path = format!("/order/{id}/attachments");
        let sent = client.send(Method::POST, &path, &form, body.as_bytes().to_vec());
        let receipt = client.settled(&sent.await.expect("an answer")).await;
        assert_eq!(receipt.expect("a receipt")["status"], "baked");
    }
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!(
        (code, &found["attachments"]),
        (Some(0), &json!(3)),
        "{found}"
    );
    let all = files(&world);
    assert_eq!(all.len(), 3);
    fs::remove_file(&all[0]).expect("removed");
    fs::write(&all[1], "jello").expect("written");
    fs::write(&all[2], "hell").expect("written");
    let found = findings(&world);
    find(&found, "missing-attachment", "", "");
    let sum = find(&found, "wrong-attachment", "", "attachment.sha256");
    assert_eq!(sum["expected"].as_str().map(str::len), Some(64));
    let size = find(&found, "wrong-attachment", "", "attachment.size");
    assert_values(size, json!(5), json!(4));
    assert_eq!(found.len(), 3, "{found:#?}");
    let quick = world
        .operate(&["doctor", "--json", "--quick"])
        .expect("it runs");
    let quick: Value = serde_json::from_slice(&quick.stdout).expect("JSON");
    assert_eq!(quick["faults"], 2, "checksums are left out: {quick}");
    assert!(
        quick["not_checked"]
            .to_string()
            .contains("bytes of attached files")
    );
    for file in &all {
        fs::write(file, "hello").expect("put back");
    }
    assert_eq!(findings(&world), [Value::Null; 0]);
}

async fn queued_operations_are_counted(kind: Kind) {
    let (mut world, _) = world_of(kind, 1).await;
    match kind {
        Kind::Embedded => {
            world
                .process("bakehouse")
                .terminate(Duration::from_secs(20))
                .expect("it ends");
            let database = stores::embedded(&world);
            let insert = "INSERT INTO schedule (operation) VALUES ('no operation')";
            database.execute(insert, []).expect("written");
            let (code, found) = world.doctor().expect("it runs");
            assert_eq!((code, &found["waiting"]), (Some(0), &json!(1)), "{found}");
            database
                .execute("DELETE FROM schedule", [])
                .expect("deleted");
            let all = findings(&world);
            let lost = find(&all, "lost-operation", "", "schedule");
            assert!(lost["fix"].as_str().expect("a text").contains("send again"));
        }
        Kind::Servers => {
            world.process("events-writer").kill();
            let client = world.client();
            for _ in 0..2 {
                let accepted = client.post(bakehouse_e2e::ledger::order("waits")).await;
                assert_eq!(accepted.expect("an answer").status, 202);
            }
            let counted = wait(
                Duration::from_secs(30),
                "two queued operations",
                async || {
                    let (code, found) = world.doctor().expect("it runs");
                    code == Some(0) && found["waiting"] == 2
                },
            );
            counted.await.expect("both are counted");
            world.start_all().expect("it starts");
            let taken = wait(Duration::from_secs(30), "an empty queue", async || {
                let (_, found) = world.doctor().expect("it runs");
                found["waiting"] == 0 && found["stored"] == 3
            });
            taken.await.expect("both are stored");
        }
    }
}

/// Overwrites a page of an index with zeros. Readiness and doctor report the damage, and a backup
/// and restore repairs it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_index_is_found_and_repaired() {
    let (mut world, ids) = world_of(Kind::Embedded, 3).await;
    let limit = Duration::from_secs(20);
    world
        .process("bakehouse")
        .terminate(limit)
        .expect("it ends");
    let data = world.folder().join("data");
    let page: i64 = {
        let database = stores::embedded(&world);
        let checkpointed = database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)");
        checkpointed.expect("a checkpoint of the WAL");
        let root = "SELECT rootpage FROM sqlite_master WHERE name = 'events_by_entity'";
        database
            .query_row(root, [], |row| row.get(0))
            .expect("a page")
    };
    let file = fs::File::options()
        .write(true)
        .open(data.join("bakehouse.db"));
    let offset = (page.unsigned_abs() - 1) * 4_096;
    file.expect("a file")
        .write_all_at(&[0; 4_096], offset)
        .expect("written");

    let all = findings(&world);
    let damage = find(&all, "damaged-index", "", "events_by_entity");
    let fix = damage["fix"].as_str().expect("a text").to_owned();
    assert!(fix.contains("backup") && fix.contains("restore"), "{fix}");
    world.start_all().expect("it starts");
    let client = world.client();
    let reported = wait(
        Duration::from_secs(20),
        "a store that is not ready",
        async || {
            let answer = client.get("/health/ready").await;
            answer.is_ok_and(|answer| {
                answer.status == 503
                    && answer.json()["detail"]
                        .to_string()
                        .contains("embedded store")
            })
        },
    );
    reported.await.expect("readiness reports it");
    let copy = world.folder().join("copy").display().to_string();
    let copied = world.operate(&["backup", &copy]).expect("it runs");
    assert!(copied.status.success(), "{copied:?}");
    world.process("bakehouse").kill();
    fs::rename(&data, world.folder().join("damaged")).expect("moved");
    let restored = world.operate(&["restore", &copy]).expect("it runs");
    assert!(restored.status.success(), "{restored:?}");
    world.begin().await.expect("it is ready");
    let order = world.client().get(&format!("/order/{}", ids[0])).await;
    assert_eq!(order.expect("an answer").status, 200);
    assert_eq!(findings(&world), [Value::Null; 0]);
}
