//! An HTTP client that keeps its connections.

use std::net::IpAddr;

use anyhow::Result;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap};
use hyper::http::response::Parts;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A client of one server.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    fn of(head: Parts, body: Bytes) -> Self {
        Self {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// The body as JSON; null if it is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header's text; empty if it has none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Where the next page of a list is; none after the last.
    #[must_use]
    pub fn next_page(&self) -> Option<String> {
        let link = self.header("link").strip_prefix('<')?;
        link.strip_suffix(">; rel=\"next\"").map(str::to_owned)
    }
}

impl Client {
    /// Of the server at `base`, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self::with_connector(base, HttpConnector::new())
    }

    /// Client of the server at `base` that connects from this address.
    #[must_use]
    pub fn from_address(base: &str, address: IpAddr) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_local_address(Some(address));
        Self::with_connector(base, connector)
    }

    fn with_connector(base: &str, mut connector: HttpConnector) -> Self {
        connector.set_nodelay(true);
        Self {
            base: base.to_owned(),
            http: hyper_util::client::legacy::Client::builder(TokioExecutor::new())
                .build(connector),
        }
    }

    /// Sends a request.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let response = self.request(method, path, headers, body).await?;
        let (head, body) = response.into_parts();
        Ok(Answer::of(head, body.collect().await?.to_bytes()))
    }

    /// Sends a request and reads the head of the answer only: the body may have no end.
    pub async fn head_of(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let response = self.request(method, path, headers, body).await?;
        Ok(Answer::of(response.into_parts().0, Bytes::new()))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into()))?;
        Ok(self.http.request(request).await?)
    }

    /// Reads.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, &[], "").await
    }

    /// Reads under these headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Result<Answer> {
        self.send(Method::GET, path, headers, "").await
    }

    async fn send_json(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let json = [(CONTENT_TYPE.as_str(), "application/json")];
        let headers = [&json, headers].concat();
        self.send(method, path, &headers, body).await
    }

    /// Puts JSON, under more headers if need be.
    pub async fn put(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        self.send_json(Method::PUT, path, headers, body).await
    }

    /// The operation of a 202 as soon as it is baked or rejected.
    pub async fn settled(&self, accepted: &Answer) -> Result<Value> {
        anyhow::ensure!(accepted.status == 202, "{accepted:?}");
        let path = accepted.header("operation-location");
        let receipt = self.get_with(path, &[("Prefer", "wait=20")]).await?;
        Ok(receipt.json())
    }

    /// Places an order.
    pub async fn post(&self, body: impl Into<Bytes>) -> Result<Answer> {
        self.post_to("/order", body).await
    }

    /// Posts JSON.
    pub async fn post_to(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.post_with(path, &[], body).await
    }

    /// Posts JSON, under more headers.
    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        self.send_json(Method::POST, path, headers, body).await
    }

    /// Places an order under an idempotency key.
    pub async fn post_keyed(&self, key: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.post_with("/order", &[("Idempotency-Key", key)], body)
            .await
    }
}
