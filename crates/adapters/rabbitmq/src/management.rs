//! Client of the broker's management API. Only one call is used:
//! `GET /api/queues/VHOST/QUEUE`.

use std::error::Error;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, StatusCode};
use serde_json::{Map, Value};
use url::Url;

use crate::connection::ConnectError;

/// Time that one call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes that an answer may have.
const MAX_BYTES: usize = 64 * 1024;
/// Members of a queue that are asked for.
const COLUMNS: &str =
    "type,durable,auto_delete,arguments,effective_policy_definition,policy,operator_policy";

/// Management API of one virtual host.
#[derive(Clone)]
pub(crate) struct Management {
    client: Client,
    url: Url,
    vhost: String,
}

/// Form of a queue, and the policies on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct QueueState {
    /// `quorum`, `stream`, or another.
    pub(crate) kind: String,
    pub(crate) is_durable: bool,
    pub(crate) is_auto_deleted: bool,
    pub(crate) arguments: Map<String, Value>,
    /// Keys of the policies in force; `None`: the broker has not worked them out yet.
    pub(crate) policies: Option<Map<String, Value>>,
    /// Name of the policy.
    pub(crate) policy: Option<String>,
    /// Name of the operator policy.
    pub(crate) operator_policy: Option<String>,
}

impl Management {
    pub(crate) fn new(uri: &str, vhost: &str) -> Result<Self, ConnectError> {
        let unusable = || {
            let expected = "expected https://USER:PASSWORD@HOST:PORT";
            ConnectError::new(format!(
                "management API: its URI cannot be used: {expected}"
            ))
        };
        let mut url: Url = uri.parse().map_err(|_| unusable())?;
        if !["http", "https"].contains(&url.scheme()) {
            return Err(unusable());
        }
        url.set_fragment(None);
        url.set_query(Some(&format!("columns={COLUMNS}")));
        // The client brings no cryptography of its own. An error only says that somebody has
        // chosen already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .timeout(CALL_TIMEOUT)
            .redirect(Policy::none())
            .no_proxy()
            .build();
        Ok(Self {
            client: client.map_err(|error| {
                ConnectError::new(format!("management API: no client: {}", cause(&error)))
            })?,
            url,
            vhost: vhost.to_owned(),
        })
    }

    /// Name of the virtual host.
    pub(crate) fn vhost(&self) -> &str {
        &self.vhost
    }

    /// State of a queue; `None` where the API knows no such queue.
    ///
    /// # Errors
    /// A sentence without secrets.
    pub(crate) async fn queue(&self, name: &str) -> Result<Option<QueueState>, String> {
        let failed = |why: String| format!("management API: {why}");
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
                    "it refuses the user: the password may be wrong, or the user lacks the tag \
                     `management` or permissions on the virtual host {}",
                    self.vhost
                )));
            }
            status if status.is_redirection() => {
                return Err(failed(format!("{status}: redirects are not followed")));
            }
            status => return Err(failed(format!("it answered {status}"))),
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(no_answer)? {
            if text.len() + chunk.len() > MAX_BYTES {
                return Err(failed(format!("an answer of more than {MAX_BYTES} bytes")));
            }
            text.extend_from_slice(&chunk);
        }
        let state = serde_json::from_slice(&text).ok().as_ref().and_then(parse);
        let state = state.ok_or_else(|| failed("its answer is no description of a queue".into()));
        state.map(Some)
    }
}

