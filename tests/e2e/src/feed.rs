//! Websocket client of the feed.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures_util::{SinkExt, StreamExt};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

/// Timeout of connecting, and of waiting for the next frame.
const FRAME_TIMEOUT: Duration = Duration::from_secs(60);

/// Open subscription.
pub struct Feed {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// Message received from the server.
#[derive(Debug)]
pub enum Received {
    /// Frame.
    Frame(Value),
    /// Close frame, with its code.
    Closed(u16),
}

impl Feed {
    /// Subscribes with a query such as `since=0`.
    pub async fn open(base: &str, query: &str) -> Result<Self> {
        Self::open_with(base, query, None).await
    }

    /// Subscribes with a query, authenticated by a bearer token.
    pub async fn open_with(base: &str, query: &str, token: Option<&str>) -> Result<Self> {
        Self::open_at(base, &format!("/order-events?{query}"), token).await
    }

    /// Subscribes to the feed at the given path, with its query.
    pub async fn open_at(base: &str, path: &str, token: Option<&str>) -> Result<Self> {
        let base = base.replacen("http", "ws", 1);
        let mut request = format!("{base}{path}").into_client_request()?;
        if let Some(token) = token {
            let value = format!("Bearer {token}").parse()?;
            request.headers_mut().insert("authorization", value);
        }
        let connecting = tokio_tungstenite::connect_async(request);
        let (socket, _) = tokio::time::timeout(FRAME_TIMEOUT, connecting)
            .await
            .context("no answer")??;
        Ok(Self { socket })
    }

    /// Waits for the next text message, unparsed, or for the close code.
    pub async fn message(&mut self) -> Result<Result<String, u16>> {
        loop {
            let message = tokio::time::timeout(FRAME_TIMEOUT, self.socket.next()).await;
            match message.context("timed out waiting for a frame")? {
                Some(Ok(Message::Text(text))) => return Ok(Ok(text.to_string())),
                Some(Ok(Message::Close(reason))) => {
                    return Ok(Err(reason.map_or(1005, |reason| reason.code.into())));
                }
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error.into()),
                None => bail!("the connection ended without a close frame"),
            }
        }
    }

    /// Waits for the next frame or the close code; answers pings.
    pub async fn receive(&mut self) -> Result<Received> {
        loop {
            let text = match self.message().await? {
                Ok(text) => text,
                Err(code) => return Ok(Received::Closed(code)),
            };
            let frame: Value = serde_json::from_str(&text)?;
            if frame["type"] != "ping" {
                return Ok(Received::Frame(frame));
            }
            self.say(r#"{"type":"pong"}"#).await?;
        }
    }

    /// Waits for the next frame (pings included) and returns its text, unparsed.
    pub async fn text(&mut self) -> Result<String> {
        match self.message().await? {
            Ok(text) => Ok(text),
            Err(code) => bail!("closed with {code}"),
        }
    }

    /// Waits for the next frame; answers pings.
    pub async fn frame(&mut self) -> Result<Value> {
        match self.receive().await? {
            Received::Frame(frame) => Ok(frame),
            Received::Closed(code) => bail!("closed with {code}"),
        }
    }

    /// Waits for the next frame of an event; skips control frames.
    pub async fn event(&mut self) -> Result<Value> {
        loop {
            let frame = self.frame().await?;
            if frame["type"]
                .as_str()
                .is_some_and(|kind| kind.contains('.'))
            {
                return Ok(frame);
            }
        }
    }

    /// Waits until the server closes the feed. Returns the close code and the last frame, and
    /// checks that both contain the same code.
    pub async fn end(&mut self) -> (u16, Value) {
        let mut last = Value::Null;
        loop {
            match self.receive().await.expect("a frame") {
                Received::Frame(frame) => last = frame,
                Received::Closed(code) => {
                    assert_eq!(last["code"], code, "{last}");
                    return (code, last);
                }
            }
        }
    }

    /// Sends a text message.
    pub async fn say(&mut self, text: &str) -> Result<()> {
        Ok(self.socket.send(Message::text(text)).await?)
    }

    /// Waits for all events up to and including a position.
    pub async fn events_up_to(&mut self, position: u64) -> Result<Vec<Value>> {
        let mut events = Vec::new();
        loop {
            let event = self.event().await?;
            let at = event["position"]
                .as_u64()
                .context("an event without a position")?;
            events.push(event);
            if at >= position {
                return Ok(events);
            }
        }
    }
}
