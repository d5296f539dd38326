//! Connections of hostile and unusual clients: bounded cost, error responses, and undisturbed
//! service of other clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bakehouse_e2e::{Feed, Issuer, Kind, World, in_both_worlds, ledger};
use serde_json::{Value, json};
use socket2::{Domain, Socket, Type};

in_both_worlds!(
    unsupported_upgrades_are_ignored,
    floods_on_a_websocket_are_ended,
    fragments_cost_no_more_than_their_message,
    connections_are_limited_by_address,
    unauthenticated_sockets_do_not_count_as_subscribers,
    positions_of_another_log_are_refused,
);

/// Timeout of an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);

fn connect(base: &str) -> TcpStream {
    let host = base.trim_start_matches("http://");
    let stream = TcpStream::connect(host).expect("a connection");
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("set");
    stream.set_nodelay(true).expect("set");
    stream
}

/// Reads until the bytes satisfy `is_enough` or the connection ends.
fn read_until(stream: &mut TcpStream, is_enough: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let mut all = Vec::new();
    let mut buffer = [0; 4_096];
    while !is_enough(&all) {
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => break,
            Ok(size) => all.extend_from_slice(&buffer[..size]),
        }
    }
    all
}

/// Reads one answer. Returns status line and headers in lower case, and the body.
fn answer(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    let mut byte = [0; 1];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).expect("a head");
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).expect("text").to_lowercase();
    let length = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length: "))
        .map_or(0, |length| length.trim().parse().expect("a length"));
    let mut body = vec![0; length];
    stream.read_exact(&mut body).expect("a body");
    (head, body)
}

// ---- upgrades ----

async fn unsupported_upgrades_are_ignored(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let base = world.base.clone();
    let order = ledger::order("upgrade");
    for upgrade in ["h2c", "websocket", "h2c, websocket", "TLS/1.0"] {
        let mut stream = connect(&base);
        let headers = format!(
            "Host: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {upgrade}\r\n\
             HTTP2-Settings: AAMAAABk\r\n"
        );
        let post = format!(
            "POST /order HTTP/1.1\r\n{headers}Content-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{order}",
            order.len()
        );
        // Both of two pipelined requests are answered.
        let get = "GET /order?limit=1 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stream
            .write_all(format!("{post}{get}").as_bytes())
            .expect("sent");
        let (head, _) = answer(&mut stream);
        assert!(head.starts_with("http/1.1 202"), "{upgrade}: {head}");
        assert!(!head.contains("upgrade"), "{upgrade}: {head}");
        let (head, body) = answer(&mut stream);
        assert!(head.starts_with("http/1.1 200"), "{upgrade}: {head}");
        serde_json::from_slice::<Value>(&body).expect("JSON");
        // A later request is answered as well, and its answer closes the connection.
        stream.write_all(post.as_bytes()).expect("sent");
        let (head, _) = answer(&mut stream);
        assert!(head.starts_with("http/1.1 202"), "{upgrade}: {head}");
        let is_last = head.contains("connection: close\r\n");
        assert!(is_last, "{upgrade}: {head}");
        let mut rest = Vec::new();
        stream.read_to_end(&mut rest).expect("an orderly end");
        assert!(rest.is_empty(), "{upgrade}");
    }
    // A handshake on a route other than the feed is an ordinary request.
    let mut stream = connect(&base);
    let get = format!(
        "GET /order?limit=1 HTTP/1.1\r\n{}",
        HANDSHAKE_HEADERS.replace("{version}", "13")
    );
    stream.write_all(get.as_bytes()).expect("sent");
    assert!(answer(&mut stream).0.starts_with("http/1.1 200"));
    for version in ["8", "14", ""] {
        let mut stream = connect(&base);
        stream
            .write_all(handshake("", version).as_bytes())
            .expect("sent");
        let (head, body) = answer(&mut stream);
        assert!(head.starts_with("http/1.1 426"), "{version}: {head}");
        assert!(head.contains("sec-websocket-version: 13\r\n"), "{head}");
        assert!(head.contains("upgrade: websocket\r\n"), "{head}");
        let problem: Value = serde_json::from_slice(&body).expect("JSON");
        assert_eq!(problem["type"], "urn:bakehouse:problem:upgrade-required");
    }
}

// ---- websockets ----

