//! Access control beyond the matrix of `authorisation`: owners, rotated keys, rate limits, and
//! pages of other origins.

use std::time::Duration;

use bakehouse_e2e::issuer::{bearer, claims};
use bakehouse_e2e::{Answer, Client, Feed, Issuer, Kind, World, in_both_worlds, ledger, world};
use hyper::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

in_both_worlds!(
    owners_see_and_change_only_their_own_orders,
    keys_are_rotated,
    a_feed_ends_with_its_token,
    requests_are_limited_by_principal,
);

const READ_AND_WRITE: &str = "orders:read orders:write";

/// Starts a system that trusts an issuer.
async fn start(kind: Kind, issuer: &Issuer, more: &[(&'static str, &str)]) -> World {
    let mut settings = issuer.settings(&issuer.file().display().to_string());
    settings.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    World::start_with(kind, &settings).await.expect("it starts")
}

/// Sends a request with a bearer token, unless the token is empty.
async fn send(client: &Client, token: &str, method: &Method, path: &str, body: &str) -> Answer {
    let authorization = bearer(token);
    let mut headers = vec![("Content-Type", "application/json")];
    if !token.is_empty() {
        headers.push(("Authorization", &authorization));
    }
    let answer = client
        .send(method.clone(), path, &headers, body.to_owned())
        .await;
    answer.expect("an answer")
}

/// Places an order and waits until it is baked. Returns the paths of the order and its operation.
async fn place(client: &Client, token: &str, reference: &str) -> (String, String) {
    let accepted = send(
        client,
        token,
        &Method::POST,
        "/order",
        &ledger::order(reference),
    )
    .await;
    assert_eq!(accepted.status, 202);
    let authorization = bearer(token);
    let wait = [
        ("Prefer", "wait=20"),
        ("Authorization", authorization.as_str()),
    ];
    let operation = accepted.header("operation-location").to_owned();
    let receipt = client.get_with(&operation, &wait).await.expect("an answer");
    assert_eq!(receipt.json()["status"], "baked");
    (accepted.header("location").to_owned(), operation)
}

async fn owners_see_and_change_only_their_own_orders(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let more = [("BAKEHOUSE_AUTH__OWNER_CLAIM", "tenant")];
    let world = start(kind, &issuer, &more).await;
    let client = world.client();
    let token = |subject: &str, tenant: Option<&str>, scope: &str| {
        let mut claims = claims(subject, scope);
        claims["tenant"] = json!(tenant);
        issuer.sign(&claims).expect("a token")
    };
    let ada = token("ada", Some("north"), READ_AND_WRITE);
    let colleague = token("eve", Some("north"), READ_AND_WRITE);
    let bob = token("bob", Some("south"), READ_AND_WRITE);
    let admin = token("root", None, "orders:admin");
    let without_tenant = token("zoe", None, READ_AND_WRITE);
    assert_eq!(
        send(&client, &without_tenant, &Method::GET, "/order", "")
            .await
            .status,
        403
    );
    let (order, _) = place(&client, &ada, "one").await;
    place(&client, &bob, "two").await;
    place(&client, &colleague, "three").await;
    let paid = format!("{order}/status");
    let accepted = send(
        &client,
        &colleague,
        &Method::PUT,
        &paid,
        r#"{"status":"paid"}"#,
    )
    .await;
    assert_eq!(accepted.status, 202);
    let references = async |token: &str| {
        let list = send(&client, token, &Method::GET, "/order", "")
            .await
            .json();
        let list = list.as_array().expect("an array").clone();
        let references = list
            .iter()
            .map(|order| order["reference"].as_str().map(str::to_owned));
        references.collect::<Option<Vec<_>>>().expect("references")
    };
    assert_eq!(references(&ada).await, ["three", "one"]);
    assert_eq!(references(&bob).await, ["two"]);
    assert_eq!(references(&admin).await, ["three", "two", "one"]);
    let positions = async |token: &str| {
        let feed = Feed::open_with(&world.base, "since=0", Some(token)).await;
        let mut feed = feed.expect("a subscription");
        let mut seen = Vec::new();
        loop {
            let frame = feed.frame().await.expect("a frame");
            if frame["type"] == "live" {
                return seen;
            }
            seen.extend(
                frame["position"]
                    .as_u64()
                    .filter(|_| frame["order"].is_object()),
            );
        }
    };
    let done = async || positions(&admin).await.len() == 4;
    world::wait(Duration::from_secs(20), "payment", done)
        .await
        .expect("paid");
    assert_eq!(positions(&ada).await, [1, 3, 4]);
    assert_eq!(positions(&bob).await, [2]);
    let history = send(&client, &ada, &Method::GET, &format!("{order}/history"), "")
        .await
        .json();
    assert_eq!(
        (&history[0]["actor"], &history[1]["actor"]),
        (&json!("ada"), &json!("eve"))
    );
    // Idempotency keys are scoped to the principal.
    let authorizations = [bearer(&ada), bearer(&bob)];
    let mut locations = Vec::new();
    for authorization in &authorizations {
        let headers = [
            ("Content-Type", "application/json"),
            ("Idempotency-Key", "k"),
            ("Authorization", authorization.as_str()),
        ];
        let body = ledger::order("keyed");
        let answer = client
            .send(Method::POST, "/order", &headers, body)
            .await
            .expect("an answer");
        assert_eq!(answer.status, 202);
        locations.push(answer.header("location").to_owned());
    }
    assert_ne!(locations[0], locations[1]);
}

async fn keys_are_rotated(kind: Kind) {
    let mut issuer = Issuer::new().expect("an issuer");
    let from_file = issuer.file().display().to_string();
    let from_url = issuer.serve().await.expect("it listens");
    for keys in [from_file, from_url] {
        let mut settings = issuer.settings(&keys);
        settings.push(("BAKEHOUSE_AUTH__JWKS_CACHE_TTL", "1s".into()));
        let world = World::start_with(kind, &settings).await.expect("it starts");
        let client = world.client();
        let old = issuer.token("ada", READ_AND_WRITE).expect("a token");
        let reads = async |token: &str, status: u16| {
            let answer = send(&client, token, &Method::GET, "/order", "").await;
            answer.status == status
        };
        assert!(reads(&old, 200).await);
        issuer.rotate().expect("a new key");
        let new = issuer.token("ada", READ_AND_WRITE).expect("a token");
        let limit = Duration::from_secs(10);
        world::wait(limit, "the new key", async || reads(&new, 200).await)
            .await
            .expect("the new key is used");
        world::wait(limit, "end of the old", async || reads(&old, 401).await)
            .await
            .expect("the old key is refused");
    }
}

async fn a_feed_ends_with_its_token(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let world = start(kind, &issuer, &[]).await;
    let mut claims = claims("ada", READ_AND_WRITE);
    claims["exp"] = json!(claims["iat"].as_u64().expect("a time") + 4);
    let token = issuer.sign(&claims).expect("a token");
    let open = async || Feed::open_with(&world.base, "", Some(&token)).await;
    let mut feed = open().await.expect("a subscription");
    assert_eq!(feed.end().await.0, 4005);
    // The token is still accepted for some seconds, since clocks may differ.
    let mut again = open().await.expect("a subscription");
    let end = tokio::time::timeout(Duration::from_secs(1), again.end()).await;
    assert!(end.is_err(), "{end:?}");
}

async fn requests_are_limited_by_principal(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let limits = [
        ("BAKEHOUSE_HTTP__RATE_LIMIT", "1"),
        ("BAKEHOUSE_HTTP__RATE_BURST", "5"),
    ];
    let world = start(kind, &issuer, &limits).await;
    let client = world.client();
    let ada = issuer.token("ada", READ_AND_WRITE).expect("a token");
    let bob = issuer.token("bob", READ_AND_WRITE).expect("a token");
    let mut refused = None;
    for _ in 0..10 {
        let answer = send(&client, &ada, &Method::GET, "/order", "").await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status, 200);
    }
    let refused = refused.expect("a request over the limit");
    let wait: u64 = refused.header("retry-after").parse().expect("seconds");
    assert!((1..=2).contains(&wait));
    assert_eq!(refused.header("content-type"), "application/problem+json");
    assert_eq!(
        send(&client, &bob, &Method::GET, "/order", "").await.status,
        200
    );
    assert_eq!(
        client.get("/health/live").await.expect("an answer").status,
        200
    );
    tokio::time::sleep(Duration::from_secs(wait)).await;
    assert_eq!(
        send(&client, &ada, &Method::GET, "/order", "").await.status,
        200
    );
}

/// Browsers send a body without a type without a preflight request. If no token is required, only
/// the check of the origin keeps other pages from placing orders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_other_origins_cannot_write() {
    let shop = "https://shop.example";
    let origins = [("BAKEHOUSE_HTTP__CORS_ORIGINS", shop.to_owned())];
    let world = World::start_with(Kind::Embedded, &origins).await;
    let world = world.expect("it starts");
    let client = world.client();
    let place = async |origin: &str| {
        let headers = [("Origin", origin)];
        let answer = client.send(Method::POST, "/order", &headers, ledger::order("page"));
        answer.await.expect("an answer")
    };
    for origin in ["https://evil.example", "null"] {
        let answer = place(origin).await;
        assert_eq!(answer.status, 403, "{origin}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    assert_eq!(place(shop).await.status, 202);
    assert_eq!(place(&world.base).await.status, 202);
    let foreign = [("Origin", "https://evil.example")];
    let read = client.get_with("/order", &foreign).await;
    assert_eq!(read.expect("an answer").status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_of_allowed_origins_use_the_api() {
    let issuer = Issuer::new().expect("an issuer");
    let origins = [(
        "BAKEHOUSE_HTTP__CORS_ORIGINS",
        "https://shop.example,https://b.example",
    )];
    let world = start(Kind::Embedded, &issuer, &origins).await;
    let client = world.client();
    let ask = async |origin: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", "PUT"),
            (
                "Access-Control-Request-Headers",
                "authorization,if-match,idempotency-key",
            ),
        ];
        let answer = client.send(Method::OPTIONS, "/order/1", &headers, "").await;
        answer.expect("an answer")
    };
    let allowed = ask("https://shop.example").await;
    assert_eq!(allowed.status, 200);
    assert_eq!(
        allowed.header("access-control-allow-origin"),
        "https://shop.example"
    );
    assert!(
        allowed
            .header("access-control-allow-methods")
            .contains("PUT")
    );
    let other = ask("https://evil.example").await;
    assert_eq!(other.header("access-control-allow-origin"), "");
    // Refusals have CORS headers as well, so that the page can read them.
    let refused = client
        .get_with("/order", &[("Origin", "https://b.example")])
        .await;
    let refused = refused.expect("an answer");
    assert_eq!(refused.status, 401);
    assert_eq!(
        refused.header("access-control-allow-origin"),
        "https://b.example"
    );
    assert!(
        refused
            .header("access-control-expose-headers")
            .contains("operation-location")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slow_requests_time_out() {
    let limits = [
        ("BAKEHOUSE_HTTP__HEADER_TIMEOUT", "1s".to_owned()),
        ("BAKEHOUSE_HTTP__BODY_TIMEOUT", "1s".to_owned()),
    ];
    let world = World::start_with(Kind::Embedded, &limits)
        .await
        .expect("it starts");
    let send_slowly = async |head: &str| {
        let address = world.base.trim_start_matches("http://");
        let mut socket = TcpStream::connect(address).await.expect("it listens");
        socket.write_all(head.as_bytes()).await.expect("sent");
        let mut answer = Vec::new();
        let read = socket.read_to_end(&mut answer);
        let read = tokio::time::timeout(Duration::from_secs(10), read).await;
        read.expect("the connection is closed in time")
            .expect("read");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let head = send_slowly("GET /order HTTP/1.1\r\nhost: localhost\r\nx-slow: ").await;
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408"),
        "{head}"
    );
    let start = "POST /order HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    let body = send_slowly(&format!("{start}content-length: 100\r\n\r\n{{")).await;
    assert!(body.starts_with("HTTP/1.1 408"), "{body}");
    assert!(body.contains("urn:bakehouse:problem:timeout"), "{body}");
}
