//! Client of the broker's management API, for one call: `GET /api/queues/VHOST/QUEUE`.

use std::error::Error;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use crate::connection::ConnectError;

/// Timeout of one call.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Size of an answer in bytes at most.
const MAX_BYTES: usize = 64 * 1024;
/// Members of a queue that are requested.
const COLUMNS: &str =
    "type,durable,auto_delete,arguments,effective_policy_definition,policy,operator_policy";

/// Management API of one virtual host.
#[derive(Clone)]
pub(crate) struct Management {
    client: Client,
    url: Url,
    vhost: String,
}

/// Type and arguments of a queue, and the policies on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct QueueState {
    /// Type of the queue, such as `quorum` or `stream`.
    pub(crate) kind: String,
    pub(crate) is_durable: bool,
    pub(crate) is_auto_deleted: bool,
    pub(crate) arguments: Map<String, Value>,
    /// Keys of the policies in force; `None` if the broker has not evaluated them yet.
    pub(crate) policies: Option<Map<String, Value>>,
    /// Name of the policy.
    pub(crate) policy: Option<String>,
    /// Name of the operator policy.
    pub(crate) operator_policy: Option<String>,
}

impl Management {
    pub(crate) fn new(uri: &str, vhost: &str) -> Result<Self, ConnectError> {
        let invalid = || {
            let expected = "expected https://USER:PASSWORD@HOST:PORT";
            ConnectError::new(format!("management API: invalid URI: {expected}"))
        };
        let mut url: Url = uri.parse().map_err(|_| invalid())?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(invalid());
        }
        url.set_fragment(None);
        url.set_query(Some(&format!("columns={COLUMNS}")));
        // The client needs a process-wide provider. An error means that one is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(CALL_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .build();
        Ok(Self {
            client: client.map_err(|error| {
                ConnectError::new(format!(
                    "management API: cannot create the HTTP client: {}",
                    cause(&error)
                ))
            })?,
            url,
            vhost: vhost.to_owned(),
        })
    }

    /// Returns the name of the virtual host.
    pub(crate) fn vhost(&self) -> &str {
        &self.vhost
    }

    /// Fetches the state of a queue; `None` if it does not exist.
    ///
    /// # Errors
    /// A text for an operator, without secrets.
    pub(crate) async fn queue(&self, name: &str) -> Result<Option<QueueState>, String> {
        let failed = |reason: String| format!("management API: {reason}");
        let mut url = self.url.clone();
        if let Ok(mut path) = url.path_segments_mut() {
            path.pop_if_empty();
            path.extend(["api", "queues", &self.vhost, name]);
        }
        let no_answer = |error: reqwest::Error| failed(format!("no answer: {}", cause(&error)));
        let mut answer = self.client.get(url).send().await.map_err(no_answer)?;
        match answer.status() {
            StatusCode::OK => {}
            StatusCode::NOT_FOUND => return Ok(None),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                return Err(failed(format!(
                    "user refused: check the password, the tag `management`, and the permissions \
                     on virtual host {}",
                    self.vhost
                )));
            }
            status if status.is_redirection() => {
                return Err(failed(format!("{status}: redirects are not followed")));
            }
            status => return Err(failed(format!("status {status}"))),
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            if text.len() + chunk.len() > MAX_BYTES {
                return Err(failed(format!("answer larger than {MAX_BYTES} bytes")));
            }
            text.extend_from_slice(&chunk);
        }
        let state = serde_json::from_slice(&text).ok().as_ref().and_then(parse);
        let state = state.ok_or_else(|| failed("answer is not a queue description".into()));
        state.map(Some)
    }
}

