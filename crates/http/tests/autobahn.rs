//! Websockets as the Autobahn test suite knows them: every case but those on
//! compression, which we do not offer, against a server that echoes.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::time::Duration;

use actix_web::body::{BodyStream, BoxBody};
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use bakehouse_dev_servers::python;
use bakehouse_dev_servers::skipped::skip;
use bakehouse_http::websocket::{Incoming, Limits, Messages, Rate, frame, upgrade};
use bytes::Bytes;
use futures_util::stream;
use serde_json::{Value, json};

/// More than the suite sends.
const UNLIMITED: Rate = Rate {
    burst: u32::MAX,
    per_second: u32::MAX,
};
/// As long as the suite's longest.
const LIMITS: Limits = Limits {
    max_message_bytes: 32 * 1024 * 1024,
    max_fragments: u32::MAX,
    control_frames: UNLIMITED,
    messages: UNLIMITED,
};

async fn echo(request: HttpRequest, payload: web::Payload) -> actix_web::Result<HttpResponse> {
    let (response, messages) =
        upgrade(&request, payload, LIMITS).map_err(actix_web::error::ErrorBadRequest)?;
    let answers = stream::unfold(Some(messages), answer);
    let body = BodyStream::new(answers);
    Ok(response.set_body(BoxBody::new(body)))
}

type Answer = Result<Bytes, Infallible>;

async fn answer(messages: Option<Messages>) -> Option<(Answer, Option<Messages>)> {
    let mut messages = messages?;
    loop {
        let (bytes, is_last) = match messages.next().await {
            Incoming::Text(text) => (frame::text(&text), false),
            Incoming::Binary(bytes) => (frame::binary(&bytes), false),
            Incoming::Ping(payload) => (frame::pong(&payload), false),
            Incoming::Pong => continue,
            Incoming::Close(Some(code)) => (frame::close(code, ""), true),
            Incoming::Close(None) => (frame::close_without_reason(), true),
            Incoming::Violation(violation) => {
                let (code, why) = violation.close();
                (frame::close(code, why), true)
            }
            Incoming::Disconnected => return None,
        };
        return Some((Ok(bytes), (!is_last).then_some(messages)));
    }
}

/// An echo on a port of its own, for as long as the test runs.
fn start() -> u16 {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        actix_web::rt::System::new().block_on(async move {
            let server = HttpServer::new(|| App::new().default_service(web::to(echo)))
                .workers(1)
                .client_disconnect_timeout(Duration::from_millis(600))
                .bind("127.0.0.1:0")
                .expect("a free port");
            sender
                .send(server.addrs()[0].port())
                .expect("the test waits");
            server.run().await.expect("it runs");
        });
    });
    receiver.recv().expect("a port")
}

/// Cases of the suite without those that are left out.
const CASES: usize = 301;
/// Cases that a server passes otherwise than by the strictest reading, with the suite's word.
const NOT_STRICT: &[(&str, &str)] = &[
    ("6.4.3", "NON-STRICT"),
    ("6.4.4", "NON-STRICT"),
    ("7.1.6", "INFORMATIONAL"),
    ("7.13.1", "INFORMATIONAL"),
    ("7.13.2", "INFORMATIONAL"),
];

/// The suite's verdict on each case; `None` without the suite.
fn report(folder: &Path, port: u16) -> Option<BTreeMap<String, Value>> {
    let spec = json!({
        "outdir": folder,
        "servers": [{ "agent": "echo", "url": format!("ws://127.0.0.1:{port}") }],
        "cases": ["*"],
        // Compression.
        "exclude-cases": ["12.*", "13.*"],
        "exclude-agent-cases": {},
    });
    let file = folder.join("spec.json");
    std::fs::write(&file, spec.to_string()).expect("written");
    let Some(mut suite) = python::autobahn().expect("the suite") else {
        skip("Python 2.7");
        return None;
    };
    let output = suite
        .args(["-m", "fuzzingclient", "-s"])
        .arg(&file)
        .current_dir(folder)
        .output()
        .expect("it starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let index = std::fs::read_to_string(folder.join("index.json")).expect("a report");
    let index: Value = serde_json::from_str(&index).expect("JSON");
    Some(serde_json::from_value(index["echo"].clone()).expect("cases"))
}

#[test]
fn the_suite_finds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let Some(cases) = report(folder.path(), start()) else {
        return;
    };
    let with = |member: &str, fine: &[&str]| -> Vec<(String, String)> {
        let verdicts = cases.iter().map(|(id, case)| (id, case[member].as_str()));
        let verdicts = verdicts.map(|(id, verdict)| (id.clone(), verdict.unwrap_or_default()));
        let others = verdicts.filter(|(_, verdict)| !fine.contains(verdict));
        others.map(|(id, verdict)| (id, verdict.into())).collect()
    };
    let other = with("behavior", &["OK"]);
    let other: Vec<(&str, &str)> = other.iter().map(|(id, it)| (&**id, &**it)).collect();
    assert_eq!(other, NOT_STRICT);
    // Some cases hang up half a second after the close has been answered. Where
    // that has just begun our server, whose clock ticks every half second, may
    // not have been first; how many those are is a matter of the machine.
    let unclean = with(
        "behaviorClose",
        &["OK", "INFORMATIONAL", "FAILED BY CLIENT"],
    );
    assert!(unclean.is_empty(), "{unclean:#?}");
    assert_eq!(cases.len(), CASES);
}

/// The connection ends even if the other side keeps its half open.
#[test]
fn the_connection_ends_after_the_close() {
    let mut stream = TcpStream::connect(("127.0.0.1", start())).expect("it listens");
    let handshake = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n\r\n";
    stream.write_all(handshake.as_bytes()).expect("sent");
    let mut answer = [0; 1_024];
    let size = stream.read(&mut answer).expect("an answer");
    assert!(answer[..size].starts_with(b"HTTP/1.1 101"));
    // Masked by zeroes: a message, and a close with 1000.
    stream
        .write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x'])
        .expect("sent");
    let size = stream.read(&mut answer).expect("an echo");
    assert_eq!(answer[..size], [0x81, 1, b'x']);
    // Far longer than the server gives its clients.
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .expect("set");
    stream
        .write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xe8])
        .expect("sent");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("an orderly end");
    assert_eq!(rest, [0x88, 2, 0x03, 0xe8]);
}
