//! Notification channels: [`email`] over SMTP, [`sms`] through an HTTP gateway, and [`webhook`]s as
//! specified by Standard Webhooks.
//!
//! A receiver may get a notification twice if its answer was lost; the notification's id identifies
//! the duplicate.

pub mod email;
mod http;
pub mod sms;
#[cfg(test)]
mod tests;
pub mod webhook;

/// Error of setting up a channel. Never contains a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

impl SetupError {
    fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}
