//! Webhooks as specified by Standard Webhooks 1.0 (standardwebhooks.com): the headers `webhook-id`,
//! `webhook-timestamp` and `webhook-signature`, a symmetric signature of version 1.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{Channel, SendError};
use bakehouse_engine::{Notification, Timestamp};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use reqwest::header::CONTENT_TYPE;
use reqwest::{Client, StatusCode};
use sha2::Sha256;
use url::Url;

use crate::SetupError;
use crate::http::{self, AllowedHosts};

/// Prefix of a secret.
const SECRET_PREFIX: &str = "whsec_";
/// Length of a secret in bytes, by the specification.
const SECRET_SIZE: std::ops::RangeInclusive<usize> = 24..=64;

/// Settings of an endpoint.
#[derive(Clone)]
pub struct Settings {
    /// URL of the endpoint. May contain a secret.
    pub url: String,
    /// Secret of the signatures: `whsec_` and 24 to 64 bytes in base64.
    pub secret: String,
    /// Allows an endpoint on this machine or in a private network.
    pub allow_private: bool,
    /// Timeout of a request.
    pub timeout: Duration,
}

/// Channel to the endpoint of a webhook.
pub struct Webhook {
    name: String,
    url: Url,
    secret: Vec<u8>,
    client: Client,
}

impl Webhook {
    /// Creates the channel, without sending a request.
    ///
    /// # Errors
    /// [`SetupError`] if the URL or the secret is invalid.
    pub fn new(settings: &Settings) -> Result<Arc<Self>, SetupError> {
        let allowed = if settings.allow_private {
            AllowedHosts::All
        } else {
            AllowedHosts::Public
        };
        let url = http::url(&settings.url, allowed)?;
        Ok(Arc::new(Self {
            // A URL may contain secrets, so its fingerprint is recorded instead.
            name: format!("webhook-{}", &ids::fingerprint(&[url.as_str()])[..16]),
            url,
            secret: secret(&settings.secret)?,
            client: http::client(allowed, settings.timeout)?,
        }))
    }

    /// Returns the host of the endpoint, which may be shown to users.
    #[must_use]
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }
}

/// Decodes a secret.
fn secret(text: &str) -> Result<Vec<u8>, SetupError> {
    let bytes = text.strip_prefix(SECRET_PREFIX);
    let bytes = bytes.and_then(|bytes| BASE64.decode(bytes).ok());
    bytes
        .filter(|bytes| SECRET_SIZE.contains(&bytes.len()))
        .ok_or_else(|| SetupError::new("secret: must be whsec_ and 24 to 64 bytes in base64"))
}

#[async_trait]
impl Channel for Webhook {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let id = format!("msg_{}", notification.id.simple());
        let seconds = Timestamp::now().millis() / 1_000;
        let payload = notification.message.get();
        let request = self
            .client
            .post(self.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header("webhook-id", &id)
            .header("webhook-timestamp", seconds)
            .header(
                "webhook-signature",
                sign(&self.secret, &id, seconds, payload),
            )
            .body(payload.to_owned());
        let response = request
            .send()
            .await
            .map_err(|error| http::no_response(&error))?;
        let status = response.status();
        if status.is_success() {
            return Ok(());
        }
        if status == StatusCode::GONE {
            return Err(SendError::Refused("the endpoint is gone (410)".into()));
        }
        let note = if status.is_redirection() {
            "; redirects are not followed"
        } else {
            ""
        };
        Err(http::retryable(&response, note))
    }
}

/// Signs a request: `v1,` and the HMAC-SHA256 of `id.timestamp.payload` in base64.
fn sign(secret: &[u8], id: &str, seconds: i64, payload: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any size");
    mac.update(format!("{id}.{seconds}.{payload}").as_bytes());
    format!("v1,{}", BASE64.encode(mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Uses the test vector of the specification's reference libraries.
    #[test]
    fn signatures_are_those_of_the_specification() {
        let secret = secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").expect("a secret");
        let payload = r#"{"test": 2432232314}"#;
        let signature = sign(
            &secret,
            "msg_p5jXN8AQM9LWM0D4loKWxJek",
            1_614_265_330,
            payload,
        );
        assert_eq!(signature, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn invalid_settings_are_reported_without_secrets() {
        let settings = |url: &str, secret: &str| Settings {
            url: url.into(),
            secret: secret.into(),
            allow_private: false,
            timeout: Duration::from_secs(1),
        };
        let good = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let hook = Webhook::new(&settings("https://shop.example/t0ken", good)).expect("it is good");
        assert_eq!(hook.host(), "shop.example");
        assert!(!hook.name().contains("t0ken"));
        for (url, secret) in [
            ("https://127.0.0.1/t0ken", good),
            ("t0ken", good),
            ("https://shop.example/t0ken", "whsec_c2hvcnQ="),
            ("https://shop.example/t0ken", "plain"),
        ] {
            let error = Webhook::new(&settings(url, secret)).err().expect("refused");
            let text = error.to_string();
            assert!(!text.contains("t0ken") && !text.contains("c2hv"), "{text}");
        }
    }
}
