//! Rejections of operations by the domain or the engine.

/// The rejection of an operation at execution. It is a valid outcome, stored with the log entry
/// and shown to the sender.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Rejection {
    /// Reason, a sentence for the sender.
    pub reason: String,
    /// Machine-readable code, if the domain defines one: `insufficient-funds`. The engine's own
    /// codes are [`Rejection::VERSION_CONFLICT`] and [`Rejection::KEY_REUSED`].
    pub code: Option<String>,
}

impl Rejection {
    /// Code of a rejection because the entity is not at the expected version.
    pub const VERSION_CONFLICT: &'static str = "version-conflict";
    /// Code of a rejection because the idempotency key was used before with other content.
    pub const KEY_REUSED: &'static str = "key-reused";

    /// Creates a rejection without a code. The reason is a sentence for the sender.
    #[must_use]
    pub fn new(reason: impl Into<String>) -> Self {
        Self {
            reason: reason.into(),
            code: None,
        }
    }

    /// Adds a machine-readable code, in lower case with hyphens.
    #[must_use]
    pub fn with_code(self, code: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            ..self
        }
    }
}
