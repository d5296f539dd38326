//! Readiness: a server that is ready serves everything it offers, or names what is missing.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use bakehouse_dev_servers::skipped::skip;
use bakehouse_e2e::ledger::order;
use bakehouse_e2e::world::{Servers, wait};
use bakehouse_e2e::{Kind, World};
use nix::sys::signal::Signal;
use serde_json::Value;

const TIMEOUT: Duration = Duration::from_secs(30);

/// Returns name and reason of everything that readiness reports as missing.
async fn missing(world: &World) -> Option<Vec<(String, String)>> {
    let answer = world.client().get("/health/ready").await.ok()?;
    let problem = answer.json();
    let all = problem["missing"].as_array().cloned().unwrap_or_default();
    let text = |one: &Value, member: &str| one[member].as_str().unwrap_or_default().to_owned();
    Some(
        all.iter()
            .map(|one| (text(one, "name"), text(one, "reason")))
            .collect(),
    )
}

/// Waits until readiness reports `name` as missing, with a reason that contains all `words`.
#[track_caller]
fn until_missing<'a>(
    world: &'a World,
    name: &'a str,
    words: &'a [&'a str],
) -> impl Future<Output = ()> + 'a {
    let matches = move |one: &(String, String)| {
        one.0 == name && words.iter().all(|word| one.1.contains(word))
    };
    async move {
        let waited = wait(TIMEOUT, "a missing capability", async || {
            missing(world)
                .await
                .is_some_and(|all| all.iter().any(matches))
        });
        if waited.await.is_err() {
            panic!(
                "{name}: {words:?}: {:?}\n{}",
                missing(world).await,
                world.logs()
            );
        }
    }
}

async fn until_ready(world: &World) {
    let waited = wait(TIMEOUT, "readiness", async || {
        let answer = world.client().get("/health/ready").await;
        answer.is_ok_and(|answer| answer.status == 200)
    });
    if waited.await.is_err() {
        panic!("{:?}\n{}", missing(world).await, world.logs());
    }
}

/// Checks that the feed of an empty store is open as soon as readiness reports ready.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_store_is_ready_once_its_feed_is_open() {
    let mut world = World::prepare(Kind::Embedded, None, &[]).expect("a world");
    world.start_all().expect("it starts");
    until_ready(&world).await;
    let mut feed = world.feed("").await.expect("the feed is open");
    let welcome = feed.frame().await.expect("a welcome");
    assert_eq!(
        (&welcome["type"], &welcome["head"]),
        (&"welcome".into(), &0.into())
    );
}

