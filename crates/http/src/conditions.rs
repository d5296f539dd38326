//! Conditional requests (RFC 9110, section 13). An entity's tag is its
//! version in quotes, so that any document that has been seen, in a list or on
//! the feed, can be the base of a change.

use actix_web::HttpRequest;
use actix_web::http::header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH};

use crate::problem::{InputFault, Problem};

/// The entity tag of a document of this version.
#[must_use]
pub fn tag(version: u64) -> String {
    format!("\"{version}\"")
}

/// As an answer's header.
#[must_use]
pub fn etag(tag: &str) -> (HeaderName, String) {
    (ETAG, tag.to_owned())
}

/// A header's text, all of its lines together; `None` if there is none.
#[must_use]
pub fn header(request: &HttpRequest, name: &HeaderName) -> Option<String> {
    let lines = request.headers().get_all(name);
    // What is no text becomes something that is nothing in any header of ours.
    let text = |line: &HeaderValue| String::from_utf8_lossy(line.as_bytes()).into_owned();
    let texts: Vec<String> = lines.map(text).collect();
    (!texts.is_empty()).then(|| texts.join(","))
}

/// Whether the client has what is tagged so: weak tags count as well.
#[must_use]
pub fn is_known(request: &HttpRequest, tag: &str) -> bool {
    header(request, &IF_NONE_MATCH).is_some_and(|known| {
        known
            .split(',')
            .map(|one| one.trim().trim_start_matches("W/"))
            .any(|one| one == tag || one == "*")
    })
}

/// The version that a change is based on, from `If-Match`; `None` where any
/// will do.
///
/// # Errors
/// 400 when the header is no entity tag, or more than one; 412 when it names
/// none, or one that nothing can have.
pub fn expected_version(request: &HttpRequest) -> Result<Option<u64>, Problem> {
    let Some(text) = header(request, &IF_MATCH) else {
        return Ok(None);
    };
    match text.trim() {
        "*" => Ok(None),
        "" => Err(Problem::unmatched()),
        text => tagged_version(text).map(Some),
    }
}

fn tagged_version(text: &str) -> Result<u64, Problem> {
    let quoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    match quoted.filter(|tag| !tag.contains('"')) {
        Some(tag) => tag.parse().map_err(|_| Problem::unmatched()),
        // Changes are based on exactly what was seen (RFC 9110, section 8.8.3.2).
        None if text.starts_with("W/\"") => Err(Problem::unmatched()),
        None => Err(Problem::invalid(vec![InputFault {
            pointer: "/header/If-Match".into(),
            detail: "expected one entity tag as given in an ETag header, such as \"3\"".into(),
        }])),
    }
}
