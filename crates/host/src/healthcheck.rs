//! Command `healthcheck`: asks the running service whether it is ready, for containers
//! without another HTTP client.

use std::io::{BufRead, BufReader, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// Timeout of the connection, and of each read.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Requests `/health/ready` at the address of the service.
///
/// # Errors
/// An error if the service does not respond, or not with 200.
pub(crate) fn ask(mut address: SocketAddr) -> Result<()> {
    if address.ip().is_unspecified() {
        address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
    }
    let stream = TcpStream::connect_timeout(&address, TIMEOUT);
    let mut stream = stream.with_context(|| format!("no answer from {address}"))?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    let request =
        format!("GET /health/ready HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    ensure!(status.contains(" 200 "), "not ready: {}", status.trim());
    Ok(())
}
