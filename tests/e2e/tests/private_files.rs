//! Files of the embedded store: private permissions whatever the umask, a failing writer thread,
//! and notifications of a restored store.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bakehouse_e2e::ledger::{Load, audit, order};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Client, Kind, Receiver, World};
use hyper::Method;
use nix::sys::stat::{Mode, umask};
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

fn mode(path: &Path) -> u32 {
    let found = std::fs::metadata(path).expect("it is there");
    found.permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}

/// Returns a folder and everything below it.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(walk(&path));
        } else {
            found.push(path);
        }
    }
    found
}

/// Checks that only the owner can access a folder and its contents; returns the number of files.
fn check_private(folder: &Path) -> usize {
    let found = walk(folder);
    for path in &found {
        let expected = if path.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode(path), expected, "{}", path.display());
    }
    found.iter().filter(|path| path.is_file()).count()
}

async fn attach(client: &Client, order: &str) {
    let text = "--limit\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
                Content-Type: text/plain\r\n\r\nprivate\r\n--limit--\r\n";
    let form = [("Content-Type", "multipart/form-data; boundary=limit")];
    let path = format!("{order}/attachments");
    let answer = client.send(Method::POST, &path, &form, text).await;
    let answer = answer.expect("an answer");
    client.settled(&answer).await.expect("a receipt");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_files_are_accessible_to_their_owner_only() {
    // Files are accessible to everyone unless the program restricts them.
    umask(Mode::empty());
    let mut world = World::start(Kind::Embedded).await.expect("it starts");
    let parent = world.folder().to_owned();
    let parent_mode = mode(&parent);
    let client = world.client();
    let placed = client.post(order("one")).await.expect("202");
    client.settled(&placed).await.expect("a receipt");
    attach(&client, placed.header("location")).await;
    let data = parent.join("data");
    // The database, its log and shared memory, the lock, and the attached file.
    assert!(check_private(&data) >= 5);
    let copy = parent.join("new/copy");
    let to = copy.display().to_string();
    let copied = world.operate(&["backup", &to]).expect("it runs");
    assert!(copied.status.success(), "{copied:?}");
    assert_eq!(check_private(&copy), 2);
    assert_eq!(mode(&parent.join("new")), 0o700);
    world.stop_all().expect("it ends");

    // A store of an earlier version.
    for path in walk(&data) {
        set_mode(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    world.begin().await.expect("it starts");
    check_private(&data);
    world.stop_all().expect("it ends");

    // A copy that others have made readable is restored as private files.
    for path in walk(&copy) {
        set_mode(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    std::fs::rename(&data, parent.join("lost")).expect("moved");
    let restored = world.operate(&["restore", &to]).expect("it runs");
    assert!(restored.status.success(), "{restored:?}");
    assert!(check_private(&data) >= 2);
    assert_eq!(
        mode(&parent),
        parent_mode,
        "the parent folder must not change"
    );

    // A folder with files of others keeps its permissions; the store's files are made private.
    std::fs::write(data.join("notes.txt"), "").expect("written");
    set_mode(&data, 0o755);
    set_mode(&data.join("bakehouse.db"), 0o644);
    world.begin().await.expect("it starts");
    assert_eq!(mode(&data), 0o755);
    assert_eq!(mode(&data.join("bakehouse.db")), 0o600);
    assert_eq!(mode(&data.join("bakehouse.db-wal")), 0o600);
}

/// Checks that a panic of the writer thread ends the process with an error, so that a supervisor
/// can restart it, and that no accepted order is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_panics_ends_the_process() {
    let mut world = World::prepare(Kind::Embedded, None, &[]).expect("a world");
    let failpoint = ("TORTURE_PANIC_AT".to_owned(), "embedded.written:200".into());
    world
        .process("bakehouse")
        .start_with(&[failpoint])
        .expect("it starts");
    world.ready(TIMEOUT).await.expect("it is ready");
    let load = Load::start(&world.base, 4, u64::MAX);
    let status = world.process("bakehouse").ended(TIMEOUT).expect("it ends");
    let ledger = load.stop().await;
    assert_eq!(status.code(), Some(1));
    let log = world.process("bakehouse").log();
    assert!(log.contains("panicked: requested by"), "{log}");
    assert!(log.contains("writer thread panicked"), "{log}");
    assert!(!ledger.accepted.is_empty());
    world.begin().await.expect("it starts");
    audit(&world, &ledger, TIMEOUT)
        .await
        .expect("all are there");
}

async fn notifications(client: &Client, order: &str) -> Value {
    let path = format!("{order}/notifications");
    let answer = client.get_with(&path, &[("prefer", "wait=10")]).await;
    answer.expect("an answer").json()
}

/// Checks that notifications pending in a backup are not sent after a restore unless requested: the
/// original store may have sent them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restored_store_sends_no_pending_notification() {
    let receiver = Receiver::start().await.expect("a receiver");
    receiver.answer(&[503]);
    let settings = [
        ("BAKEHOUSE_WEBHOOK__URLS", receiver.url.clone()),
        (
            "BAKEHOUSE_WEBHOOK__SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        ),
        ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true".to_owned()),
        ("BAKEHOUSE_NOTIFY__INITIAL_BACKOFF", "8s".to_owned()),
    ];
    let mut world = World::start_with(Kind::Embedded, &settings)
        .await
        .expect("it starts");
    let client = world.client();
    let placed = client.post(order("pending")).await.expect("202");
    let pending = placed.header("location").to_owned();
    wait(TIMEOUT, "attempt", async || !receiver.received().is_empty())
        .await
        .expect("it is tried");
    let tried = Instant::now();
    let copy = world.folder().join("copy").display().to_string();
    let copied = world.operate(&["backup", &copy]).expect("it runs");
    assert!(copied.status.success(), "{copied:?}");
    world.process("bakehouse").kill();
    let data = world.folder().join("data");
    std::fs::rename(&data, world.folder().join("lost")).expect("moved");
    let before = receiver.received().len();

    let restored = world.operate(&["restore", &copy]).expect("it runs");
    assert!(restored.status.success(), "{restored:?}");
    world.begin().await.expect("it starts");
    let found = notifications(&client, &pending).await;
    assert_eq!(found[0]["status"], "not-sent", "{found}");
    assert!(
        found[0]["reason"]
            .as_str()
            .expect("a reason")
            .contains("restored")
    );
    // Only new notifications are sent.
    let placed = client.post(order("new")).await.expect("202");
    let new = placed.header("location").to_owned();
    wait(TIMEOUT, "webhook", async || {
        receiver.received().len() > before
    })
    .await
    .expect("it is sent");
    // Waits beyond the time of the second attempt.
    tokio::time::sleep(Duration::from_secs(13).saturating_sub(tried.elapsed())).await;
    let received = receiver.received();
    assert_eq!(received.len(), before + 1);
    let id = new.rsplit('/').next().expect("an id");
    let body = String::from_utf8_lossy(&received[before].body).into_owned();
    assert!(body.contains(id), "{body}");
    world.process("bakehouse").kill();

    // `--resume-notifications` sends pending ones.
    std::fs::remove_dir_all(&data).expect("removed");
    let resume = ["restore", &copy, "--resume-notifications"];
    let restored = world.operate(&resume).expect("it runs");
    assert!(restored.status.success(), "{restored:?}");
    let before = receiver.received().len();
    world.begin().await.expect("it starts");
    wait(TIMEOUT, "webhook", async || {
        receiver.received().len() > before
    })
    .await
    .expect("it is sent");
    let is_sent = async || notifications(&client, &pending).await[0]["status"] == "sent";
    wait(TIMEOUT, "note", is_sent).await.expect("it is noted");
}
