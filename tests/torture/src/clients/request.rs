//! HTTP request of a ledger entry, and the content of a 202.

use std::time::Duration;

use bakehouse_e2e::Client;
use bakehouse_e2e::attachments::form;
use bakehouse_e2e::client::Answer as Response;
use hyper::Method;
use serde_json::json;

use crate::ledger::{Answer, Entry, Request};

/// Timeout of a request.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(12);

/// Extracts the operation, the order's id and the file's id from a 202.
pub(super) fn acceptance(entry: &Entry, response: &Response) -> (Answer, String, Option<String>) {
    let last = |name: &str| {
        let path = response.header(name);
        path.rsplit('/').next().unwrap_or_default().to_owned()
    };
    let operation = last("operation-location");
    let answer = Answer::Accepted { operation };
    match (&entry.request, &entry.order) {
        (Request::Attach(_), Some(order)) => (answer, order.clone(), Some(last("location"))),
        _ => (answer, last("location"), None),
    }
}

/// Sends the request of a ledger entry. Returns `None` without an answer in time.
pub(super) async fn send(client: &Client, authorization: &str, entry: &Entry) -> Option<Response> {
    let order = entry.order.as_deref().unwrap_or_default();
    let at = format!("/order/{order}");
    let json = "application/json";
    let text = |value: serde_json::Value| value.to_string().into_bytes();
    let (method, path, kind, body) = match &entry.request {
        Request::Place(draft) => (Method::POST, "/order".to_owned(), json, text(draft.body())),
        Request::Amend(draft) => (Method::PUT, at, json, text(draft.body())),
        Request::Status(status) => {
            let body = text(json!({ "status": status }));
            (Method::PUT, format!("{at}/status"), json, body)
        }
        Request::Delete => (Method::DELETE, at, "", Vec::new()),
        Request::Attach(test_file) => {
            let form = form("file", &test_file.name, "text/plain", &test_file.bytes());
            let kind = "multipart/form-data; boundary=limit";
            (Method::POST, format!("{at}/attachments"), kind, form)
        }
    };
    let correlation = entry.correlation.to_string();
    let expected = entry.expected.map(|version| format!("\"{version}\""));
    let mut headers = vec![
        ("authorization", authorization),
        ("idempotency-key", entry.key.as_str()),
        ("x-correlation-id", correlation.as_str()),
    ];
    if !kind.is_empty() {
        headers.push(("content-type", kind));
    }
    if let Some(version) = &expected {
        headers.push(("if-match", version));
    }
    let sending = client.send(method, &path, &headers, body);
    tokio::time::timeout(REQUEST_TIMEOUT, sending)
        .await
        .ok()?
        .ok()
}
