//! Effects of settings that have no other test, observed on a running program.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bakehouse_dev_servers::ports;
use bakehouse_e2e::issuer::{bearer, claims};
use bakehouse_e2e::process::command;
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Issuer, Kind, Receiver, World, ledger};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

const TIMEOUT: Duration = Duration::from_secs(30);

async fn start(settings: &[(&str, &str)]) -> World {
    let mut world = World::prepare(Kind::Embedded, None, settings).expect("a world");
    world.begin().await.expect("it starts");
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_settings_take_effect() {
    let bind = format!("0.0.0.0:{}", ports::free().expect("a port"));
    let settings = [
        ("BAKEHOUSE_HTTP__BIND", bind.as_str()),
        ("BAKEHOUSE_HTTP__ALLOW_OPEN_BIND", "true"),
        ("BAKEHOUSE_HTTP__BODY_LIMIT", "300"),
        ("BAKEHOUSE_HTTP__WORKERS", "3"),
        ("BAKEHOUSE_LOG__FORMAT", "human"),
    ];
    let mut world = World::prepare(Kind::Embedded, None, &settings).expect("a world");
    world.base = format!("http://{}", bind.replace("0.0.0.0", "127.0.0.1"));
    world.begin().await.expect("it starts");
    let client = world.client();
    let accepted = client.post(ledger::order("short")).await;
    assert_eq!(accepted.expect("an answer").status, 202);
    let refused = client.post(ledger::order(&"x".repeat(200))).await;
    assert_eq!(refused.expect("an answer").status, 413);
    let pid = world.process("bakehouse").pid().expect("it runs");
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("its threads");
    let names = tasks.flatten().filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm"));
        name.ok()
    });
    let names: Vec<String> = names.collect();
    let workers = names
        .iter()
        .filter(|name| name.starts_with("actix-server wo"))
        .count();
    assert_eq!(workers, 3, "{names:?}");
    let log = world.final_logs().expect("it ends");
    let line = log.lines().next().expect("a line");
    assert!(
        serde_json::from_str::<Value>(line).is_err(),
        "not JSON: {line}"
    );

    // With the format `json` every line is JSON.
    let mut world = start(&[("BAKEHOUSE_LOG__FORMAT", "json")]).await;
    let log = world.final_logs().expect("it ends");
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON");
        assert!(line["level"].is_string(), "{line}");
    }
}

