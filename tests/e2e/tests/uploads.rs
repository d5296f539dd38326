//! Limits of uploads in number, time, bytes and files, and removal of files that no order
//! refers to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bakehouse_e2e::attachments::{files, form, place, upload};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Answer, Client, Kind, World, in_both_worlds, ledger};
use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

in_both_worlds!(
    impossible_uploads_are_refused_before_the_body_is_read,
    quotas_are_enforced_and_removed_files_free_space,
    an_order_has_at_most_fifty_files,
    files_of_refused_uploads_are_removed_at_once,
    leftover_files_are_removed_at_start,
    stalled_uploads_are_aborted_and_free_their_slots,
    an_aborted_upload_leaves_no_file,
    file_names_with_invisible_characters_are_refused,
);

const TIMEOUT: Duration = Duration::from_secs(30);
const MIB: usize = 1024 * 1024;

fn text(bytes: &[u8]) -> Vec<u8> {
    form("file", "a.txt", "text/plain", bytes)
}

async fn delete(client: &Client, path: &str) -> Answer {
    let answer = client.send(Method::DELETE, path, &[], "").await;
    answer.expect("an answer")
}

/// Returns all files in the attachment store.
fn stored_files(world: &World) -> Vec<PathBuf> {
    fn walk(folder: &Path) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let below = |path: PathBuf| {
            if path.is_dir() {
                walk(&path)
            } else {
                vec![path]
            }
        };
        entries.flat_map(|entry| below(entry.path())).collect()
    }
    walk(&world.folder().join("data/attachments"))
}

async fn wait_for_files(world: &World, count: usize) {
    let is_so = async || stored_files(world).len() == count;
    let outcome = wait(TIMEOUT, &format!("{count} files"), is_so).await;
    assert!(
        outcome.is_ok(),
        "{:?}\n{}",
        stored_files(world),
        world.logs()
    );
}

/// Sends the head of an upload of `length` bytes, and `sent` as the beginning of its body.
async fn begin_upload(world: &World, order: &str, length: usize, sent: &[u8]) -> TcpStream {
    let address = world.base.strip_prefix("http://").expect("an address");
    let mut stream = TcpStream::connect(address).await.expect("it connects");
    let head = format!(
        "POST {order}/attachments HTTP/1.1\r\nHost: {address}\r\nContent-Length: {length}\r\n\
         Content-Type: multipart/form-data; boundary=limit\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    stream.write_all(sent).await.expect("it is sent");
    stream
}

/// Reads a response until its head is complete or the time limit is over.
async fn read_response(stream: &mut TcpStream, limit: Duration) -> String {
    let mut read = Vec::new();
    let reading = async {
        let mut chunk = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut chunk).await {
            read.extend_from_slice(&chunk[..count]);
            if read.windows(4).any(|end| end == b"\r\n\r\n") {
                break;
            }
        }
    };
    let _ = tokio::time::timeout(limit, reading).await;
    String::from_utf8_lossy(&read).into_owned()
}

async fn impossible_uploads_are_refused_before_the_body_is_read(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    let key = [("Idempotency-Key", "before")];
    let first = upload(&client, &order, &key, text(b"kept")).await;
    client.settled(&first).await.expect("a receipt");
    let deleted = delete(&client, &order).await;
    client.settled(&deleted).await.expect("a receipt");
    // Sends the whole body before reading the response, as most clients do.
    let large = text(&vec![b'a'; 9 * MIB]);
    let refused = upload(&client, &order, &[], large).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert_eq!(refused.json()["detail"], "the order has been deleted");
    assert_eq!(refused.json()["type"], "urn:bakehouse:problem:refused");
    // A repeated request with a known key gets the first answer.
    let again = upload(&client, &order, &key, text(b"kept")).await;
    assert_eq!(again.status, 202);
    assert_eq!(again.header("location"), first.header("location"));
    let unknown = "/order/0190f5fe-0000-7000-8000-000000000001";
    let missing = upload(&client, unknown, &[], text(&vec![b'a'; 9 * MIB])).await;
    assert_eq!(missing.status, 404);
    // The request is refused although no byte of the body has arrived.
    for (order, length, expected) in [(order.as_str(), 1000, "409"), (unknown, 1000, "404")] {
        let mut stream = begin_upload(&world, order, length, b"").await;
        let head = read_response(&mut stream, TIMEOUT).await;
        assert!(
            head.starts_with(&format!("HTTP/1.1 {expected}")),
            "{head:?}"
        );
        assert!(
            head.to_ascii_lowercase().contains("connection: close"),
            "{head}"
        );
    }
    let mut stream = begin_upload(&world, &order, 11 * MIB, b"").await;
    let head = read_response(&mut stream, TIMEOUT).await;
    assert!(head.starts_with("HTTP/1.1 413"), "{head:?}");
    wait_for_files(&world, 1).await;
}

