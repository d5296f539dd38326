//! The server of a service without HTTP of its own: health checks and metrics for the hosts that
//! are served, within bounds on connections and time; and problem documents for what is no
//! request, which all servers share.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bakehouse_engine::Shutdown;
use bakehouse_http::exposure::ExposureSettings;
use bakehouse_http::serve_health;

const LIMIT: Duration = Duration::from_secs(20);

/// A running server; ended when it is dropped.
struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    running: Option<JoinHandle<std::io::Result<()>>>,
}

impl Server {
    fn start(header_timeout: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        drop(listener);
        let shutdown = Shutdown::new();
        let settings = ExposureSettings {
            allowed_hosts: vec!["data-baker".to_owned()],
            ..ExposureSettings::default()
        };
        let running = std::thread::spawn({
            let shutdown = shutdown.clone();
            move || {
                let system = actix_web::rt::System::new();
                let server = serve_health(address, Vec::new(), settings, header_timeout, shutdown);
                system.block_on(server)
            }
        });
        Self {
            address,
            shutdown,
            running: Some(running),
        }
    }

    fn connect(&self) -> TcpStream {
        let until = Instant::now() + LIMIT;
        loop {
            match TcpStream::connect(self.address) {
                Ok(stream) => {
                    stream.set_read_timeout(Some(LIMIT)).expect("set");
                    return stream;
                }
                Err(error) => assert!(Instant::now() < until, "{error}"),
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, host: &str) -> String {
        send(
            self.connect(),
            &request("/metrics", host, "Connection: close\r\n"),
        )
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.cancel();
        if let Some(running) = self.running.take() {
            let ended = running.join();
            assert!(matches!(ended, Ok(Ok(()))), "it ends in order");
        }
    }
}

fn request(path: &str, host: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n{headers}\r\n")
}

/// Sends bytes, and reads until the connection is closed.
fn send(mut stream: TcpStream, bytes: &str) -> String {
    // Whoever is refused may find the connection closed.
    let _ = stream.write_all(bytes.as_bytes());
    let mut answer = Vec::new();
    // A reset after the answer takes nothing away.
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer of a known end.
fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        let mut buffer = [0; 1_024];
        let count = stream.read(&mut buffer).expect("an answer");
        assert!(count > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(&buffer[..count]);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Checks that an answer is a problem document of this status, for a connection that ends.
fn assert_problem(answer: &str, status: u16, kind: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head");
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let head = head.to_lowercase();
    for header in [
        "content-type: application/problem+json".to_owned(),
        "connection: close".to_owned(),
        format!("content-length: {}", body.len()),
    ] {
        assert!(head.lines().any(|line| line == header), "{header}: {head}");
    }
    let problem: serde_json::Value = serde_json::from_str(body).expect("one document");
    assert_eq!(problem["status"], status);
    assert_eq!(problem["type"], format!("urn:bakehouse:problem:{kind}"));
    assert!(
        problem["detail"]
            .as_str()
            .is_some_and(|text| text.len() > 20)
    );
}

#[test]
fn only_known_hosts_are_served() {
    let server = Server::start(LIMIT);
    for host in ["127.0.0.1:8081", "localhost", "data-baker:8081"] {
        let answer = server.ask(host);
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        let head = answer.to_lowercase();
        assert!(head.contains("x-content-type-options: nosniff"));
    }
    let answer = server.ask("evil.example");
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(answer.contains("misdirected-request"), "{answer}");
}

#[test]
fn what_is_no_request_gets_a_problem_document() {
    let server = Server::start(LIMIT);
    let live = request("/health/live", "localhost", "");
    let long = format!("X-Long: {}\r\n", "a".repeat(140_000));
    let many = "X-Many: a\r\n".repeat(200);
    let requests = [
        ("garbage\r\n\r\n".to_owned(), 400),
        ("\u{16}\u{3}\u{1}\u{2}\u{0}\u{1}".to_owned(), 400),
        (live.replace("HTTP/1.1", "HTTP/9.9"), 400),
        (live.replace("\r\n\r\n", "\r\nno header\r\n\r\n"), 400),
        (request("/", "localhost", "Content-Length: many\r\n"), 400),
        (
            request(
                "/",
                "localhost",
                "Content-Length: 1\r\nContent-Length: 2\r\n",
            ),
            400,
        ),
        (request("/", "localhost", &many), 431),
        (request("/", "localhost", &long), 431),
    ];
    for (bytes, status) in &requests {
        let answer = send(server.connect(), bytes);
        assert_problem(&answer, *status, "protocol");
    }
    for (bytes, status) in &requests[..4] {
        // After an answer on the same connection, or together with its request.
        let mut stream = server.connect();
        stream.write_all(live.as_bytes()).expect("sent");
        let answer = read_until(&mut stream, "\"live\"}");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert_problem(&send(stream, bytes), *status, "protocol");
        let both = send(server.connect(), &format!("{live}{bytes}"));
        let (first, second) = both.split_once("\"live\"}").expect("two answers");
        assert!(first.starts_with("HTTP/1.1 200"), "{both}");
        assert_problem(second, *status, "protocol");
    }
}

#[test]
fn a_head_that_does_not_come_gets_a_problem_document() {
    let server = Server::start(Duration::from_secs(1));
    let answer = send(server.connect(), "GET /health/live HTTP/1.1\r\nHost: loc");
    assert_problem(&answer, 408, "timeout");
    let answer = send(server.connect(), "");
    assert_problem(&answer, 408, "timeout");
}

#[test]
fn connections_are_bounded() {
    let server = Server::start(LIMIT);
    let (begin, end) = ("GET /health/live HTTP/1.1\r\n", "Host: localhost\r\n\r\n");
    // As many as one address may have, all of them with a request on its way.
    let mut open: Vec<TcpStream> = (0..64).map(|_| server.connect()).collect();
    for stream in &mut open {
        stream.write_all(begin.as_bytes()).expect("sent");
    }
    assert_problem(&send(server.connect(), ""), 429, "too-many-requests");
    for stream in &mut open {
        stream.write_all(end.as_bytes()).expect("sent");
        read_until(stream, "\"live\"}");
    }
    // Those that end leave their places to others.
    drop(open);
    let until = Instant::now() + LIMIT;
    while !server.ask("localhost").starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < until, "no place becomes free");
        std::thread::sleep(Duration::from_millis(20));
    }
}
