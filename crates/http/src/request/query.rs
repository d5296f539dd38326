//! Query strings: every parameter must be known, valid, and given once. All faults are reported
//! together.

use actix_web::http::header::{HeaderName, LINK};
use bakehouse_engine::ports::{Selection, Senders, SummaryQuery};
use bakehouse_engine::{LogEntry, Position};

use crate::response::problem::{InputFault, Problem};

/// Parameters of a query string that have not been taken yet.
pub struct Parameters {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<InputFault>,
}

impl Parameters {
    /// Parses a query string, percent-encoded as received.
    pub fn of(query: &str) -> Self {
        Self {
            pairs: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            known: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// Takes a parameter and parses its value; `None` if it is absent or invalid. The error of
    /// `parse` states what was expected.
    pub fn take<T>(
        &mut self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        self.known.push(name);
        let index = self.pairs.iter().position(|(key, _)| key == name)?;
        let (_, value) = self.pairs.remove(index);
        parse(&value)
            .map_err(|detail| self.fault(name, detail))
            .ok()
    }

    fn fault(&mut self, name: &str, detail: String) {
        let pointer = format!("/query/{}", escaped(name));
        self.faults.push(InputFault { pointer, detail });
    }

    /// Checks that no parameter was invalid, and that none is left over.
    ///
    /// # Errors
    /// 400 with all faults.
    pub fn finish(self) -> Result<(), Problem> {
        self.faults().map_err(Problem::invalid)
    }

    /// Checks the same as [`Parameters::finish`], for transports without problem documents.
    ///
    /// # Errors
    /// All faults, when a parameter is invalid or left over.
    pub fn faults(mut self) -> Result<(), Vec<InputFault>> {
        let known = self.known.join(", ");
        for (name, _) in std::mem::take(&mut self.pairs) {
            let detail = if self.known.contains(&name.as_str()) {
                "given more than once".to_owned()
            } else {
                format!("unknown parameter; known are {known}")
            };
            self.fault(&name, detail);
        }
        if self.faults.is_empty() {
            return Ok(());
        }
        Err(self.faults)
    }
}

/// Escapes a name for a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Number of items of a page whose query string has no `limit`.
pub const DEFAULT_LIMIT: usize = 20;
/// Maximum number of items of a page.
const MAX_LIMIT: usize = 100;

/// Parses the number of items of a page.
///
/// # Errors
/// A message for the client with the expected range, when the number is outside of it.
pub fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok();
    limit
        .filter(|limit| (1..=MAX_LIMIT).contains(limit))
        .ok_or_else(|| format!("expected a whole number from 1 to {MAX_LIMIT}"))
}

/// Parses a position in the log; 0 precedes the first.
fn position(text: &str) -> Result<Position, String> {
    let position = text.parse().ok();
    position
        .filter(|position| i64::try_from(*position).is_ok())
        .ok_or_else(|| "expected a position: 0, 1, 2, …".to_owned())
}

/// Page of a list of log entries.
pub struct Page {
    limit: usize,
    /// Position after which the page starts.
    pub after: Position,
}

impl Page {
    /// Parses a query string.
    ///
    /// # Errors
    /// 400 with all faults of the query string.
    pub(crate) fn of(query: &str) -> Result<Self, Problem> {
        Self::with_default(query, DEFAULT_LIMIT)
    }

    /// Parses a query string; `default` is the size of a page without `limit`.
    ///
    /// # Errors
    /// 400 with all faults of the query string.
    pub fn with_default(query: &str, default: usize) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(query);
        let limit = parameters.take("limit", limit).unwrap_or(default);
        let after = parameters.take("after", position).unwrap_or_default();
        parameters.finish()?;
        Ok(Self { limit, after })
    }

    /// Query of the log for this page; it reads one entry more than the page has, which shows
    /// whether there is a next page.
    #[must_use]
    pub fn of_log<'a>(&self, of: Selection<'a>, senders: Senders<'a>) -> SummaryQuery<'a> {
        SummaryQuery {
            of,
            senders,
            after: self.after,
            limit: self.limit + 1,
        }
    }

    /// Truncates the entries found to the page; returns the `Link` header of the next page, if
    /// there is one.
    pub fn cut(&self, entries: &mut Vec<LogEntry>, path: &str) -> Option<(HeaderName, String)> {
        if entries.len() <= self.limit {
            return None;
        }
        entries.truncate(self.limit);
        let (limit, after) = (self.limit, entries.last()?.position);
        let next = format!("<{path}?limit={limit}&after={after}>; rel=\"next\"");
        Some((LINK, next))
    }
}

/// Parses a text of 1 to 200 characters without control characters.
///
/// # Errors
/// A message for the client with the expected length, when the text is invalid.
pub fn text(value: &str) -> Result<String, String> {
    const MAX_LENGTH: usize = 200;
    let is_valid =
        (1..=MAX_LENGTH).contains(&value.chars().count()) && !value.chars().any(char::is_control);
    if is_valid {
        return Ok(value.to_owned());
    }
    Err(format!("expected text of 1 to {MAX_LENGTH} characters"))
}
