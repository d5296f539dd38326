//! Raw limit of a fan-out: a process that only writes the same bytes to every socket.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;
use tokio::time::Instant;

/// Argument that starts this program as such a process.
pub(crate) const ARGUMENT: &str = "--raw-broadcast";
/// Number of frames that are buffered for slow clients.
const BUFFER_FRAMES: usize = 16_384;
/// Length of a payload in bytes, about that of a small order's frame.
const PAYLOAD_SIZE: usize = 700;

/// A running process.
pub(crate) struct Raw {
    /// Address on which it listens.
    pub(crate) host: String,
    child: Child,
}

impl Raw {
    /// Starts another process of this program.
    pub(crate) fn start() -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg(ARGUMENT)
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().context("no stdout")?;
        let mut host = String::new();
        BufReader::new(stdout).read_line(&mut host)?;
        let host = host.trim().to_owned();
        Ok(Self { host, child })
    }

    /// Broadcasts so many frames at a rate in frames per second.
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

/// Serves until the process is killed.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("{}", listener.local_addr()?);
    let (sender, _) = broadcast::channel(BUFFER_FRAMES);
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
    let path = head.split(' ').nth(1).context("no path")?;
    if path != "/order-events" {
        let mut numbers = path.split('/').skip(1).map(str::parse::<u64>);
        let count = numbers.next().context("no count")??;
        let rate = numbers.next().context("no rate")??;
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
    text.resize(PAYLOAD_SIZE - 2, b'x');
    text.extend(b"\"}");
    let length = u16::try_from(text.len()).unwrap_or_default();
    let mut frame = vec![0x81, 126];
    frame.extend(length.to_be_bytes());
    frame.extend(text);
    frame
}