/// Errors at exit have the format of log lines, once the service has started logging.
#[test]
fn errors_at_exit_have_the_format_that_is_set() {
    let end = |settings: &[(&str, &str)]| {
        let folder = tempfile::TempDir::new().expect("a folder");
        let mut command = command("bakehouse");
        command.envs(settings.iter().copied());
        let output = command.current_dir(folder.path()).output();
        let output = output.expect("it runs");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().last().unwrap_or_default().to_owned();
        (output.status.code(), line)
    };
    let folder = ("BAKEHOUSE_DATA_DIR", "/proc/nowhere");
    for format in ["json", "auto"] {
        let (code, line) = end(&[folder, ("BAKEHOUSE_LOG__FORMAT", format)]);
        assert_eq!(code, Some(1), "{line}");
        let line: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(line["level"], "ERROR");
        assert_eq!(line["service"], "bakehouse");
        let message = line["message"].as_str().expect("a message");
        assert!(message.contains("/proc/nowhere"), "{message}");
    }
    let (code, line) = end(&[folder, ("BAKEHOUSE_LOG__FORMAT", "human")]);
    assert_eq!(code, Some(1), "{line}");
    assert!(line.starts_with("bakehouse: "), "{line}");
    let json = ("BAKEHOUSE_LOG__FORMAT", "json");
    let (code, line) = end(&[json, ("BAKEHOUSE_HTTP__BIND", "nowhere")]);
    assert_eq!(code, Some(2), "{line}");
    assert!(line.starts_with("bakehouse: http.bind"), "{line}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_logged_where_that_is_set() {
    let correlation_id = "0190f5fe-0000-7000-8000-000000000001";
    let requests = async |settings: &[(&str, &str)]| {
        let mut world = start(settings).await;
        let client = world.client();
        let headers = [
            ("X-Correlation-Id", correlation_id),
            ("Authorization", "Bearer hunter2"),
        ];
        let missing = client
            .get_with("/order/hunter2?as_of=hunter2", &headers)
            .await;
        assert!(missing.expect("a response").status.is_client_error());
        client.get("/nowhere").await.expect("a response");
        let log = world.final_logs().expect("it ends");
        assert!(!log.contains("hunter2"), "{log}");
        let lines = log.lines();
        let lines = lines.map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
        let requests = lines.filter(|line| line["message"] == "request");
        requests.collect::<Vec<_>>()
    };
    assert_eq!(requests(&[]).await, Vec::<Value>::new());
    let logged = requests(&[("BAKEHOUSE_LOG__REQUESTS", "true")]).await;
    let order = logged.iter().find(|line| line["route"] == "/order/{id}");
    let order = order.unwrap_or_else(|| panic!("{logged:?}"));
    assert_eq!(order["level"], "INFO");
    assert_eq!(order["method"], "GET");
    let status = order["status"].as_u64().expect("a status");
    assert!((400..500).contains(&status), "{order}");
    let duration = order["duration_ms"].as_f64().expect("a duration");
    assert!(duration > 0.0, "{order}");
    assert_eq!(order["correlation_id"], correlation_id);
    let unknown = logged.iter().find(|line| line["route"] == "none");
    let unknown = unknown.unwrap_or_else(|| panic!("{logged:?}"));
    assert_eq!(unknown["status"], 404);
    assert!(unknown.get("correlation_id").is_none(), "{unknown}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn log_reads_are_limited_as_set() {
    // By default 32 reads of one client may be queued, so a burst of 24 is never refused.
    let burst = async |world: &World| {
        let client = world.client();
        let placed = client.post(ledger::order("one")).await.expect("an answer");
        client.settled(&placed).await.expect("a receipt");
        let path = format!("{}/history", placed.header("location"));
        let reads = (0..24).map(|_| client.get(&path));
        let answers = join_all(reads).await;
        let statuses = answers
            .into_iter()
            .map(|answer| answer.expect("an answer").status.as_u16());
        statuses.collect::<Vec<_>>()
    };
    let by_default = start(&[]).await;
    assert_eq!(burst(&by_default).await, [200; 24]);
    let strict = start(&[("BAKEHOUSE_HTTP__MAX_LOG_READS", "1")]).await;
    for _ in 0..200 {
        let statuses = burst(&strict).await;
        let is_known = |status: &u16| [200, 429].contains(status);
        assert!(statuses.iter().all(is_known), "{statuses:?}");
        if statuses.contains(&429) {
            return;
        }
    }
    panic!("no read was ever refused");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_are_checked_as_set() {
    let issuer = Issuer::new().expect("an issuer");
    let base = issuer.settings(&issuer.file().display().to_string());
    let with = |more: &[(&'static str, &str)]| {
        let more = more
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()));
        base.iter().cloned().chain(more).collect::<Vec<_>>()
    };
    let read = async |settings: Vec<(&str, String)>, token: &str| {
        let world = World::start_with(Kind::Embedded, &settings).await;
        let world = world.expect("it starts");
        let headers = [("Authorization", bearer(token))];
        let headers = [("Authorization", headers[0].1.as_str())];
        let answer = world.client().get_with("/order", &headers).await;
        let answer = answer.expect("an answer");
        (answer.status.as_u16(), answer.json()["reason"].clone())
    };
    let good = issuer.token("ada", "orders:read").expect("a token");
    // The token is signed with EdDSA.
    let algorithms = [("BAKEHOUSE_AUTH__ALGORITHMS", "RS256,ES256")];
    assert_eq!(
        read(with(&algorithms), &good).await,
        (401, json!("algorithm"))
    );
    let mut expired = claims("ada", "orders:read");
    expired["exp"] = json!(expired["iat"].as_u64().expect("a time") - 600);
    let expired = issuer.sign(&expired).expect("a token");
    assert_eq!(read(with(&[]), &expired).await, (401, json!("expired")));
    let leeway = [("BAKEHOUSE_AUTH__LEEWAY", "1h")];
    assert_eq!(read(with(&leeway), &expired).await.0, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unauthenticated_sockets_are_limited_as_set() {
    let issuer = Issuer::new().expect("an issuer");
    let mut settings = issuer.settings(&issuer.file().display().to_string());
    settings.push(("BAKEHOUSE_FEED__MAX_UNAUTHENTICATED_PER_CLIENT", "1".into()));
    let world = World::start_with(Kind::Embedded, &settings).await;
    let world = world.expect("it starts");
    // The socket opened to check readiness may not have been released yet.
    let first = std::cell::RefCell::new(None);
    let opens = async || {
        let opened = world.feed("").await.ok();
        let is_open = opened.is_some();
        *first.borrow_mut() = opened;
        is_open
    };
    wait(TIMEOUT, "a socket", opens).await.expect("opened");
    let second = world.feed("").await.err().expect("refused").to_string();
    assert!(second.contains("429"), "{second}");
}

/// Checks that the region is part of the signature of requests to S3.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn s3_requests_use_the_region_that_is_set() {
    let bucket = Receiver::start().await.expect("it listens");
    let settings = [
        ("BAKEHOUSE_ATTACHMENTS__STORE", "s3://files"),
        (
            "BAKEHOUSE_ATTACHMENTS__S3_ENDPOINT",
            bucket.url.trim_end_matches('/'),
        ),
        ("BAKEHOUSE_ATTACHMENTS__S3_REGION", "eu-central-1"),
        ("BAKEHOUSE_ATTACHMENTS__S3_ACCESS_KEY_ID", "tester"),
        (
            "BAKEHOUSE_ATTACHMENTS__S3_SECRET_ACCESS_KEY",
            "a-secret-for-tests",
        ),
    ];
    let mut world = World::prepare(Kind::Embedded, None, &settings).expect("a world");
    world.start_all().expect("it starts");
    let client = world.client();
    // Readiness writes to the bucket.
    let is_signed = async || {
        let _ = client.get("/health/ready").await;
        let signed = bucket.received();
        let mut signed = signed
            .iter()
            .map(|request| request.header("authorization").to_owned());
        signed.any(|value| value.contains("/eu-central-1/s3/aws4_request"))
    };
    let outcome = wait(TIMEOUT, "a signed request", is_signed).await;
    assert!(outcome.is_ok(), "{}", world.logs());
}

/// Checks that damage in pages of the store's file that nothing reads is found.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn store_integrity_is_checked_as_often_as_set() {
    let mut world = start(&[]).await;
    let client = world.client();
    for number in 0..40 {
        let placed = client.post(ledger::order(&format!("{number}"))).await;
        client
            .settled(&placed.expect("an answer"))
            .await
            .expect("a receipt");
    }
    // A clean shutdown moves the WAL into the main file.
    world.stop_all().expect("it ends");
    let file = world.folder().join("data/bakehouse.db");
    let settings = [("BAKEHOUSE_HEALTH__INTEGRITY_INTERVAL", "100ms")];
    world.set(settings[0].0, settings[0].1);
    world.begin().await.expect("it starts");
    damage(&file);
    let is_found = async || {
        let answer = client.get("/health/ready").await.expect("an answer");
        answer.status == 503 && answer.json().to_string().contains("damage")
    };
    let outcome = wait(TIMEOUT, "a report of the damage", is_found).await;
    assert!(outcome.is_ok(), "{}", world.logs());
}

/// Overwrites the second half of the file's pages, except the last page.
fn damage(file: &Path) {
    use std::os::unix::fs::FileExt;
    let opened = fs::File::options().write(true).open(file).expect("a file");
    let size = opened.metadata().expect("a size").len();
    let (from, to) = (size / 2 / 4096, size / 4096 - 1);
    for page in from..to {
        opened
            .write_all_at(&[0xa5; 4096], page * 4096)
            .expect("written");
    }
}

/// Checks that no more than the configured number of webhooks are sent at the same time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_deliveries_are_limited_as_set() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", listener.local_addr().expect("an address"));
    let settings = [
        ("BAKEHOUSE_WEBHOOK__URLS", url.as_str()),
        (
            "BAKEHOUSE_WEBHOOK__SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        ),
        ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true"),
        ("BAKEHOUSE_NOTIFY__CONCURRENCY", "1"),
        ("BAKEHOUSE_NOTIFY__TIMEOUT", "60s"),
    ];
    let world = start(&settings).await;
    let client = world.client();
    for number in 0..6 {
        let placed = client.post(ledger::order(&format!("{number}"))).await;
        client
            .settled(&placed.expect("an answer"))
            .await
            .expect("a receipt");
    }
    for _ in 0..6 {
        let accepted = tokio::time::timeout(TIMEOUT, listener.accept()).await;
        let (mut socket, _) = accepted.expect("a delivery").expect("a connection");
        let another = tokio::time::timeout(Duration::from_millis(700), listener.accept()).await;
        assert!(another.is_err(), "two deliveries at the same time");
        let mut request = [0; 8192];
        let _ = socket.read(&mut request).await.expect("a request");
        let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
        socket.write_all(answer).await.expect("answered");
    }
}

/// Checks that the token is sent to the feed, and that its file is read for each connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_remote_feed_is_read_with_a_token() {
    let hook = Receiver::start().await.expect("it listens");
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("token");
    fs::write(&file, "first-token\n").expect("written");
    let feed = format!("{}users-events", hook.url);
    let mut world = World::prepare_domain(Kind::Embedded, &["posts"], "/posts-events");
    let world = world.as_mut().expect("a world");
    world.set("BAKEHOUSE_FOLLOW__USER__URL", &feed);
    world.set(
        "BAKEHOUSE_FOLLOW__USER__TOKEN_FILE",
        &file.display().to_string(),
    );
    world.set(
        "BAKEHOUSE_FOLLOW__COMMENT",
        &format!("{}comments-events", hook.url),
    );
    world.start_all().expect("it starts");
    for token in ["first-token", "second-token"] {
        fs::write(&file, token).expect("written");
        let presents = async || {
            let seen = hook.received();
            let expected = bearer(token);
            seen.iter()
                .any(|one| one.header("authorization") == expected)
        };
        let outcome = wait(TIMEOUT, token, presents).await;
        assert!(outcome.is_ok(), "{}", world.logs());
    }
}
