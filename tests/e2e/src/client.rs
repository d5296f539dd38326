//! HTTP client with persistent connections.

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

/// HTTP client of one server.
#[derive(Clone)]
pub struct Client {
    base: String,
    http: hyper_util::client::legacy::Client<HttpConnector, Full<Bytes>>,
}

/// Response with its complete body.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; empty if only the head was read.
    pub body: Bytes,
}

impl Answer {
    fn from_parts(head: Parts, body: Bytes) -> Self {
        Self {
            status: head.status,
            headers: head.headers,
            body,
        }
    }

    /// Returns the body as JSON; null if it is not valid JSON.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Returns the text of a header; empty if it is missing or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// Returns the URL of the next page of a list; `None` on the last page.
    #[must_use]
    pub fn next_page(&self) -> Option<String> {
        let link = self.header("link").strip_prefix('<')?;
        link.strip_suffix(">; rel=\"next\"").map(str::to_owned)
    }
}

impl Client {
    /// Creates a client of the server at `base`, such as `http://127.0.0.1:8080`.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self::with_connector(base, HttpConnector::new())
    }

    /// Creates a client of the server at `base` that connects from the given local address.
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

    /// Sends a request and reads the complete response.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let response = self.request(method, path, headers, body).await?;
        let (head, body) = response.into_parts();
        Ok(Answer::from_parts(head, body.collect().await?.to_bytes()))
    }

    /// Sends a request and reads only the head of the response, since its body may be endless.
    pub async fn head_of(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let response = self.request(method, path, headers, body).await?;
        Ok(Answer::from_parts(response.into_parts().0, Bytes::new()))
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

    /// Sends a GET request.
    pub async fn get(&self, path: &str) -> Result<Answer> {
        self.send(Method::GET, path, &[], "").await
    }

    /// Sends a GET request with headers.
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

    /// Sends a PUT request with a JSON body and additional headers.
    pub async fn put(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        self.send_json(Method::PUT, path, headers, body).await
    }

    /// Waits until an accepted operation (202) is baked or rejected, and returns its receipt.
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

    /// Sends a POST request with a JSON body.
    pub async fn post_to(&self, path: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.post_with(path, &[], body).await
    }

    /// Sends a POST request with a JSON body and additional headers.
    pub async fn post_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        self.send_json(Method::POST, path, headers, body).await
    }

    /// Places an order with an idempotency key.
    pub async fn post_keyed(&self, key: &str, body: impl Into<Bytes>) -> Result<Answer> {
        self.post_with("/order", &[("Idempotency-Key", key)], body)
            .await
    }
}
