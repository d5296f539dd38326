//! A way to somebody outside: a mail server, a gateway, a webhook's endpoint.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::Notification;

/// The message of a mail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mail {
    /// Its subject, one line.
    pub subject: String,
    /// Plain text.
    pub text: String,
}

/// The message of a text message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShortText {
    /// Plain text.
    pub text: String,
}

/// Sends notifications of one lane.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Which; see [`crate::model::notification::Request::lane`].
    fn lane(&self) -> &str;

    /// Sends one. Returning says that the other side has taken it over.
    ///
    /// # Errors
    /// [`SendError`]; the other side may have got it all the same, and knows it
    /// by its id if it gets it again.
    async fn send(&self, notification: &Notification) -> Result<(), SendError>;
}

/// Why something was not sent. The texts are for whoever asks what became of it:
/// they hold no secrets.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// It will never be taken.
    #[error("{0}")]
    Refused(String),
    /// Perhaps later.
    #[error("{reason}")]
    Unavailable {
        /// Why.
        reason: String,
        /// How long the other side asked us to wait.
        wish: Option<Duration>,
    },
}

impl SendError {
    /// Perhaps later, without a wish.
    pub fn unavailable(reason: impl std::fmt::Display) -> Self {
        Self::Unavailable {
            reason: reason.to_string(),
            wish: None,
        }
    }
}
