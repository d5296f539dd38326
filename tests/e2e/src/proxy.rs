//! Reverse proxy in front of a server: strips a prefix from paths and adds headers.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Maximum size of the head of a request, in bytes.
const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Running proxy; dropping it ends it.
pub struct Proxy {
    address: SocketAddr,
    prefix: String,
    task: JoinHandle<()>,
}

impl Proxy {
    /// Starts a proxy of the server at `base`. It serves paths that begin with `prefix`, such as
    /// `/shop`, and adds the headers to each request.
    pub async fn start(base: &str, prefix: &str, headers: &[(&str, &str)]) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let server = base.trim_start_matches("http://").to_owned();
        let added: String = headers
            .iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let strip = prefix.to_owned();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, strip, added) = (server.clone(), strip.clone(), added.clone());
                tokio::spawn(async move {
                    let _ = serve(client, &server, &strip, &added).await;
                });
            }
        });
        Ok(Self {
            address,
            prefix: prefix.to_owned(),
            task,
        })
    }

    /// Returns the origin of the proxy: `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the base URL of the server behind the proxy: origin and prefix.
    #[must_use]
    pub fn base(&self) -> String {
        format!("{}{}", self.origin(), self.prefix)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Forwards one request, and all traffic of a websocket if it is a handshake.
async fn serve(mut client: TcpStream, server: &str, prefix: &str, added: &str) -> Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if let Some(at) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        let count = client.read_buf(&mut bytes).await?;
        anyhow::ensure!(
            count > 0 && bytes.len() < MAX_HEAD_BYTES,
            "no complete request head"
        );
    };
    let head = String::from_utf8(bytes[..end].to_vec())?;
    let (line, headers) = head.split_once("\r\n").context("no headers")?;
    let mut words = line.split(' ');
    let (method, path) = (
        words.next().context("a method")?,
        words.next().context("a path")?,
    );
    let Some(path) = path
        .strip_prefix(prefix)
        .filter(|path| path.starts_with('/'))
    else {
        let nothing = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return Ok(client.write_all(nothing.as_bytes()).await?);
    };
    let is_upgrade = headers.to_ascii_lowercase().contains("upgrade: websocket");
    let mut sent = format!("{method} {path} HTTP/1.1\r\n");
    for header in headers.split("\r\n") {
        if is_upgrade || !header.to_ascii_lowercase().starts_with("connection:") {
            sent.push_str(&format!("{header}\r\n"));
        }
    }
    if !is_upgrade {
        sent.push_str("Connection: close\r\n");
    }
    let mut server = TcpStream::connect(server).await?;
    server
        .write_all(format!("{sent}{added}\r\n").as_bytes())
        .await?;
    server.write_all(&bytes[end + 4..]).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
