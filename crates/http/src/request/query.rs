//! Query strings: every parameter known, given once, and read by somebody; or
//! all that is wrong with them at once.

use actix_web::http::header::{HeaderName, LINK};
use bakehouse_engine::ports::{Selection, Senders, SummaryQuery};
use bakehouse_engine::{LogEntry, Position};

use crate::response::problem::{InputFault, Problem};

/// The parameters that nobody has asked for yet.
pub struct Parameters {
    pairs: Vec<(String, String)>,
    known: Vec<&'static str>,
    faults: Vec<InputFault>,
}

impl Parameters {
    /// Of a query string, percent-encoded as it came.
    pub fn of(query: &str) -> Self {
        Self {
            pairs: url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
            known: Vec::new(),
            faults: Vec::new(),
        }
    }

    /// The parameter's value, if it is there and `parse` can read it; the error
    /// says what was expected.
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

    /// Whatever has not been taken should not be there.
    ///
    /// # Errors
    /// A problem that names everything that is wrong.
    pub fn finish(self) -> Result<(), Problem> {
        self.faults().map_err(Problem::invalid)
    }

    /// The same for where there are no problem documents.
    ///
    /// # Errors
    /// Everything that is wrong.
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

/// A name within a JSON pointer (RFC 6901).
fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// How many documents a page has that does not say otherwise.
pub const DEFAULT_LIMIT: usize = 20;
const HIGHEST_LIMIT: usize = 100;

/// How many documents a page may have.
pub fn limit(text: &str) -> Result<usize, String> {
    let limit = text.parse().ok();
    limit
        .filter(|limit| (1..=HIGHEST_LIMIT).contains(limit))
        .ok_or_else(|| format!("expected a whole number from 1 to {HIGHEST_LIMIT}"))
}

/// A position in the log; 0 stands before the first.
fn position(text: &str) -> Result<Position, String> {
    let position = text.parse().ok();
    position
        .filter(|position| i64::try_from(*position).is_ok())
        .ok_or_else(|| "expected a position: 0, 1, 2, …".to_owned())
}

/// A page of what stands in the log.
pub struct Page {
    limit: usize,
    /// Only what stands after this position.
    pub after: Position,
}

impl Page {
    /// What a query string asks for.
    pub(crate) fn of(query: &str) -> Result<Self, Problem> {
        Self::with_default(query, DEFAULT_LIMIT)
    }

    /// Parses the query of a list whose pages have a size of their own unless the query says so.
    ///
    /// # Errors
    /// 400 with everything that is wrong with the query string.
    pub fn with_default(query: &str, default: usize) -> Result<Self, Problem> {
        let mut parameters = Parameters::of(query);
        let limit = parameters.take("limit", limit).unwrap_or(default);
        let after = parameters.take("after", position).unwrap_or_default();
        parameters.finish()?;
        Ok(Self { limit, after })
    }

    /// The page of a selection of the log; one event more than asked for tells whether there
    /// is a next page.
    #[must_use]
    pub fn of_log<'a>(&self, of: Selection<'a>, senders: Senders<'a>) -> SummaryQuery<'a> {
        SummaryQuery {
            of,
            senders,
            after: self.after,
            limit: self.limit + 1,
        }
    }

    /// Cuts the events that were found down to the page; the next one's `Link`, if
    /// there is one.
    pub fn cut(&self, events: &mut Vec<LogEntry>, path: &str) -> Option<(HeaderName, String)> {
        if events.len() <= self.limit {
            return None;
        }
        events.truncate(self.limit);
        let (limit, after) = (self.limit, events.last()?.position);
        let next = format!("<{path}?limit={limit}&after={after}>; rel=\"next\"");
        Some((LINK, next))
    }
}

/// Text that can be compared with: not empty, not too long, without control
/// characters.
pub fn text(value: &str) -> Result<String, String> {
    const LONGEST: usize = 200;
    let is_usable =
        (1..=LONGEST).contains(&value.chars().count()) && !value.chars().any(char::is_control);
    if is_usable {
        return Ok(value.to_owned());
    }
    Err(format!("expected text of 1 to {LONGEST} characters"))
}
