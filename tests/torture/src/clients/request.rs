//! A request of a client, and what its acceptance says.

use bakehouse_e2e::Client;
use bakehouse_e2e::attachments::form;
use bakehouse_e2e::client::Answer as Response;
use hyper::Method;
use serde_json::json;

use super::PATIENCE;
use crate::ledger::{Answer, Asked, Entry};

/// Acceptance that a 202 states: of which operation, of which order, and of which file.
pub(super) fn acceptance(entry: &Entry, response: &Response) -> (Answer, String, Option<String>) {
    let last = |name: &str| {
        let path = response.header(name);
        path.rsplit('/').next().unwrap_or_default().to_owned()
    };
    let operation = last("operation-location");
    let answer = Answer::Accepted { operation };
    match (&entry.asked, &entry.order) {
        (Asked::Attach(_), Some(order)) => (answer, order.clone(), Some(last("location"))),
        _ => (answer, last("location"), None),
    }
}

/// `None`: no answer.
pub(super) async fn send(client: &Client, authorization: &str, entry: &Entry) -> Option<Response> {
    let order = entry.order.as_deref().unwrap_or_default();
    let at = format!("/order/{order}");
    let json = "application/json";
    let text = |value: serde_json::Value| value.to_string().into_bytes();
    let (method, path, kind, body) = match &entry.asked {
        Asked::Place(wish) => (Method::POST, "/order".to_owned(), json, text(wish.body())),
        Asked::Amend(wish) => (Method::PUT, at, json, text(wish.body())),
        Asked::Status(status) => {
            let body = text(json!({ "status": status }));
            (Method::PUT, format!("{at}/status"), json, body)
        }
        Asked::Delete => (Method::DELETE, at, "", Vec::new()),
        Asked::Attach(sheet) => {
            let form = form("file", &sheet.name, "text/plain", &sheet.bytes());
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
    tokio::time::timeout(PATIENCE, sending).await.ok()?.ok()
}