const HANDSHAKE_HEADERS: &str = "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                                 Sec-WebSocket-Version: {version}\r\n\
                                 Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";

fn handshake(query: &str, version: &str) -> String {
    let headers = HANDSHAKE_HEADERS.replace("{version}", version);
    format!("GET /order-events?{query} HTTP/1.1\r\n{headers}")
}

/// Opens a websocket and reads the response of the handshake.
pub(crate) fn open(base: &str, query: &str) -> TcpStream {
    let mut stream = connect(base);
    let request = handshake(query, "13");
    stream.write_all(request.as_bytes()).expect("sent");
    let (head, _) = answer(&mut stream);
    assert!(head.starts_with("http/1.1 101"), "{head}");
    stream
}

/// Returns a frame of a client, masked by zeroes.
pub(crate) fn frame(first: u8, payload: &str) -> Vec<u8> {
    let length = u8::try_from(payload.len()).expect("a short payload");
    assert!(length < 126);
    let mut bytes = vec![first, 0x80 | length, 0, 0, 0, 0];
    bytes.extend_from_slice(payload.as_bytes());
    bytes
}

/// Sends frames repeatedly until the server closes the connection. Returns the close code.
fn flood(stream: &mut TcpStream, frames: &[u8]) -> u16 {
    let mut writer = stream.try_clone().expect("a second handle");
    let frames = frames.repeat(50);
    let sending = std::thread::spawn(move || {
        let until = Instant::now() + ANSWER_TIMEOUT;
        while Instant::now() < until && writer.write_all(&frames).is_ok() {}
    });
    let all = read_until(stream, |_| false);
    // Ends sending if the server has not closed the connection.
    let _ = stream.shutdown(std::net::Shutdown::Both);
    sending.join().expect("it ends");
    close_code(&all)
}

/// Returns the code of the last close frame among a server's frames; 0 if there is none.
pub(crate) fn close_code(mut bytes: &[u8]) -> u16 {
    let mut code = 0;
    while let [first, second, rest @ ..] = bytes {
        let (length, rest) = match (second & 0x7f, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (127, _) => return code,
            (length, rest) => (usize::from(length), rest),
        };
        let Some((payload, next)) = rest.split_at_checked(length) else {
            return code;
        };
        if *first == 0x88
            && let [high, low, ..] = payload
        {
            code = u16::from_be_bytes([*high, *low]);
        }
        bytes = next;
    }
    code
}

