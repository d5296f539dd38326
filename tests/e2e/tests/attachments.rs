//! Attached files of orders: upload, list, download and removal, and refused uploads.

use bakehouse_dev_servers::s3::S3Server;
use bakehouse_e2e::attachments::{files, form, place, upload};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Issuer, Kind, World, in_both_worlds, issuer, ledger};
use hyper::Method;
use serde_json::json;

in_both_worlds!(
    a_file_is_uploaded_and_removed,
    invalid_uploads_are_refused_and_leave_no_files,
    an_upload_can_be_repeated,
    files_are_hidden_from_other_owners,
    unreferenced_files_are_removed,
);

/// Signature of a PNG file, followed by more bytes.
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR and so on";

async fn a_file_is_uploaded_and_removed(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    check_upload_and_removal(&world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_can_be_kept_on_s3() {
    let server = S3Server::start().await.expect("it listens");
    let settings = [
        (
            "BAKEHOUSE_ATTACHMENTS__STORE",
            format!("s3://{}/orders", server.bucket),
        ),
        (
            "BAKEHOUSE_ATTACHMENTS__S3_ENDPOINT",
            server.endpoint.clone(),
        ),
        (
            "BAKEHOUSE_ATTACHMENTS__S3_ACCESS_KEY_ID",
            server.access_key.clone(),
        ),
        (
            "BAKEHOUSE_ATTACHMENTS__S3_SECRET_ACCESS_KEY",
            server.secret_key.clone(),
        ),
    ];
    for kind in [Kind::Embedded, Kind::Servers] {
        let world = World::start_with(kind, &settings).await.expect("it starts");
        check_upload_and_removal(&world).await;
    }
}

async fn check_upload_and_removal(world: &World) {
    let client = world.client();
    let order = place(&client).await;
    assert_eq!(files(&client, &order).await, json!([]));
    let image = [PNG, &vec![7; 6 * 1024 * 1024]].concat();
    let accepted = upload(
        &client,
        &order,
        &[],
        form("file", "Foto März.png", "image/png", &image),
    )
    .await;
    assert_eq!((accepted.status.as_u16(), accepted.body.len()), (202, 0));
    let path = accepted.header("location").to_owned();
    let wait = [("Prefer", "wait=20")];
    let file = client.get_with(&path, &wait).await.expect("an answer");
    assert_eq!(file.status, 200);
    assert!(file.body == image, "the same bytes");
    assert_eq!(file.header("content-type"), "image/png");
    assert_eq!(file.header("x-content-type-options"), "nosniff");
    let disposition = file.header("content-disposition");
    assert_eq!(
        disposition,
        "attachment; filename*=UTF-8''Foto%20M%C3%A4rz.png"
    );
    let known = [("If-None-Match", file.header("etag"))];
    assert_eq!(
        client
            .get_with(&path, &known)
            .await
            .expect("an answer")
            .status,
        304
    );

    let note = upload(
        &client,
        &order,
        &[],
        form("file", "note.txt", "text/plain", b"hello"),
    )
    .await;
    client.settled(&note).await.expect("a receipt");
    let list = files(&client, &order).await;
    assert_eq!(list[0]["name"], "Foto März.png");
    let expected = json!({
        "id": note.header("location").rsplit('/').next(),
        "name": "note.txt",
        "media_type": "text/plain",
        "size": 5,
        "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
    });
    assert_eq!(list[1], expected);
    let detail = client.get(&order).await.expect("an answer").json();
    assert_eq!(detail["attachments"], list);

    let removed = client
        .send(Method::DELETE, &path, &[], "")
        .await
        .expect("an answer");
    let receipt = client.settled(&removed).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked");
    assert_eq!(client.get(&path).await.expect("an answer").status, 404);
    assert_eq!(files(&client, &order).await, json!([expected]));
    let again = client
        .send(Method::DELETE, &path, &[], "")
        .await
        .expect("an answer");
    assert_eq!(again.status, 404);
    let history = client.get(&order).await.expect("an answer").json();
    let events = history["timeline"].as_array().expect("a timeline").iter();
    let types: Vec<&str> = events.filter_map(|line| line["type"].as_str()).collect();
    assert_eq!(
        types,
        [
            "order.created",
            "order.attached",
            "order.attached",
            "order.detached"
        ]
    );
}

async fn invalid_uploads_are_refused_and_leave_no_files(kind: Kind) {
    let limit = [("BAKEHOUSE_ATTACHMENTS__MAX_BYTES", "100000".to_owned())];
    let world = World::start_with(kind, &limit).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    let text = |bytes: &[u8]| form("file", "a.txt", "text/plain", bytes);
    let two = [&text(b"one")[..text(b"one").len() - 11], &text(b"two")].concat();
    for (body, status, why) in [
        (text(&[b'a'; 100_001]), 413, "too large"),
        (
            form("file", "a.exe", "application/x-msdownload", b"MZ"),
            415,
            "a type not allowed",
        ),
        (
            form("file", "a.png", "image/png", b"no image"),
            400,
            "not what it is declared to be",
        ),
        (
            form("file", "a.pdf", "application/pdf", PNG),
            400,
            "something else",
        ),
        (
            form("picture", "a.txt", "text/plain", b"a"),
            400,
            "another part",
        ),
        (form("file", "", "text/plain", b"a"), 400, "no name"),
        (b"--limit--\r\n".to_vec(), 400, "no part"),
        (b"nonsense".to_vec(), 400, "no multipart"),
        (two, 400, "two parts"),
        (text(b"cut")[..60].to_vec(), 400, "cut short"),
    ] {
        let answer = upload(&client, &order, &[], body).await;
        assert_eq!(answer.status, status, "{why}: {:?}", answer.body);
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{why}"
        );
    }
    let path = format!("{order}/attachments");
    let json = [("Content-Type", "application/json")];
    let answer = client
        .send(Method::POST, &path, &json, "{}")
        .await
        .expect("an answer");
    assert_eq!(answer.status, 415);
    let missing_order = "/order/0190f5fe-0000-7000-8000-000000000001";
    assert_eq!(
        upload(&client, missing_order, &[], text(b"a")).await.status,
        404
    );
    assert_eq!(files(&client, &order).await, json!([]));
    if kind == Kind::Embedded {
        let left: Vec<_> = walk(&world.folder().join("data/attachments"));
        assert_eq!(left, Vec::<std::path::PathBuf>::new());
    }
}

/// Returns all files below a folder.
fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => vec![path],
        })
        .collect()
}