/// Parses the description of a queue. Some versions send an empty list for an empty object, and an
/// empty text for a missing name.
fn parse(answer: &Value) -> Option<QueueState> {
    let answer = answer.as_object()?;
    let object = |name: &str| answer.get(name).and_then(Value::as_object).cloned();
    let text = |name: &str| {
        let text = answer.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let flag = |name: &str| answer.get(name).and_then(Value::as_bool);
    let is_evaluated = ["effective_policy_definition", "policy"]
        .iter()
        .any(|name| answer.contains_key(*name));
    let policies = is_evaluated.then(|| object("effective_policy_definition").unwrap_or_default());
    Some(QueueState {
        kind: text("type")?,
        is_durable: flag("durable")?,
        is_auto_deleted: flag("auto_delete")?,
        arguments: object("arguments").unwrap_or_default(),
        policies,
        policy: text("policy"),
        operator_policy: text("operator_policy"),
    })
}

/// Returns the innermost cause of an error. The error itself contains the URL, which is secret.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("timeout after {} s", CALL_TIMEOUT.as_secs());
    }
    let mut text = String::from("request failed");
    let mut source = error.source();
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Starts a server that gives this answer once. Returns its URL and the request that it
    /// received.
    async fn server(answer: String) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let request = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a client");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let read = socket.read_buf(&mut request).await.expect("a request");
                assert!(read > 0, "the client closed the connection");
            }
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
            String::from_utf8(request).expect("text")
        });
        (format!("http://us%65r:p%40ss@{address}/base/"), request)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
    }

    async fn fetch(answer: String) -> (Result<Option<QueueState>, String>, String) {
        let (uri, request) = server(answer).await;
        let management = Management::new(&uri, "a/b").expect("a URI");
        let state = management.queue("p q.schedule").await;
        (state, request.await.expect("a request"))
    }

    #[tokio::test]
    async fn a_queue_is_requested_by_name_with_the_password_in_a_header() {
        let body = json!({
            "type": "quorum", "durable": true, "auto_delete": false,
            "arguments": {"x-queue-type": "quorum"},
            "effective_policy_definition": {"expires": 1},
            "policy": "p", "operator_policy": null,
        });
        let (state, request) = fetch(answer("200 OK", "", &body.to_string())).await;
        let state = state.expect("an answer").expect("a queue");
        assert_eq!(state.kind, "quorum");
        assert_eq!(state.policy.as_deref(), Some("p"));
        assert_eq!(state.operator_policy, None);
        assert_eq!(state.policies.expect("known")["expires"], 1);
        let line = request.lines().next().expect("a line");
        let path = "GET /base/api/queues/a%2Fb/p%20q.schedule?columns=type,";
        assert!(line.starts_with(path), "{line}");
        // user:p@ss
        let header = "authorization: basic dxnlcjpwqhnz";
        assert!(request.to_lowercase().contains(header), "{request}");
    }

    #[tokio::test]
    async fn policies_not_evaluated_yet_are_unknown() {
        let fresh = json!({"type": "quorum", "durable": true, "auto_delete": false});
        let (state, _) = fetch(answer("200 OK", "", &fresh.to_string())).await;
        assert_eq!(state.expect("an answer").expect("a queue").policies, None);
        let old = json!({
            "type": "quorum", "durable": true, "auto_delete": false, "arguments": [],
            "effective_policy_definition": [], "policy": "", "operator_policy": "",
        });
        let (state, _) = fetch(answer("200 OK", "", &old.to_string())).await;
        let state = state.expect("an answer").expect("a queue");
        assert_eq!(state.policies, Some(Map::new()));
        assert_eq!(state.policy, None);
    }

    #[tokio::test]
    async fn errors_about_an_answer_contain_no_password() {
        let moved = "Location: http://127.0.0.1:1/\r\n";
        let large = "x".repeat(MAX_BYTES + 1);
        for (answer, expected) in [
            (answer("401 Unauthorized", "", "{}"), "the tag `management`"),
            (answer("302 Found", moved, ""), "redirects are not followed"),
            (answer("500 Internal Server Error", "", ""), "500"),
            (answer("200 OK", "", "[]"), "not a queue description"),
            (answer("200 OK", "", "{"), "not a queue description"),
            (answer("200 OK", "", &large), "larger than 65536 bytes"),
            (String::new(), "no answer"),
        ] {
            let (state, _) = fetch(answer).await;
            let error = state.expect_err("no answer");
            assert!(error.contains(expected), "{error}");
            assert!(
                !error.contains("p@ss") && !error.contains("p%40ss"),
                "{error}"
            );
        }
        let (state, _) = fetch(answer("404 Not Found", "", "{}")).await;
        assert_eq!(state, Ok(None));
    }

    #[test]
    fn the_error_about_an_invalid_url_does_not_repeat_it() {
        for uri in ["amqp://user:hunter2@host", "hunter2", "http://"] {
            let error = Management::new(uri, "/").err().expect("refused");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
