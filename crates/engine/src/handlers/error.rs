//! Error of a handler's function.

/// Reason why an event cannot be handled, as text for operators.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandlerError(pub String);

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}