/// Checks that a feed opened before data-baker has ever run receives the events it bakes later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_feed_is_open_before_anything_was_baked() {
    let name = format!("e{}", uuid::Uuid::now_v7().simple());
    let servers = Servers::shared(&name);
    let mut world = World::prepare(Kind::Servers, Some((&name, servers)), &[]).expect("a world");
    for service in ["api-server", "events-writer", "orders-manager"] {
        world.process(service).start().expect("it starts");
    }
    until_ready(&world).await;
    let mut feed = world.feed("").await.expect("the feed is open");
    let welcome = feed.frame().await.expect("a welcome");
    assert_eq!(
        (&welcome["type"], &welcome["head"]),
        (&"welcome".into(), &0.into())
    );
    let placed = world
        .client()
        .post(order("first"))
        .await
        .expect("an answer");
    assert_eq!(placed.status, 202);
    world.start_all().expect("data-baker starts");
    let event = feed.event().await.expect("an event");
    assert_eq!(event["order"]["reference"], "first");
    let again = world.feed("").await.expect("the feed is open");
    drop(again);
    let epoch = welcome["epoch"].as_str().expect("an epoch");
    let since = world.feed(&format!("since=0&epoch={epoch}")).await;
    let mut since = since.expect("the same log");
    assert_eq!(since.event().await.expect("an event")["position"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_stage_is_named() {
    let settings = [("BAKEHOUSE_HEALTH__STALL_TIMEOUT", "2s".to_owned())];
    let mut world = World::start_with(Kind::Servers, &settings)
        .await
        .expect("it starts");
    let client = world.client();
    let placed = client.post(order("one")).await.expect("202");
    client.settled(&placed).await.expect("a receipt");
    world.process("data-baker").signal(Signal::SIGSTOP);
    let placed = client.post(order("two")).await.expect("202");
    assert_eq!(placed.status, 202);
    until_missing(&world, "stages", &["data-baker", "position 1", "1 waiting"]).await;
    world.process("data-baker").signal(Signal::SIGCONT);
    until_ready(&world).await;

    world.process("orders-manager").kill();
    assert_eq!(client.post(order("three")).await.expect("202").status, 202);
    until_missing(&world, "stages", &["orders-manager", "position 2"]).await;
    world.start_all().expect("it starts again");
    until_ready(&world).await;

    world.process("events-writer").kill();
    assert_eq!(client.post(order("four")).await.expect("202").status, 202);
    until_missing(
        &world,
        "stages",
        &["events-writer", "position 3", "1 waiting"],
    )
    .await;
    world.start_all().expect("it starts again");
    until_ready(&world).await;
}

/// Mounted file system, unmounted when dropped.
struct Disk(PathBuf);

impl Disk {
    fn mount(folder: &Path) -> Self {
        fs::create_dir_all(folder).expect("a folder");
        run(
            "mount",
            &[
                "-t",
                "tmpfs",
                "-o",
                "size=24m",
                "tmpfs",
                &folder.display().to_string(),
            ],
        );
        Self(folder.to_owned())
    }

    /// Mounts the folder read-only over itself. A remount of the file system is refused while files
    /// are open for writing; files opened from now on are on this mount.
    fn bind_read_only(folder: &Path) -> Self {
        let path = folder.display().to_string();
        run("mount", &["--bind", &path, &path]);
        let bound = Self(folder.to_owned());
        run("mount", &["-o", "remount,bind,ro", &path]);
        bound
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        run("umount", &["-l", &self.0.display().to_string()]);
    }
}

/// Checks whether the tests run as root, which mounting requires.
fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| this.uid() == 0)
}

fn run(program: &str, arguments: &[&str]) {
    let ended = Command::new(program)
        .args(arguments)
        .status()
        .expect("it runs");
    assert!(
        ended.success(),
        "{program} {arguments:?} failed; it requires the right to mount"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_or_read_only_disk_fails_readiness() {
    if !is_root() {
        skip("right to mount");
        return;
    }
    let mut world = World::prepare(Kind::Embedded, None, &[]).expect("a world");
    let folder = world.folder().join("data");
    let disk = Disk::mount(&folder);
    world.begin().await.expect("it is ready");
    let filler = folder.join("filler");
    let mut block = vec![1_u8; 1 << 20];
    let mut file = fs::File::create(&filler).expect("a file");
    while block.len() >= 4_096 {
        if std::io::Write::write_all(&mut file, &block).is_err() {
            let shorter = block.len() / 2;
            block.truncate(shorter);
        }
    }
    until_missing(&world, "embedded store", &[]).await;
    fs::remove_file(&filler).expect("removed");
    drop(file);
    until_ready(&world).await;

    world
        .process("bakehouse")
        .terminate(TIMEOUT)
        .expect("it ends");
    world.begin().await.expect("it is ready");
    let bound = Disk::bind_read_only(&folder);
    until_missing(&world, "embedded store", &["Read-only file system"]).await;
    drop(bound);
    until_ready(&world).await;
    world.process("bakehouse").kill();
    drop(disk);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn removed_files_fail_readiness() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let data = world.folder().join("data");
    let attachments = data.join("attachments");
    fs::rename(&attachments, world.folder().join("aside")).expect("moved");
    fs::write(&attachments, "in the way").expect("written");
    until_missing(&world, "attachments", &[]).await;
    fs::remove_file(&attachments).expect("removed");
    fs::rename(world.folder().join("aside"), &attachments).expect("moved back");
    until_ready(&world).await;

    let store = data.join("bakehouse.db");
    let aside = world.folder().join("bakehouse.db");
    fs::rename(&store, &aside).expect("moved");
    until_missing(&world, "embedded store", &["removed or replaced"]).await;
    fs::copy(&aside, &store).expect("another file");
    until_missing(&world, "embedded store", &["removed or replaced"]).await;
    fs::rename(&aside, &store).expect("moved back");
    until_ready(&world).await;
}