/// Reads what the API says of a queue. Some versions give an empty list for an empty object, and
/// an empty text for no name.
fn parse(answer: &Value) -> Option<QueueState> {
    let answer = answer.as_object()?;
    let object = |name: &str| answer.get(name).and_then(Value::as_object).cloned();
    let text = |name: &str| {
        let text = answer.get(name).and_then(Value::as_str);
        text.filter(|text| !text.is_empty()).map(str::to_owned)
    };
    let flag = |name: &str| answer.get(name).and_then(Value::as_bool);
    let is_worked_out = ["effective_policy_definition", "policy"]
        .iter()
        .any(|name| answer.contains_key(*name));
    let policies = is_worked_out.then(|| object("effective_policy_definition").unwrap_or_default());
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

/// Innermost cause of an error. The error itself repeats the URL, which holds a secret.
fn cause(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return format!("nothing within {} s", CALL_TIMEOUT.as_secs());
    }
    let mut text = String::from("the request failed");
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

    /// A server that gives one answer to everybody, and says what it was asked.
    async fn server(answer: String) -> (String, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let asked = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.expect("a client");
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let read = socket.read_buf(&mut request).await.expect("a request");
                assert!(read > 0, "the client hung up");
            }
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
            String::from_utf8(request).expect("text")
        });
        (format!("http://us%65r:p%40ss@{address}/base/"), asked)
    }

    fn answer(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
    }

    async fn ask(answer: String) -> (Result<Option<QueueState>, String>, String) {
        let (uri, asked) = server(answer).await;
        let management = Management::new(&uri, "a/b").expect("a URI");
        let state = management.queue("p q.schedule").await;
        (state, asked.await.expect("a request"))
    }

    #[tokio::test]
    async fn a_queue_is_asked_for_by_its_name_with_the_password_in_a_header() {
        let body = json!({
            "type": "quorum", "durable": true, "auto_delete": false,
            "arguments": {"x-queue-type": "quorum"},
            "effective_policy_definition": {"expires": 1},
            "policy": "p", "operator_policy": null,
        });
        let (state, asked) = ask(answer("200 OK", "", &body.to_string())).await;
        let state = state.expect("an answer").expect("a queue");
        assert_eq!(state.kind, "quorum");
        assert_eq!(state.policy.as_deref(), Some("p"));
        assert_eq!(state.operator_policy, None);
        assert_eq!(state.policies.expect("known")["expires"], 1);
        let line = asked.lines().next().expect("a line");
        let path = "GET /base/api/queues/a%2Fb/p%20q.schedule?columns=type,";
        assert!(line.starts_with(path), "{line}");
        // user:p@ss
        let header = "authorization: basic dxnlcjpwqhnz";
        assert!(asked.to_lowercase().contains(header), "{asked}");
    }

    #[tokio::test]
    async fn policies_that_are_not_worked_out_yet_are_unknown() {
        let fresh = json!({"type": "quorum", "durable": true, "auto_delete": false});
        let (state, _) = ask(answer("200 OK", "", &fresh.to_string())).await;
        assert_eq!(state.expect("an answer").expect("a queue").policies, None);
        let old = json!({
            "type": "quorum", "durable": true, "auto_delete": false, "arguments": [],
            "effective_policy_definition": [], "policy": "", "operator_policy": "",
        });
        let (state, _) = ask(answer("200 OK", "", &old.to_string())).await;
        let state = state.expect("an answer").expect("a queue");
        assert_eq!(state.policies, Some(Map::new()));
        assert_eq!(state.policy, None);
    }

    #[tokio::test]
    async fn what_is_no_answer_is_told_without_the_password() {
        let moved = "Location: http://127.0.0.1:1/\r\n";
        let large = "x".repeat(MAX_BYTES + 1);
        for (answer, expected) in [
            (answer("401 Unauthorized", "", "{}"), "the tag `management`"),
            (answer("302 Found", moved, ""), "redirects are not followed"),
            (answer("500 Internal Server Error", "", ""), "500"),
            (answer("200 OK", "", "[]"), "no description"),
            (answer("200 OK", "", "{"), "no description"),
            (answer("200 OK", "", &large), "more than 65536 bytes"),
            (String::new(), "no answer"),
        ] {
            let (state, _) = ask(answer).await;
            let error = state.expect_err("no answer");
            assert!(error.contains(expected), "{error}");
            assert!(
                !error.contains("p@ss") && !error.contains("p%40ss"),
                "{error}"
            );
        }
        let (state, _) = ask(answer("404 Not Found", "", "{}")).await;
        assert_eq!(state, Ok(None));
    }

    #[test]
    fn what_is_no_url_is_refused_without_repeating_it() {
        for uri in ["amqp://user:hunter2@host", "hunter2", "http://"] {
            let error = Management::new(uri, "/").err().expect("refused");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
