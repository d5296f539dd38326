//! Ports that nobody uses.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// A free port of the loopback interface. Nothing reserves it; the range that
/// the kernel picks from is wide enough for tests.
///
/// # Errors
/// When there is none.
pub fn free() -> Result<u16> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("no port is free")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until something listens at the port.
///
/// # Errors
/// When nothing does within `limit`, or `is_alive` says that nothing will.
pub fn wait(port: u16, limit: Duration, mut is_alive: impl FnMut() -> bool) -> Result<()> {
    let until = Instant::now() + limit;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    while Instant::now() < until {
        if TcpStream::connect_timeout(&address, Duration::from_millis(200)).is_ok() {
            return Ok(());
        }
        if !is_alive() {
            bail!("the server at port {port} ended instead of answering");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("nothing answers at port {port} after {} s", limit.as_secs())
}