async fn quotas_are_enforced_and_removed_files_free_space(kind: Kind) {
    let settings = [
        ("BAKEHOUSE_ATTACHMENTS__MAX_BYTES", MIB.to_string()),
        (
            "BAKEHOUSE_ATTACHMENTS__MAX_BYTES_PER_ORDER",
            (3 * MIB).to_string(),
        ),
        (
            "BAKEHOUSE_ATTACHMENTS__MAX_BYTES_PER_CLIENT",
            (5 * MIB).to_string(),
        ),
        (
            "BAKEHOUSE_ATTACHMENTS__MAX_TOTAL_BYTES",
            (6 * MIB).to_string(),
        ),
    ];
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let (one, two) = (place(&client).await, place(&client).await);
    let mut accepted = Vec::new();
    let mut of_order = None;
    for number in 0..70 {
        let answer = upload(&client, &one, &[], text(&vec![b'a'; MIB])).await;
        match answer.status.as_u16() {
            202 => accepted.push(answer),
            409 => of_order = Some(answer),
            other => panic!("{number}: {other} {:?}", answer.body),
        }
    }
    assert_eq!(accepted.len(), 3);
    let of_order = of_order.expect("a refusal").json();
    assert_eq!(of_order["type"], "urn:bakehouse:problem:quota-exceeded");
    assert_eq!(of_order["setting"], "attachments.max_bytes_per_order");
    assert_eq!(of_order["limit"], 3 * MIB);
    for _ in 0..2 {
        let answer = upload(&client, &two, &[], text(&vec![b'a'; MIB])).await;
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    let of_client = upload(&client, &two, &[], text(&vec![b'a'; MIB])).await;
    assert_eq!(of_client.status, 409);
    assert_eq!(
        of_client.json()["setting"],
        "attachments.max_bytes_per_client"
    );
    wait_for_files(&world, 5).await;
    // Removing a file frees its space.
    client.settled(&accepted[0]).await.expect("a receipt");
    let removed = delete(&client, accepted[0].header("location")).await;
    client.settled(&removed).await.expect("a receipt");
    wait_for_files(&world, 4).await;
    let answer = upload(&client, &one, &[], text(&vec![b'a'; MIB / 2])).await;
    assert_eq!(answer.status, 202, "{answer:?}");
}

/// Checks that the limit counts uploads that are in progress, accepted, or executed.
async fn an_order_has_at_most_fifty_files(kind: Kind) {
    let settings = [
        ("BAKEHOUSE_ATTACHMENTS__MAX_UPLOADS", "100".to_owned()),
        (
            "BAKEHOUSE_ATTACHMENTS__MAX_UPLOADS_PER_CLIENT",
            "100".to_owned(),
        ),
    ];
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    let all = (0..70).map(|_| upload(&client, &order, &[], text(b"one")));
    let answers = futures_util::future::join_all(all).await;
    let with = |status: u16| answers.iter().filter(move |answer| answer.status == status);
    let codes: Vec<_> = answers
        .iter()
        .map(|answer| answer.status.as_u16())
        .collect();
    assert_eq!(with(202).count() + with(409).count(), 70, "{codes:?}");
    let accepted = with(202).count();
    assert!((40..=50).contains(&accepted), "{codes:?}");
    let detail = with(409).next().expect("a refusal").json()["detail"].clone();
    assert_eq!(detail, "the order has 50 attachments, and can have no more");
    for answer in with(202) {
        let receipt = client.settled(answer).await.expect("a receipt");
        assert_eq!(receipt["status"], "baked");
    }
    assert_eq!(
        files(&client, &order).await.as_array().map(Vec::len),
        Some(accepted)
    );
    wait_for_files(&world, accepted).await;
}

/// Checks that files are removed if the order is deleted during the upload, and if the idempotency
/// key was used with other bytes.
async fn files_of_refused_uploads_are_removed_at_once(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    let body = text(&vec![b'a'; MIB]);
    let (first, rest) = body.split_at(MIB / 2);
    let mut stream = begin_upload(&world, &order, body.len(), first).await;
    let deleted = delete(&client, &order).await;
    client.settled(&deleted).await.expect("a receipt");
    stream.write_all(rest).await.expect("it is sent");
    let head = read_response(&mut stream, TIMEOUT).await;
    assert!(head.starts_with("HTTP/1.1 202"), "{head:?}");
    wait_for_files(&world, 0).await;
    // A key that was used with other bytes is refused.
    let order = place(&client).await;
    let key = [("Idempotency-Key", "k")];
    let kept = upload(&client, &order, &key, text(b"one")).await;
    client.settled(&kept).await.expect("a receipt");
    assert_eq!(
        upload(&client, &order, &key, text(b"two")).await.status,
        422
    );
    // The same bytes with another file name are another request, and are refused as well.
    let renamed = form("file", "b.txt", "text/plain", b"one");
    assert_eq!(upload(&client, &order, &key, renamed).await.status, 422);
    wait_for_files(&world, 1).await;
    // Placing an order waits for the uploads above; the first file is still there.
    place(&client).await;
    let file = client
        .get(kept.header("location"))
        .await
        .expect("an answer");
    assert_eq!(&file.body[..], b"one");
}

async fn leftover_files_are_removed_at_start(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    let accepted = upload(&client, &order, &[], text(b"one")).await;
    client.settled(&accepted).await.expect("a receipt");
    let removed = delete(&client, accepted.header("location")).await;
    client.settled(&removed).await.expect("a receipt");
    wait_for_files(&world, 0).await;
    world.stop_all().expect("an orderly end");
    // Creates the files that a crash before their removal leaves behind.
    let id = order.rsplit('/').next().expect("an id");
    let attachment = accepted
        .header("location")
        .rsplit('/')
        .next()
        .expect("an id");
    let sha256 = "7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed";
    let folder = world.folder().join("data/attachments");
    for leftover in [
        format!("orders/{id}/{attachment}-{sha256}"),
        "uploads/0190f5fe-0000-7000-8000-000000000001#1".into(),
        "uploads/0190f5fe-0000-7000-8000-000000000002".into(),
    ] {
        let file = folder.join(leftover);
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("made");
        std::fs::write(file, "one").expect("written");
    }
    // Longer than the granularity of file times.
    tokio::time::sleep(Duration::from_millis(100)).await;
    world.start_all().expect("it starts again");
    world.ready(TIMEOUT).await.expect("ready again");
    // Files in `uploads` stay, since another api-server may still be writing them.
    let remaining = match kind {
        Kind::Embedded => 0,
        Kind::Servers => 2,
    };
    wait_for_files(&world, remaining).await;
}

async fn stalled_uploads_are_aborted_and_free_their_slots(kind: Kind) {
    let settings = [
        (
            "BAKEHOUSE_ATTACHMENTS__MAX_UPLOADS_PER_CLIENT",
            "3".to_owned(),
        ),
        (
            "BAKEHOUSE_ATTACHMENTS__MIN_UPLOAD_RATE",
            "1000000".to_owned(),
        ),
        ("BAKEHOUSE_HTTP__BODY_TIMEOUT", "8s".to_owned()),
    ];
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    let body = text(&vec![b'a'; 2 * MIB]);
    let mut stalled = Vec::new();
    for _ in 0..3 {
        stalled.push(begin_upload(&world, &order, body.len(), &body[..MIB]).await);
    }
    // Waits until all three uploads have begun.
    wait_for_files(&world, 3).await;
    let refused = upload(&client, &order, &[], text(b"one")).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(
        refused.json()["detail"]
            .to_string()
            .contains("max_uploads_per_client")
    );
    // An upload of a few bytes per second counts as stalled.
    let trickling = stalled.pop().expect("a stream");
    let (mut reader, mut writer) = trickling.into_split();
    let trickle = tokio::spawn(async move {
        while writer.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    for mut stream in stalled {
        let head = read_response(&mut stream, TIMEOUT).await;
        assert!(head.starts_with("HTTP/1.1 408"), "{head:?}");
    }
    let mut head = Vec::new();
    let cut = tokio::time::timeout(TIMEOUT, reader.read_to_end(&mut head)).await;
    trickle.abort();
    // After a reset the response may be lost.
    assert!(cut.is_ok(), "the connection is still open");
    let head = String::from_utf8_lossy(&head);
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408"),
        "{head:?}"
    );
    let is_free = async || upload(&client, &order, &[], text(b"one")).await.status == 202;
    wait(TIMEOUT, "a free slot", is_free)
        .await
        .expect("free slots");
    wait_for_files(&world, 1).await;
}

async fn an_aborted_upload_leaves_no_file(kind: Kind) {
    let one = [
        ("BAKEHOUSE_ATTACHMENTS__MAX_UPLOADS", "1".to_owned()),
        // Stalled uploads are not aborted during the test.
        ("BAKEHOUSE_HTTP__BODY_TIMEOUT", "120s".to_owned()),
    ];
    let world = World::start_with(kind, &one).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    let body = text(&vec![b'a'; 2 * MIB]);
    for _ in 0..3 {
        let stream = begin_upload(&world, &order, body.len(), &body[..MIB]).await;
        let is_there = async || stored_files(&world).len() == 1;
        wait(TIMEOUT, "bytes", is_there).await.expect("they come");
        let refused = upload(&client, &order, &[], text(b"one")).await;
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.header("retry-after"), "1");
        drop(stream);
        wait_for_files(&world, 0).await;
    }
    let is_free = async || upload(&client, &order, &[], text(b"one")).await.status == 202;
    wait(TIMEOUT, "a free slot", is_free)
        .await
        .expect("it is free");
}

async fn file_names_with_invisible_characters_are_refused(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    for name in [
        "invoice\u{202E}fdp.exe",
        "a\u{200B}.txt",
        "a\u{2066}b.txt",
        "\u{200F}",
    ] {
        let refused = upload(&client, &order, &[], form("file", name, "text/plain", b"a")).await;
        assert_eq!(refused.status, 400, "{name:?}");
        assert_eq!(refused.json()["errors"][0]["pointer"], "/file", "{name:?}");
    }
    let file_name = "👩\u{200D}🍳 \"x\"; filename=.txt";
    let named = form("file", &file_name.replace('"', "%22"), "text/plain", b"a");
    let accepted = upload(&client, &order, &[], named).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    client.settled(&accepted).await.expect("a receipt");
    let file = client
        .get(accepted.header("location"))
        .await
        .expect("an answer");
    let disposition = file.header("content-disposition");
    assert!(
        disposition.starts_with("attachment; filename*=UTF-8''"),
        "{disposition}"
    );
    assert!(
        disposition.is_ascii() && disposition.matches(';').count() == 1,
        "{disposition}"
    );
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    assert!(file.header("content-security-policy").contains("sandbox"));
    let body = json!({ "products": [{ "name": "a\u{202E}b", "price": 1 }] });
    let refused = client.post(body.to_string()).await.expect("an answer");
    assert_eq!(refused.status, 400);
    assert_eq!(refused.json()["errors"][0]["pointer"], "/products/0/name");
}

/// Checks that the sweep keeps files of operations that are in the queue for longer than the grace
/// period.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_queued_operations_are_kept() {
    let settings = [
        ("BAKEHOUSE_ATTACHMENTS__SWEEP_INTERVAL", "100ms".to_owned()),
        ("BAKEHOUSE_ATTACHMENTS__SWEEP_GRACE", "1s".to_owned()),
    ];
    let mut world = World::start_with(Kind::Servers, &settings)
        .await
        .expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    world.process("events-writer").kill();
    let accepted = upload(&client, &order, &[], text(b"waited")).await;
    assert_eq!(accepted.status, 202);
    for number in 0..20 {
        let order = ledger::order(&number.to_string());
        assert_eq!(client.post(order).await.expect("an answer").status, 202);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    wait_for_files(&world, 1).await;
    world.process("events-writer").start().expect("it starts");
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked");
    tokio::time::sleep(Duration::from_secs(2)).await;
    let file = client
        .get(accepted.header("location"))
        .await
        .expect("an answer");
    assert_eq!(
        (file.status.as_u16(), &file.body[..]),
        (200, &b"waited"[..])
    );
}
