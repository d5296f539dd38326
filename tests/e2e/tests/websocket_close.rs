//! Closing of websockets: whichever side closes, and whether or not the other side answers, the
//! connection ends with a close code that states the reason.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use bakehouse_e2e::{Kind, World, in_both_worlds};

use crate::connections::{close_code, frame, open};

in_both_worlds!(
    a_closed_websocket_ends_its_connection,
    a_client_that_answers_no_ping_is_disconnected,
);

/// Timeout for the end of a connection.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Reads until the server ends the connection, sending nothing; returns the close code.
fn read_close_code(mut stream: TcpStream) -> u16 {
    let until = Instant::now() + TIMEOUT;
    let step = Some(Duration::from_millis(100));
    stream.set_read_timeout(step).expect("set");
    let (mut all, mut buffer) = (Vec::new(), [0; 4_096]);
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return close_code(&all),
            Ok(size) => all.extend_from_slice(&buffer[..size]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) => panic!("no orderly end: {error}"),
        }
        let code = close_code(&all);
        assert!(Instant::now() < until, "it does not end after {code}");
    }
}

async fn a_closed_websocket_ends_its_connection(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let base = world.base.clone();
    tokio::task::spawn_blocking(move || {
        // Closed by the client with 1000; the frame is masked with zeroes.
        let mut stream = open(&base, "");
        let close = [0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8];
        stream.write_all(&close).expect("sent");
        assert_eq!(read_close_code(stream), 1000);
        // Closed by the server, and the client does not answer.
        let mut stream = open(&base, "");
        let nonsense = frame(0x81, "nonsense");
        stream.write_all(&nonsense).expect("sent");
        assert_eq!(read_close_code(stream), 4400);
    })
    .await
    .expect("it ends");
}

/// Checks that a client that reads but does not answer pings is disconnected.
async fn a_client_that_answers_no_ping_is_disconnected(kind: Kind) {
    let heartbeat = [("BAKEHOUSE_FEED__HEARTBEAT", "1s".to_owned())];
    let world = World::start_with(kind, &heartbeat)
        .await
        .expect("it starts");
    let base = world.base.clone();
    let ending = tokio::task::spawn_blocking(move || read_close_code(open(&base, "")));
    assert_eq!(ending.await.expect("it ends"), 4008);
}
