//! Exposure of the API: allowed hosts, pages of other origins, and clients behind proxies.

use bakehouse_e2e::issuer::bearer;
use bakehouse_e2e::world::Servers;
use bakehouse_e2e::{
    Answer, Client, Feed, Issuer, Kind, Proxy, World, in_both_worlds, ledger, process,
};
use hyper::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

in_both_worlds!(
    only_known_hosts_are_served,
    links_are_right_behind_a_prefix,
    clients_behind_a_proxy_are_counted_one_by_one,
);

/// Sends the head of a request unchanged on a new connection. Returns status and complete text of
/// the answer.
async fn raw(base: &str, head: &str) -> (u16, String) {
    let address = base.trim_start_matches("http://");
    let mut socket = TcpStream::connect(address).await.expect("it listens");
    let head = format!("{head}\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = Vec::new();
    // A websocket stays open.
    let mut one = [0; 4096];
    loop {
        let count = socket.read(&mut one).await.unwrap_or(0);
        answer.extend_from_slice(&one[..count]);
        if count == 0 || answer.starts_with(b"HTTP/1.1 101") {
            break;
        }
    }
    let text = String::from_utf8_lossy(&answer).into_owned();
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    (status.unwrap_or(0), text)
}

async fn only_known_hosts_are_served(kind: Kind) {
    let hosts = "shop.example,*.dev.example".to_owned();
    let settings = [("BAKEHOUSE_HTTP__ALLOWED_HOSTS", hosts)];
    let mut world = World::start_with(kind, &settings).await.expect("it starts");
    let base = &world.base;
    let bound = base.trim_start_matches("http://");
    let get = async |host: &str, path: &str| {
        raw(base, &format!("GET {path} HTTP/1.1\r\nHost: {host}")).await
    };
    for host in [
        bound,
        "localhost",
        "LocalHost.:99",
        "[::1]",
        "[::ffff:127.0.0.1]:1",
        "127.9.9.9",
        "shop.example",
        "SHOP.example.:8443",
        "a.dev.example",
    ] {
        assert_eq!(get(host, "/order").await.0, 200, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "evil.localhost",
        "127.0.0.1.evil.example",
        "192.0.2.1",
        "[2001:db8::1]",
        "0.0.0.0",
        "dev.example",
        "shop.example.evil.example",
        "127.1",
        "2130706433",
    ] {
        let (status, text) = get(host, "/order").await;
        assert_eq!(status, 421, "{host}: {text}");
        assert!(
            text.contains("urn:bakehouse:problem:misdirected-request"),
            "{text}"
        );
        assert!(text.contains("http.allowed_hosts"), "{text}");
    }
    for host in [
        "",
        ":80",
        "localhost@evil.example",
        "user@localhost",
        "localhost/",
        "localhost:x",
        "localhost, evil.example",
        "::1",
        "[::1",
        "%6cocalhost",
        "l\u{f6}calhost",
    ] {
        assert_eq!(get(host, "/order").await.0, 400, "{host}");
    }
    for path in [
        "/",
        "/docs",
        "/docs/",
        "/page/app.js",
        "/openapi.json",
        "/health/live",
        "/health/ready",
        "/metrics",
        "/nothing",
        "/order-events",
    ] {
        assert_eq!(get("evil.example", path).await.0, 421, "{path}");
    }
    let body = ledger::order("rebound");
    let (length, json) = (body.len(), "Content-Type: application/json");
    let post = format!(
        "POST /order HTTP/1.1\r\nHost: evil.example\r\nOrigin: http://evil.example\r\n{json}\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    assert_eq!(raw(base, &post).await.0, 421);
    let socket = "GET /order-events HTTP/1.1\r\nHost: evil.example\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==";
    assert_eq!(raw(base, socket).await.0, 421);
    for (head, status) in [
        ("GET /order HTTP/1.1".to_owned(), 400),
        (
            "GET /order HTTP/1.1\r\nHost: localhost\r\nHost: localhost".to_owned(),
            400,
        ),
        (
            "GET /order HTTP/1.1\r\nHost: localhost\r\nHost: evil.example".to_owned(),
            400,
        ),
        // HTTP/1.0 without a host is no request of a browser.
        ("GET /order HTTP/1.0".to_owned(), 200),
        ("GET /order HTTP/1.0\r\nHost: evil.example".to_owned(), 421),
        (
            "GET http://localhost/order HTTP/1.1\r\nHost: localhost".to_owned(),
            200,
        ),
        (
            "GET http://evil.example/order HTTP/1.1\r\nHost: localhost".to_owned(),
            400,
        ),
        (
            "GET http://localhost/order HTTP/1.1\r\nHost: evil.example".to_owned(),
            400,
        ),
        (
            "GET http://evil.example/order HTTP/1.1\r\nHost: evil.example".to_owned(),
            421,
        ),
        ("GET http://evil.example/order HTTP/1.1".to_owned(), 400),
        (
            "GET http://a@localhost/order HTTP/1.1\r\nHost: localhost".to_owned(),
            400,
        ),
        // The client is not a trusted proxy.
        (
            format!("GET /order HTTP/1.1\r\nHost: evil.example\r\nX-Forwarded-Host: {bound}"),
            421,
        ),
        (
            format!("GET /order HTTP/1.1\r\nHost: {bound}\r\nX-Forwarded-Host: evil.example"),
            200,
        ),
    ] {
        let (found, text) = raw(base, &head).await;
        assert_eq!(found, status, "{head}: {text}");
    }
    let orders = world
        .client()
        .get("/order")
        .await
        .expect("an answer")
        .json();
    assert_eq!(orders, json!([]), "nothing was written");
    let logs = world.final_logs().expect("they end");
    let count = logs.matches("http.allowed_hosts").count();
    assert!((10..=20).contains(&count), "once a host: {count}");
}

/// Checks that hosts are not restricted if tokens are required: a page cannot make the browser add
/// a token.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_tokens_any_host_is_served() {
    let issuer = Issuer::new().expect("an issuer");
    let settings = issuer.settings(&issuer.file().display().to_string());
    let world = World::start_with(Kind::Embedded, &settings).await;
    let world = world.expect("it starts");
    let token = issuer.token("ada", "orders:read").expect("a token");
    let head = |host: &str| {
        let token = bearer(&token);
        format!("GET /order HTTP/1.1\r\nHost: {host}\r\nAuthorization: {token}")
    };
    assert_eq!(raw(&world.base, &head("shop.example")).await.0, 200);
    assert_eq!(raw(&world.base, &head("user@shop.example")).await.0, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cors_allows_documented_headers_and_names_the_setting() {
    let origins = "HTTPS://Shop.Example:443/,http://localhost:3000".to_owned();
    let settings = [("BAKEHOUSE_HTTP__CORS_ORIGINS", origins)];
    let world = World::start_with(Kind::Embedded, &settings).await;
    let mut world = world.expect("it starts");
    let client = world.client();
    let preflight = async |origin: &str, method: &str, headers: &str| {
        let headers = [
            ("Origin", origin),
            ("Access-Control-Request-Method", method),
            ("Access-Control-Request-Headers", headers),
        ];
        let answer = client.send(Method::OPTIONS, "/order", &headers, "").await;
        answer.expect("an answer")
    };
    let documented = "last-event-id,idempotency-key,if-match,if-none-match,prefer,\
        x-correlation-id,traceparent,cache-control,authorization,content-type";
    for origin in ["https://shop.example", "http://localhost:3000"] {
        let allowed = preflight(origin, "POST", documented).await;
        assert_eq!(allowed.status, 200);
        assert_eq!(allowed.header("access-control-allow-origin"), origin);
        for header in documented.split(',') {
            let headers = allowed.header("access-control-allow-headers");
            assert!(headers.contains(header), "{header}: {headers}");
        }
    }
    for _ in 0..3 {
        for origin in ["https://evil.example", "null", "http://shop.example"] {
            let refused = preflight(origin, "POST", "content-type").await;
            assert_eq!(refused.status, 403, "{origin}");
            assert_eq!(refused.header("access-control-allow-origin"), "");
            assert!(
                refused.json()["detail"]
                    .to_string()
                    .contains("http.cors_origins")
            );
        }
    }
    let other = preflight("https://shop.example", "PATCH", "").await;
    assert_eq!(other.status, 403);
    let other = preflight("https://shop.example", "POST", "x-other").await;
    assert!(other.json()["detail"].to_string().contains("x-other"));

    let page = [("Origin", "https://shop.example")];
    let read = client.get_with("/order", &page).await.expect("an answer");
    assert_eq!(
        read.header("access-control-allow-origin"),
        "https://shop.example"
    );
    assert!(read.header("vary").to_ascii_lowercase().contains("origin"));
    for header in [
        "location",
        "operation-location",
        "link",
        "etag",
        "retry-after",
        "www-authenticate",
        "preference-applied",
        "x-correlation-id",
    ] {
        let exposed = read.header("access-control-expose-headers");
        assert!(exposed.contains(header), "{header}: {exposed}");
    }
    let port = world.base.rsplit(':').next().expect("a port");
    let place = async |headers: &[(&str, &str)]| {
        let answer = client.send(Method::POST, "/order", headers, ledger::order("page"));
        answer.await.expect("an answer").status.as_u16()
    };
    for (headers, status) in [
        (&[("Origin", "http://shop.example")][..], 403),
        (&[("Origin", "https://shop.example:443")], 202),
        (&[("Origin", "null")], 403),
        (&[("Origin", &format!("https://127.0.0.1:{port}"))], 403),
        (&[("Origin", &format!("http://localhost:{port}"))], 403),
        (&[("Origin", &format!("http://127.0.0.1:{port}"))], 202),
        (&[("Sec-Fetch-Site", "cross-site")], 403),
        (&[("Sec-Fetch-Site", "same-site")], 403),
        (&[("Sec-Fetch-Site", "same-origin")], 202),
        (
            &[
                ("Sec-Fetch-Site", "cross-site"),
                ("Origin", "https://shop.example"),
            ],
            202,
        ),
    ] {
        assert_eq!(place(headers).await, status, "{headers:?}");
    }
    let logs = world.final_logs().expect("they end");
    for origin in ["https://evil.example", "null", "http://shop.example"] {
        let logged = format!("\"origin\":\"{origin}\"");
        assert_eq!(logs.matches(&logged).count(), 1, "{origin} once: {logs}");
    }
    assert!(logs.contains("http.cors_origins"), "{logs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_origin_without_tokens_needs_a_second_setting() {
    let any = ("BAKEHOUSE_HTTP__CORS_ORIGINS", "*".to_owned());
    let folder = tempfile::tempdir().expect("a folder");
    let refused = process::command("bakehouse")
        .env(any.0, &any.1)
        .env("BAKEHOUSE_DATA_DIR", folder.path())
        .output();
    let refused = refused.expect("it runs");
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{errors}");
    assert!(errors.contains("http.allow_any_origin"), "{errors}");
    let settings = [any, ("BAKEHOUSE_HTTP__ALLOW_ANY_ORIGIN", "true".to_owned())];
    let world = World::start_with(Kind::Embedded, &settings).await;
    let world = world.expect("it starts");
    let page = [("Origin", "https://any.example")];
    let answer = world.client().get_with("/order", &page).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.header("access-control-allow-origin"), "*");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn security_headers_are_sent() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    let check = |answer: &Answer, path: &str| {
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'"), "{path}: {policy}");
        assert!(
            policy.contains("frame-ancestors 'none'"),
            "{path}: {policy}"
        );
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), value, "{path}");
        }
    };
    for (path, status) in [
        ("/", 200),
        ("/page/app.js", 200),
        ("/docs", 301),
        ("/docs/", 200),
        ("/docs/swagger-ui.css", 200),
        ("/docs/nothing", 404),
        ("/openapi.json", 200),
        ("/asyncapi.json", 200),
        ("/order", 200),
        ("/order?limit=x", 400),
        ("/nothing", 404),
        ("/health/ready", 200),
        ("/metrics", 200),
        ("/order-events", 426),
    ] {
        let answer = client.get(path).await.expect("an answer");
        assert_eq!(answer.status.as_u16(), status, "{path}");
        check(&answer, path);
    }
    let accepted = client.post(ledger::order("one")).await.expect("an answer");
    assert_eq!(accepted.status, 202);
    check(&accepted, "POST /order");
    let host = [("Host", "evil.example")];
    let refused = client.get_with("/order", &host).await.expect("an answer");
    assert_eq!(refused.status, 421);
    check(&refused, "421");
    let head = client
        .send(Method::HEAD, "/docs/", &[], "")
        .await
        .expect("an answer");
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
}

/// Returns the path of a link below the prefix of the proxy; fails if the link is not below it.
fn below<'a>(proxy: &Proxy, link: &'a str) -> &'a str {
    let path = link.strip_prefix(proxy.base().as_str());
    path.unwrap_or_else(|| panic!("{link} is not below {}", proxy.base()))
}

