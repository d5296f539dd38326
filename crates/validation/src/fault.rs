//! What is wrong with a body.

/// The most faults that one answer names.
const MOST: usize = 100;

/// Why a body is no command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Faults {
    /// It is not JSON; where and why.
    Syntax(String),
    /// It says something that it must not, or does not say what it must.
    Content(Vec<Fault>),
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// What was expected there.
    pub detail: String,
}

/// Gathers faults, up to a number that an answer has room for.
#[derive(Debug, Default)]
pub struct Collector(Vec<Fault>);

impl Collector {
    /// Adds one, at this pointer.
    pub fn add(&mut self, pointer: &str, detail: impl Into<String>) {
        if self.0.len() < MOST {
            self.0.push(Fault {
                pointer: pointer.to_owned(),
                detail: detail.into(),
            });
        }
    }

    /// The value, if nothing is wrong.
    ///
    /// # Errors
    /// [`Faults`]: all of them.
    pub fn finish<T>(self, value: Option<T>) -> Result<T, Faults> {
        match value {
            Some(value) if self.0.is_empty() => Ok(value),
            _ => Err(Faults::Content(self.0)),
        }
    }
}
