//! Limits of the feed: allowed origins, number of subscribers, and the buffer of a subscriber that
//! does not read.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bakehouse_e2e::{Feed, Kind, World, in_both_worlds};
use serde_json::{Value, json};
use socket2::SockRef;

in_both_worlds!(
    foreign_origins_and_excess_subscribers_are_refused,
    a_subscriber_that_does_not_read_is_disconnected,
);

/// Size in bytes of the receive buffer of a client that does not read.
const RECEIVE_BUFFER: usize = 64 * 1024;

async fn foreign_origins_and_excess_subscribers_are_refused(kind: Kind) {
    let settings = [
        ("BAKEHOUSE_FEED__MAX_SUBSCRIBERS_PER_CLIENT", "2".to_owned()),
        (
            "BAKEHOUSE_HTTP__CORS_ORIGINS",
            "https://shop.example".to_owned(),
        ),
    ];
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let handshake = |origin: &str| status_of(open_socket(&world.base, origin, None));
    assert_eq!(handshake("https://evil.example"), 403);
    assert_eq!(handshake("null"), 403);
    assert_eq!(handshake("https://shop.example"), 101);
    assert_eq!(handshake(&world.base), 101);
    let opens = async || Feed::open(&world.base, "").await;
    let limit = Duration::from_secs(10);
    // Waits until the server has noticed that the sockets above are closed.
    let is_free = async || opens().await.is_ok();
    bakehouse_e2e::world::wait(limit, "a free slot", is_free)
        .await
        .expect("a free slot");
    let mut kept = Vec::new();
    let until = Instant::now() + limit;
    while kept.len() < 2 && Instant::now() < until {
        kept.extend(opens().await);
    }
    assert_eq!(kept.len(), 2);
    let refused = opens().await.err().expect("a refusal").to_string();
    assert!(refused.contains("429"), "{refused}");
    kept.pop();
    bakehouse_e2e::world::wait(limit, "a free slot", is_free)
        .await
        .expect("a free slot");
}

/// Checks that frames for a client that has stopped reading are not buffered without bound.
async fn a_subscriber_that_does_not_read_is_disconnected(kind: Kind) {
    let ring = [("BAKEHOUSE_FEED__BUFFER_FRAMES", "64".to_owned())];
    let world = World::start_with(kind, &ring).await.expect("it starts");
    // A small receive buffer, so that few unread bytes stay on the client's side.
    let mut idle = open_socket(&world.base, &world.base, Some(RECEIVE_BUFFER));
    let client = world.client();
    // Some 100 KiB each, more than any buffer in between holds.
    let name = "x".repeat(190);
    let products: Vec<Value> = (0..250)
        .map(|_| json!({ "name": name, "price": "1" }))
        .collect();
    let large = json!({ "products": products }).to_string();
    for _ in 0..120 {
        let placed = client.post(large.clone()).await.expect("an answer");
        assert_eq!(placed.status, 202);
    }
    // A subscriber that reads gets all frames meanwhile.
    let mut reader = world.feed("since=0").await.expect("a subscription");
    let frames = reader.events_up_to(120).await.expect("events");
    let sent: usize = frames.iter().map(|frame| frame.to_string().len()).sum();
    let reading = tokio::task::spawn_blocking(move || {
        std::thread::sleep(Duration::from_secs(2));
        idle.set_read_timeout(Some(Duration::from_secs(30)))
            .expect("set");
        let mut all = Vec::new();
        // A reset counts as an end.
        let _ = idle.read_to_end(&mut all);
        all
    });
    let all = reading.await.expect("it reads");
    let text = String::from_utf8_lossy(&all);
    assert!(text.contains(r#""code":4008"#), "{} bytes", all.len());
    // Only the contents of the sockets' buffers and of frames in flight arrive.
    assert!(
        all.len() < sent / 2,
        "{} of {sent} bytes were buffered",
        all.len()
    );
}

/// Sends a websocket handshake with this `Origin`, on a socket with this receive buffer in bytes.
fn open_socket(base: &str, origin: &str, receive_buffer: Option<usize>) -> TcpStream {
    let host = base.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).expect("a connection");
    if let Some(bytes) = receive_buffer {
        SockRef::from(&stream)
            .set_recv_buffer_size(bytes)
            .expect("set");
    }
    let handshake = format!(
        "GET /order-events HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\
         Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n"
    );
    stream.write_all(handshake.as_bytes()).expect("sent");
    stream
}

/// Reads the status of the response.
fn status_of(mut stream: TcpStream) -> u16 {
    let limit = Some(Duration::from_secs(30));
    stream.set_read_timeout(limit).expect("set");
    let mut line = [0; "HTTP/1.1 101".len()];
    stream.read_exact(&mut line).expect("a status line");
    let line = String::from_utf8_lossy(&line);
    let status = line.strip_prefix("HTTP/1.1 ").expect("HTTP");
    status.parse().expect("a status")
}
