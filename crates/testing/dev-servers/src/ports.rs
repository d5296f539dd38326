//! Free ports, and waiting for a server to listen.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Returns a free port of the loopback interface. It is not reserved; the range from which the
/// kernel selects is wide enough for tests.
///
/// # Errors
/// If no port is free.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until a server listens at the port.
///
/// # Errors
/// If none does within `limit`, or `is_alive` returns `false`.
pub fn wait(port: u16, limit: Duration, mut is_alive: impl FnMut() -> bool) -> Result<()> {
    let deadline = Instant::now() + limit;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while Instant::now() < deadline {
        if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
            return Ok(());
        }
        if !is_alive() {
            bail!("the server at port {port} exited before it answered");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("nothing answers at port {port} after {} s", limit.as_secs())
}