async fn an_upload_can_be_repeated(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    let key = [("Idempotency-Key", "k")];
    let text = |bytes: &[u8]| form("file", "a.txt", "text/plain", bytes);
    let first = upload(&client, &order, &key, text(b"one")).await;
    client.settled(&first).await.expect("a receipt");
    let again = upload(&client, &order, &key, text(b"one")).await;
    assert_eq!(again.status, 202);
    for header in ["location", "operation-location"] {
        assert_eq!(first.header(header), again.header(header));
    }
    assert_eq!(
        upload(&client, &order, &key, text(b"two")).await.status,
        422
    );
    let file = client
        .get(first.header("location"))
        .await
        .expect("an answer");
    assert_eq!(&file.body[..], b"one");
    assert_eq!(
        files(&client, &order).await.as_array().map(Vec::len),
        Some(1)
    );
}

async fn files_are_hidden_from_other_owners(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let settings = issuer.settings(&issuer.file().display().to_string());
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let bearer = |subject: &str| {
        let token = issuer
            .token(subject, "orders:read orders:write")
            .expect("a token");
        issuer::bearer(&token)
    };
    let (ada, bob) = (bearer("ada"), bearer("bob"));
    let headers = [
        ("Authorization", ada.as_str()),
        ("Content-Type", "application/json"),
    ];
    let placed = client
        .send(Method::POST, "/order", &headers, ledger::order("one"))
        .await;
    let order = placed.expect("an answer").header("location").to_owned();
    let text = form("file", "a.txt", "text/plain", b"one");
    let uploaded = upload(&client, &order, &headers[..1], text.clone()).await;
    assert_eq!(uploaded.status, 202);
    let path = uploaded.header("location");
    let own = [headers[0], ("Prefer", "wait=20")];
    assert_eq!(
        client.get_with(path, &own).await.expect("an answer").status,
        200
    );
    let other = [("Authorization", bob.as_str())];
    assert_eq!(
        client
            .get_with(path, &other)
            .await
            .expect("an answer")
            .status,
        404
    );
    let all = format!("{order}/attachments");
    assert_eq!(
        client
            .get_with(&all, &other)
            .await
            .expect("an answer")
            .status,
        404
    );
    assert_eq!(upload(&client, &order, &other, text).await.status, 404);
    let removed = client
        .send(Method::DELETE, path, &other, "")
        .await
        .expect("an answer");
    assert_eq!(removed.status, 404);
    assert_eq!(client.get(path).await.expect("an answer").status, 401);
}

/// Files left by a killed process are removed after the grace period, when another operation is
/// processed. Files that an order refers to stay.
async fn unreferenced_files_are_removed(kind: Kind) {
    let settings = [
        ("BAKEHOUSE_ATTACHMENTS__SWEEP_INTERVAL", "100ms".to_owned()),
        ("BAKEHOUSE_ATTACHMENTS__SWEEP_GRACE", "3s".to_owned()),
    ];
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let order = place(&client).await;
    let body = form("file", "a.txt", "text/plain", b"kept");
    let accepted = upload(&client, &order, &[], body).await;
    client.settled(&accepted).await.expect("a receipt");
    let folder = world.folder().join("data/attachments");
    let id = order.rsplit('/').next().expect("an id");
    let left = [
        folder.join(format!("orders/{id}/{}-00", uuid::Uuid::now_v7())),
        folder.join(format!("uploads/{}", uuid::Uuid::now_v7())),
    ];
    // Files of an order that is not in the log belong to another log, and stay.
    let [unknown, file] = [uuid::Uuid::now_v7(), uuid::Uuid::now_v7()];
    let of_another_log = folder.join(format!("orders/{unknown}/{file}-00"));
    for file in left.iter().chain([&of_another_log]) {
        std::fs::create_dir_all(file.parent().expect("a folder")).expect("created");
        std::fs::write(file, "left").expect("written");
    }
    let foreign = folder.join("README");
    std::fs::write(&foreign, "foreign").expect("written");
    assert!(left.iter().all(|file| file.exists()));
    let limit = std::time::Duration::from_secs(20);
    // A new order is processed only after all operations that were queued before it.
    let are_gone = async || {
        place(&client).await;
        left.iter().all(|file| !file.exists())
    };
    wait(limit, "sweep", are_gone)
        .await
        .expect("the files are removed");
    // A second sweep removes files as well.
    std::fs::write(&left[0], "left").expect("written");
    wait(limit, "another sweep", are_gone)
        .await
        .expect("the files are removed");
    let file = client
        .get(accepted.header("location"))
        .await
        .expect("an answer");
    assert_eq!(&file.body[..], b"kept");
    assert!(foreign.exists() && of_another_log.exists());
}
