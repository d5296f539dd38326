//! Text messages by a gateway that takes JSON over HTTP: which JSON is set by a
//! template, since no two gateways agree.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::Notification;
use bakehouse_engine::ports::{Channel, SendError, ShortText};
use reqwest::Client;
use serde_json::Value;
use url::Url;

use crate::SetupError;
use crate::http::{self, Reach};

/// How text messages are sent.
#[derive(Clone)]
pub struct Settings {
    /// The lane.
    pub lane: String,
    /// Where the gateway takes them.
    pub url: String,
    /// Sent as a bearer token, if there is one.
    pub token: Option<String>,
    /// The request's body: JSON in the texts of which `{to}`, `{text}` and `{id}`
    /// stand for the number, the message and the notification's id.
    pub body: String,
    /// How long an answer may take.
    pub timeout: Duration,
}

struct Sms {
    lane: String,
    url: Url,
    token: Option<String>,
    body: Value,
    client: Client,
}

/// Text messages, as the settings say. Nothing is sent yet.
///
/// # Errors
/// When the URL or the body cannot be used.
pub fn channel(settings: Settings) -> Result<Arc<dyn Channel>, SetupError> {
    let body: Value = serde_json::from_str(&settings.body)
        .map_err(|error| SetupError::new(format!("its body is no JSON: {error}")))?;
    for needed in ["{to}", "{text}"] {
        if !settings.body.contains(needed) {
            return Err(SetupError::new(format!("its body lacks {needed}")));
        }
    }
    Ok(Arc::new(Sms {
        lane: settings.lane,
        url: http::url(&settings.url, Reach::Everywhere)?,
        token: settings.token,
        body,
        client: http::client(Reach::Everywhere, settings.timeout)?,
    }))
}

#[async_trait]
impl Channel for Sms {
    fn lane(&self) -> &str {
        &self.lane
    }

    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let message: ShortText = serde_json::from_str(notification.message.get())
            .map_err(|_| SendError::Refused("what is on record is no text message".into()))?;
        let id = notification.id.to_string();
        let mut body = self.body.clone();
        fill(
            &mut body,
            &[
                ("{to}", &notification.to),
                ("{text}", &message.text),
                ("{id}", &id),
            ],
        );
        // The gateway's means to tell what it gets twice, if it has any.
        let request = self
            .client
            .post(self.url.clone())
            .header("idempotency-key", id);
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let answer = request.json(&body).send().await;
        let answer = answer.map_err(|error| http::no_answer(&error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        if http::may_pass(status) {
            return Err(http::try_later(&answer, ""));
        }
        Err(SendError::Refused(format!(
            "the gateway refused it: {}",
            status.as_u16()
        )))
    }
}

/// Puts values in the place of their names, in one pass: what is put in is
/// never looked at again.
fn fill(body: &mut Value, values: &[(&str, &str)]) {
    match body {
        Value::String(text) => *text = filled(text, values),
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, values)),
        Value::Object(members) => members.values_mut().for_each(|item| fill(item, values)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some(start) = rest.find('{') {
        filled.push_str(&rest[..start]);
        rest = &rest[start..];
        let found = values.iter().find(|(name, _)| rest.starts_with(name));
        let (put, taken) = found.map_or(("{", 1), |(name, value)| (*value, name.len()));
        filled.push_str(put);
        rest = &rest[taken..];
    }
    filled.push_str(rest);
    filled
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_are_filled_in_one_pass() {
        let mut body = json!({
            "messages": [{ "dest": "{to}", "content": "Hi: {text}", "n": 1 }], "ref": "{id}{x}",
        });
        fill(
            &mut body,
            &[("{to}", "+49"), ("{text}", "{to} \"x\""), ("{id}", "7")],
        );
        let expected = json!({
            "messages": [{ "dest": "+49", "content": "Hi: {to} \"x\"", "n": 1 }], "ref": "7{x}",
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let settings = |url: &str, body: &str| Settings {
            lane: "sms".into(),
            url: url.into(),
            token: None,
            body: body.into(),
            timeout: Duration::from_secs(1),
        };
        let good = r#"{"to":"{to}","text":"{text}"}"#;
        assert!(channel(settings("http://127.0.0.1:1/", good)).is_ok());
        for (url, body, says) in [
            ("gateway", good, "URL"),
            ("http://g/", "{to}", "JSON"),
            ("http://g/", r#"{"to":"{to}"}"#, "{text}"),
        ] {
            let error = channel(settings(url, body)).err().expect("refused");
            assert!(error.to_string().contains(says), "{error}");
        }
    }
}
