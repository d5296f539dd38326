//! Client of the feed as server-sent events.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Timeout of one read.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// An open stream.
pub struct Stream(BufReader<TcpStream>);

impl Stream {
    /// Opens a stream with a query such as `since=0`.
    ///
    /// # Errors
    /// When the server cannot be reached or refuses it.
    pub async fn open(base: &str, query: &str, authorization: &str) -> Result<Self> {
        let host = base.trim_start_matches("http://");
        let mut socket = TcpStream::connect(host).await?;
        let request = format!(
            "GET /order-events?{query} HTTP/1.1\r\nHost: {host}\r\nAccept: text/event-stream\r\n\
             Authorization: {authorization}\r\n\r\n"
        );
        socket.write_all(request.as_bytes()).await?;
        let mut stream = Self(BufReader::new(socket));
        let status = stream.line().await?;
        ensure!(status.contains(" 200 "), "{status}");
        while !stream.line().await?.is_empty() {}
        Ok(stream)
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        let reading = timeout(READ_TIMEOUT, self.0.read_line(&mut line)).await;
        ensure!(
            reading.context("timed out reading the stream")?? > 0,
            "the stream has ended"
        );
        Ok(line.trim_end().to_owned())
    }

    /// Returns the data of the next event, which is always one line.
    ///
    /// # Errors
    /// When the stream has ended or no data arrives in time.
    pub async fn message(&mut self) -> Result<String> {
        loop {
            let line = self.line().await?;
            if let Some(data) = line.strip_prefix("data: ") {
                return Ok(data.to_owned());
            }
        }
    }
}
