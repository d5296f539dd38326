//! HTTP client of the benchmark: a single connection without a pool or other overhead.

use anyhow::{Context, Result, ensure};
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// A connection that places orders.
pub(crate) struct Connection {
    host: String,
    sender: SendRequest<Full<Bytes>>,
}

impl Connection {
    /// Connects to a base URL, such as `http://127.0.0.1:8080`.
    pub(crate) async fn open(base: &str) -> Result<Self> {
        let host = base
            .strip_prefix("http://")
            .context("the base URL is not http")?
            .to_owned();
        let stream = TcpStream::connect(&host).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(Self { host, sender })
    }

    /// Places an order.
    ///
    /// # Errors
    /// When the answer is not 202.
    pub(crate) async fn place(&mut self, body: String) -> Result<()> {
        let request = Request::post("/order")
            .header("host", self.host.as_str())
            .header("content-type", "application/json")
            .body(Full::new(Bytes::from(body)))?;
        self.sender.ready().await?;
        let answer = self.sender.send_request(request).await?;
        ensure!(answer.status() == 202, "answered {}", answer.status());
        answer.into_body().collect().await?;
        Ok(())
    }
}