async fn floods_on_a_websocket_are_ended(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let ping = frame(0x89, "x");
    let pong = frame(0x8a, "");
    let ours = frame(0x81, r#"{"type":"pong"}"#);
    let again = frame(0x81, r#"{"type":"subscribe","since":0}"#);
    let empty = frame(0x00, "");
    let base = world.base.clone();
    tokio::task::spawn_blocking(move || {
        for (what, frames, code) in [
            ("pings", ping, 1008),
            ("pongs", pong, 1008),
            ("messages", ours, 1008),
            ("subscribe frames", again, 4400),
        ] {
            assert_eq!(flood(&mut open(&base, ""), &frames), code, "{what}");
        }
        let mut endless = open(&base, "");
        endless.write_all(&frame(0x01, "{")).expect("sent");
        assert_eq!(flood(&mut endless, &empty), 1008, "empty fragments");
        // Other subscribers are served.
        let mut other = open(&base, "since=0");
        assert!(!read_until(&mut other, |all| all.len() > 20).is_empty());
    })
    .await
    .expect("it ends");
}

/// Returns the process id of the HTTP server.
fn server(world: &mut World) -> u32 {
    let name = match world.kind {
        Kind::Embedded => "bakehouse",
        Kind::Servers => "api-server",
    };
    world.process(name).pid().expect("it runs")
}

/// Returns the resident memory of a process in bytes.
fn resident(pid: u32) -> u64 {
    let status = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(status).expect("its status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().nth(1));
    let kilobytes: u64 = kilobytes
        .expect("a line")
        .parse()
        .expect("a number of kilobytes");
    kilobytes * 1024
}

/// Waits until the server has read everything sent before.
fn until_pong(stream: &mut TcpStream) {
    let pong = [0x8a, 4, b'd', b'o', b'n', b'e'];
    stream.write_all(&frame(0x89, "done")).expect("sent");
    let read = read_until(stream, |all| all.windows(pong.len()).any(|it| it == pong));
    assert!(!read.is_empty(), "the connection has ended");
}

/// Sends a message in the maximum number of one-byte fragments with pongs between them, each in a
/// separate packet, and compares memory with unfragmented messages.
async fn fragments_cost_no_more_than_their_message(kind: Kind) {
    const SOCKETS: usize = 100;
    const FRAGMENTS: usize = 51;
    let mut world = World::start(kind).await.expect("it starts");
    let (pid, base) = (server(&mut world), world.base.clone());
    tokio::task::spawn_blocking(move || {
        let sockets = || (0..SOCKETS).map(|_| open(&base, "")).collect();
        // The first connections allocate buffers that later ones reuse.
        let _warm: Vec<TcpStream> = sockets();
        let before = resident(pid);
        let mut whole: Vec<TcpStream> = sockets();
        for stream in &mut whole {
            let message = format!("{:FRAGMENTS$}", r#"{"type":"pong"}"#);
            stream.write_all(&frame(0x81, &message)).expect("sent");
            until_pong(stream);
        }
        let unfragmented = resident(pid).saturating_sub(before);
        let before = resident(pid);
        let mut in_pieces: Vec<TcpStream> = sockets();
        for stream in &mut in_pieces {
            stream.write_all(&frame(0x01, "{")).expect("sent");
        }
        for _ in 1..FRAGMENTS {
            for stream in &mut in_pieces {
                let both = [frame(0x00, " "), frame(0x8a, "")].concat();
                stream.write_all(&both).expect("it is allowed");
            }
        }
        in_pieces.iter_mut().for_each(until_pong);
        let fragmented = resident(pid).saturating_sub(before);
        println!("{SOCKETS} sockets: {unfragmented} bytes, in fragments {fragmented}");
        let limit = 2 * unfragmented + 4 * 1024 * 1024;
        assert!(
            fragmented <= limit,
            "{fragmented} bytes, not {unfragmented}"
        );
    })
    .await
    .expect("it ends");
}

// ---- limits by address ----

async fn connections_are_limited_by_address(kind: Kind) {
    let settings = [
        ("BAKEHOUSE_HTTP__MAX_CONNECTIONS", "100".to_owned()),
        (
            "BAKEHOUSE_HTTP__MAX_CONNECTIONS_PER_CLIENT",
            "50".to_owned(),
        ),
    ];
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let base = world.base.clone();
    tokio::task::spawn_blocking(move || {
        let get = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n";
        let ask = || {
            let mut stream = connect(&base);
            // A refused connection may be closed before the request is written.
            let _ = stream.write_all(get);
            let answer = read_until(&mut stream, |all| all.len() > 20);
            answer.starts_with(b"HTTP/1.1 200").then_some(stream)
        };
        // Each was accepted by the server; connections open before count as well.
        let kept: Vec<TcpStream> = (0..60).map_while(|_| ask()).collect();
        assert!((30..=50).contains(&kept.len()), "{}", kept.len());
        let mut refused = connect(&base);
        let (head, body) = answer(&mut refused);
        assert!(head.starts_with("http/1.1 429"), "{head}");
        assert!(head.contains("retry-after: "), "{head}");
        let problem: Value = serde_json::from_slice(&body).expect("JSON");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(
            detail.contains("http.max_connections_per_client"),
            "{detail}"
        );
        // Another address is served at once.
        let mut other = connect_from("127.0.0.2", &base);
        other.write_all(get).expect("sent");
        assert!(answer(&mut other).0.starts_with("http/1.1 200"));
        // This address is served again after it has closed its connections.
        drop(kept);
        let until = Instant::now() + ANSWER_TIMEOUT;
        while ask().is_none() {
            assert!(Instant::now() < until, "its connections still count");
            std::thread::sleep(Duration::from_millis(100));
        }
    })
    .await
    .expect("it ends");
}

/// Connects from another local address.
fn connect_from(address: &str, base: &str) -> TcpStream {
    let host = base.trim_start_matches("http://");
    let local: std::net::SocketAddr = format!("{address}:0").parse().expect("an address");
    let remote: std::net::SocketAddr = host.parse().expect("an address");
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&local.into()).expect("bound");
    socket.connect(&remote.into()).expect("a connection");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(ANSWER_TIMEOUT)).expect("set");
    stream
}

// ---- limits of subscribers ----

async fn unauthenticated_sockets_do_not_count_as_subscribers(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let mut settings = issuer.settings(&issuer.file().display().to_string());
    settings.extend([
        ("BAKEHOUSE_FEED__MAX_SUBSCRIBERS", "3".to_owned()),
        ("BAKEHOUSE_FEED__MAX_SUBSCRIBERS_PER_CLIENT", "1".to_owned()),
        ("BAKEHOUSE_FEED__MAX_UNAUTHENTICATED", "2".to_owned()),
    ]);
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let token = |who: &str| issuer.token(who, "orders:read").expect("a token");
    let _silent = [
        world.feed("").await.expect("a socket"),
        world.feed("").await.expect("a socket"),
    ];
    let third = world.feed("").await.err().expect("refused").to_string();
    assert!(third.contains("503"), "{third}");
    // A client with a token in the handshake becomes a subscriber.
    let ada = token("ada");
    let mut first = Feed::open_with(&world.base, "", Some(&ada))
        .await
        .expect("a subscription");
    assert_eq!(first.frame().await.expect("a frame")["type"], "welcome");
    // Silent sockets are closed after the authentication deadline. A client with a token in its
    // first frame counts as a subscriber from then on.
    let opens = async || world.feed("").await.is_ok();
    bakehouse_e2e::world::wait(ANSWER_TIMEOUT, "a free socket", opens)
        .await
        .expect("in time");
    let subscribe = |token: &str| json!({ "type": "subscribe", "token": token }).to_string();
    let mut second = world.feed("").await.expect("a socket");
    second.say(&subscribe(&ada)).await.expect("sent");
    let (code, last) = second.end().await;
    assert_eq!(code, 4001);
    let message = last["message"].as_str().expect("a message");
    assert!(message.contains("1 subscriptions"), "{message}");
    assert!(last["retry_after_ms"].is_number(), "{last}");
    let mut bob = world.feed("").await.expect("a socket");
    bob.say(&subscribe(&token("bob"))).await.expect("sent");
    assert_eq!(bob.frame().await.expect("a frame")["type"], "welcome");
}

// ---- logs ----

async fn positions_of_another_log_are_refused(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let placed = client.post(ledger::order("one")).await.expect("an answer");
    client.settled(&placed).await.expect("a receipt");
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let welcome = feed.frame().await.expect("a frame");
    let epoch = welcome["epoch"].as_str().expect("an epoch").to_owned();
    let base = world.base.clone();
    let log = epoch.clone();
    let (same, other, none) = tokio::task::spawn_blocking(move || {
        let events = |last: &str| {
            let mut stream = connect(&base);
            let request = format!(
                "GET /order-events?since=0 HTTP/1.1\r\nHost: localhost\r\n\
                 Accept: text/event-stream\r\nLast-Event-ID: {last}\r\n\r\n"
            );
            stream.write_all(request.as_bytes()).expect("sent");
            let is_enough = |all: &[u8]| {
                let text = String::from_utf8_lossy(all);
                text.contains("\"live\"") || text.contains("\"status\":4")
            };
            String::from_utf8(read_until(&mut stream, is_enough)).expect("text")
        };
        (events(&format!("{log}:1")), events("another:1"), events(""))
    })
    .await
    .expect("it ends");
    assert!(same.starts_with("HTTP/1.1 200"), "{same}");
    assert!(!same.contains("order.created"), "{same}");
    let head = same.to_lowercase();
    assert!(head.contains("cache-control: no-store, no-transform\r\n"));
    assert!(other.starts_with("HTTP/1.1 410"), "{other}");
    // An empty `Last-Event-ID` is ignored: the position of the query counts.
    assert!(none.contains("order.created"), "{none}");
    assert!(none.contains(&format!("id: {epoch}:1\n")), "{none}");
    let base = &world.base;
    let mut feed = Feed::open(base, "since=another:1").await.expect("a socket");
    assert_eq!(feed.end().await.0, 4010);
    let mut feed = Feed::open(base, "").await.expect("a socket");
    let again = r#"{"type":"subscribe","since":"another:1"}"#;
    feed.say(again).await.expect("sent");
    assert_eq!(feed.end().await.0, 4010);
}
