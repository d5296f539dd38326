//! Notification channels: a mail server, a text message gateway, a webhook endpoint.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Notification;

/// Message of an e-mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Subject, one line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// Content of a text message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortText {
    /// Plain text.
    pub text: String,
}

/// Sends the notifications of one channel.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Returns the name of the channel; see [`crate::model::notification::Request::lane`].
    fn name(&self) -> &str;

    /// Sends a notification. `Ok` means that the receiver has accepted it.
    ///
    /// # Errors
    /// [`SendError`]. The receiver may have accepted the notification nevertheless; it can detect a
    /// repetition by the id.
    async fn send(&self, notification: &Notification) -> Result<(), SendError>;
}

/// Error of sending a notification. The texts are shown to users and contain no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Permanent failure: the receiver refuses the notification.
    #[error("{0}")]
    Refused(String),
    /// Temporary failure: another attempt may succeed.
    #[error("{reason}")]
    Unavailable {
        /// Reason of the failure.
        reason: String,
        /// Minimum delay before the next attempt, if the receiver requested one.
        retry_after: Option<Duration>,
    },
}

impl SendError {
    /// Creates a temporary failure without a requested delay.
    pub fn unavailable(reason: impl std::fmt::Display) -> Self {
        Self::Unavailable {
            reason: reason.to_string(),
            retry_after: None,
        }
    }
}