async fn links_are_right_behind_a_prefix(kind: Kind) {
    let name = format!("e{}", uuid::Uuid::now_v7().simple());
    let servers = (kind == Kind::Servers).then(|| (name.as_str(), Servers::shared(&name)));
    let mut world = World::prepare(kind, servers, &[]).expect("prepared");
    let proxy = Proxy::start(&world.base, "/shop", &[("X-Forwarded-Proto", "http")]).await;
    let proxy = proxy.expect("a proxy");
    world.set("BAKEHOUSE_HTTP__PUBLIC_URL", &format!("{}/", proxy.base()));
    world.begin().await.expect("it starts");
    let client = Client::new(&proxy.base());
    for number in 0..3 {
        let accepted = client.post(ledger::order(&format!("r-{number}"))).await;
        let accepted = accepted.expect("an answer");
        assert_eq!(accepted.status, 202);
        let receipt = below(&proxy, accepted.header("operation-location"));
        let wait = [("Prefer", "wait=20")];
        let receipt = client.get_with(receipt, &wait).await.expect("an answer");
        assert_eq!(receipt.json()["status"], "baked");
        let order = below(&proxy, accepted.header("location"));
        assert_eq!(client.get(order).await.expect("an answer").status, 200);
    }
    let first = client.get("/order?limit=2").await.expect("an answer");
    let next = first.next_page().expect("a second page");
    let second = client.get(below(&proxy, &next)).await.expect("an answer");
    assert_eq!(second.json().as_array().map(Vec::len), Some(1));
    let redirect = client.get("/docs").await.expect("an answer");
    assert_eq!(below(&proxy, redirect.header("location")), "/docs/");
    let openapi = client.get("/openapi.json").await.expect("an answer").json();
    assert_eq!(openapi["servers"], json!([{ "url": proxy.base() }]));
    let asyncapi = client
        .get("/asyncapi.json")
        .await
        .expect("an answer")
        .json();
    let server: &Value = &asyncapi["servers"]["api"];
    let host = proxy.origin().replace("http://", "");
    assert_eq!(
        *server,
        json!({ "host": host, "pathname": "/shop", "protocol": "ws" })
    );
    let feed = Feed::open(&proxy.base(), "since=0").await;
    assert!(feed.is_ok(), "the feed, through the proxy");
    // Pages served through the proxy have the same origin as the API.
    let origin = proxy.origin();
    let headers = [("Origin", origin.as_str())];
    let placed = client
        .send(Method::POST, "/order", &headers, ledger::order("page"))
        .await;
    assert_eq!(placed.expect("an answer").status, 202);
    let direct = world.client();
    let placed = direct
        .send(Method::POST, "/order", &headers, ledger::order("page"))
        .await;
    assert_eq!(placed.expect("an answer").status, 202);
}

