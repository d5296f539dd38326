//! Text messages through a gateway that accepts JSON over HTTP. A template defines the JSON, because
//! gateways differ.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::Notification;
use bakehouse_engine::ports::{Channel, SendError, ShortText};
use reqwest::Client;
use serde_json::Value;
use url::Url;

use crate::SetupError;
use crate::http::{self, AllowedHosts};

/// Settings of the channel.
#[derive(Clone)]
pub struct Settings {
    /// Name of the channel.
    pub lane: String,
    /// URL of the gateway.
    pub url: String,
    /// Bearer token; `None` sends none.
    pub token: Option<String>,
    /// Template of the request's body: JSON with the placeholders `{to}` (phone number), `{text}`
    /// (message) and `{id}` (id of the notification) in its strings.
    pub body: String,
    /// Timeout of a request.
    pub timeout: Duration,
}

struct Sms {
    name: String,
    url: Url,
    token: Option<String>,
    body: Value,
    client: Client,
}

/// Creates the channel, without sending a request.
///
/// # Errors
/// [`SetupError`] if the URL or the template is invalid.
pub fn channel(settings: Settings) -> Result<Arc<dyn Channel>, SetupError> {
    let body: Value = serde_json::from_str(&settings.body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        SetupError::new(format!(
            "body: invalid JSON at line {line}, column {column}"
        ))
    })?;
    for needed in ["{to}", "{text}"] {
        if !settings.body.contains(needed) {
            return Err(SetupError::new(format!(
                "body: the placeholder {needed} is missing"
            )));
        }
    }
    Ok(Arc::new(Sms {
        name: settings.lane,
        url: http::url(&settings.url, AllowedHosts::All)?,
        token: settings.token,
        body,
        client: http::client(AllowedHosts::All, settings.timeout)?,
    }))
}

#[async_trait]
impl Channel for Sms {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let message: ShortText = serde_json::from_str(notification.message.get())
            .map_err(|_| SendError::Refused("the recorded message is not a text message".into()))?;
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
        // Lets a gateway that supports the header recognize a duplicate.
        let request = self
            .client
            .post(self.url.clone())
            .header("idempotency-key", id);
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let response = request.json(&body).send().await;
        let response = response.map_err(|error| http::no_response(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        if http::is_retryable(status) {
            return Err(http::retryable(&response, ""));
        }
        Err(SendError::Refused(format!(
            "gateway: refused with status {}",
            status.as_u16()
        )))
    }
}

/// Replaces the placeholders in all strings of `body`, in one pass: placeholders in a value are not
/// replaced.
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
        let (inserted, consumed) = found.map_or(("{", 1), |(name, value)| (*value, name.len()));
        filled.push_str(inserted);
        rest = &rest[consumed..];
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
    fn invalid_settings_are_reported() {
        let settings = |url: &str, body: &str| Settings {
            lane: "sms".into(),
            url: url.into(),
            token: None,
            body: body.into(),
            timeout: Duration::from_secs(1),
        };
        let good = r#"{"to":"{to}","text":"{text}"}"#;
        assert!(channel(settings("http://127.0.0.1:1/", good)).is_ok());
        for (url, body, expected) in [
            ("gateway", good, "url"),
            ("http://g/", "{to}", "JSON"),
            ("http://g/", r#"{"to":"{to}"}"#, "{text}"),
        ] {
            let error = channel(settings(url, body)).err().expect("refused");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
