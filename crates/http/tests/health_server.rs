//! The health checks of a service without HTTP of its own: the same hosts are served.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use bakehouse_http::exposure::ExposureSettings;
use bakehouse_http::serve_health;
use bakehouse_pipeline::Shutdown;

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address")
}

fn ask(address: SocketAddr, host: &str) -> String {
    let until = Instant::now() + Duration::from_secs(10);
    let mut stream = loop {
        match TcpStream::connect(address) {
            Ok(stream) => break stream,
            Err(error) => assert!(Instant::now() < until, "{error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    answer
}

#[test]
fn only_known_hosts_are_served() {
    let address = free();
    let shutdown = Shutdown::new();
    let settings = ExposureSettings {
        allowed_hosts: vec!["data-baker".to_owned()],
        ..ExposureSettings::default()
    };
    let server = std::thread::spawn({
        let shutdown = shutdown.clone();
        move || {
            let system = actix_web::rt::System::new();
            system.block_on(serve_health(address, Vec::new(), settings, shutdown))
        }
    });
    for host in ["127.0.0.1:8081", "localhost", "data-baker:8081"] {
        let answer = ask(address, host);
        assert!(answer.starts_with("HTTP/1.1 200"), "{host}: {answer}");
        assert!(
            answer
                .to_lowercase()
                .contains("x-content-type-options: nosniff")
        );
    }
    let answer = ask(address, "evil.example");
    assert!(answer.starts_with("HTTP/1.1 421"), "{answer}");
    assert!(answer.contains("misdirected-request"), "{answer}");
    shutdown.cancel();
    server.join().expect("it ends").expect("in order");
}
