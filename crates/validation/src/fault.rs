//! Errors of a body.

/// Maximum number of errors that are returned for one body.
const MAX_FAULTS: usize = 100;

/// Reason why a body is invalid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Faults {
    /// The body is not valid JSON, with the position and the reason.
    Syntax(String),
    /// The body is JSON, but has invalid values, or unknown or missing members.
    Content(Vec<Fault>),
}

/// Error at one value of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// JSON pointer of the value (RFC 6901).
    pub pointer: String,
    /// Description of the error, such as the expected value.
    pub detail: String,
}

/// Collector of the errors of one body, up to `MAX_FAULTS`.
#[derive(Debug, Default)]
pub struct ErrorCollector(Vec<Fault>);

impl ErrorCollector {
    /// Adds an error at this pointer.
    pub fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        if self.0.len() < MAX_FAULTS {
            self.0.push(Fault {
                pointer: pointer.to_owned(),
                detail: detail.into(),
            });
        }
    }

    /// Returns the value if no error was added.
    ///
    /// # Errors
    /// [`Faults::Content`] with all errors that were added.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Faults::Content(self.0)),
        }
    }
}
