//! Ways to those who are to be notified: [`email`] by SMTP, [`sms`] by a gateway's
//! HTTP, [`webhook`]s by the Standard Webhooks rules.
//!
//! What the other side does with what it has taken is its own affair; what it
//! may get twice, because an answer was lost, it can tell by the notification's id.

pub mod email;
mod http;
pub mod sms;
#[cfg(test)]
mod tests;
pub mod webhook;

/// Why a channel cannot be set up. Never repeats a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SetupError(String);

impl SetupError {
    fn new(reason: impl std::fmt::Display) -> Self {
        Self(reason.to_string())
    }
}