async fn clients_behind_a_proxy_are_counted_one_by_one(kind: Kind) {
    let settings = [
        ("BAKEHOUSE_HTTP__RATE_LIMIT", "1".to_owned()),
        ("BAKEHOUSE_HTTP__RATE_BURST", "3".to_owned()),
        (
            "BAKEHOUSE_HTTP__TRUSTED_PROXIES",
            "127.0.0.1,10.0.0.0/8".to_owned(),
        ),
    ];
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let ask = async |name: &str, value: &str| {
        let answer = client.get_with("/order", &[(name, value)]).await;
        answer.expect("an answer").status.as_u16()
    };
    let exhaust = async |name: &str, value: &str| {
        let mut count = 0;
        while ask(name, value).await == 200 {
            count += 1;
            assert!(count < 50, "{value} is never limited");
        }
    };
    // A separate client could send three requests.
    let is_limited = async |name: &str, value: &str| {
        for _ in 0..3 {
            if ask(name, value).await == 429 {
                return true;
            }
        }
        false
    };
    let plain = "X-Forwarded-For";
    exhaust(plain, "192.0.2.1").await;
    assert_eq!(ask(plain, "192.0.2.2").await, 200, "another client");
    exhaust(plain, "192.0.2.3").await;
    assert!(
        is_limited(plain, "6.6.6.6, 192.0.2.3").await,
        "a forged first address"
    );
    exhaust(plain, "192.0.2.6").await;
    assert!(
        is_limited(plain, "192.0.2.6, 10.0.0.7").await,
        "through two proxies"
    );
    exhaust(plain, "2001:db8:1:2::1").await;
    assert!(
        is_limited(plain, "2001:db8:1:2:ffff::9").await,
        "the same network"
    );
    assert_eq!(ask(plain, "2001:db8:1:3::1").await, 200, "another network");
    exhaust("Forwarded", "for=192.0.2.4;proto=https").await;
    assert!(is_limited("Forwarded", "for=\"192.0.2.4:80\"").await);
    assert_eq!(ask("Forwarded", "for=192.0.2.5").await, 200);
}
