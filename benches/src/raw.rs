//! The limit of a fan-out: a process that does nothing but write the same ready
//! bytes to every socket.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::Instant;

/// The argument that makes this program one.
pub(crate) const ARGUMENT: &str = "--raw-broadcast";
/// Frames that are kept for those that are late.
const RING: usize = 16_384;
/// About as long as the frame of a small order.
const PAYLOAD: usize = 700;

/// A running one.
pub(crate) struct Raw {
    /// Where it listens.
    pub(crate) host: String,
    child: Child,
}

impl Raw {
    /// Starts this program once more.
    pub(crate) fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdout(Stdio::piped())
            .spawn()?;
        let said = child.stdout.take().context("its output")?;
        let mut host = String::new();
        BufReader::new(said).read_line(&mut host)?;
        let host = host.trim().to_owned();
        Ok(Self { host, child })
    }

    /// Has it broadcast so many frames at this rate, in frames a second.
    pub(crate) async fn broadcast(&self, count: u64, rate: u64) -> Result<()> {
        let mut socket = TcpStream::connect(&self.host).await?;
        socket.set_nodelay(true)?;
        let request = format!("POST /{count}/{rate} HTTP/1.1\r\n\r\n");
        Ok(socket.write_all(request.as_bytes()).await?)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What it does: until it is killed.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let (sender, _) = broadcast::channel(RING);
    loop {
        let (socket, _) = listener.accept().await?;
        tokio::spawn(answer(socket, sender.clone()));
    }
}

async fn answer(mut socket: TcpStream, sender: broadcast::Sender<Vec<u8>>) -> Result<()> {
    socket.set_nodelay(true)?;
    let mut head = [0; 1_024];
    let size = socket.read(&mut head).await?;
    let head = String::from_utf8_lossy(&head[..size]).into_owned();
    let path = head.split(' ').nth(1).context("a path")?;
    if path != "/order-events" {
        let mut numbers = path.split('/').skip(1).map(str::parse::<u64>);
        let count = numbers.next().context("a count")??;
        let rate = numbers.next().context("a rate")??;
        let start = Instant::now();
        for number in 0..count {
            tokio::time::sleep_until(start + Duration::from_secs(1) * number as u32 / rate as u32)
                .await;
            let _ = sender.send(frame());
        }
        return Ok(());
    }
    let mut frames = sender.subscribe();
    socket
        .write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
        .await?;
    while let Ok(frame) = frames.recv().await {
        socket.write_all(&frame).await?;
    }
    Ok(())
}

fn frame() -> Vec<u8> {
    let mut text = br#"{"type":"order.created","filler":""#.to_vec();
    text.resize(PAYLOAD - 2, b'x');
    text.extend(b"\"}");
    let length = u16::try_from(text.len()).unwrap_or_default();
    let mut frame = vec![0x81, 126];
    frame.extend(length.to_be_bytes());
    frame.extend(text);
    frame
}
