//! Problem documents for input that is not an HTTP request. The HTTP library answers it by itself
//! with a response without a body, and has no hook to add one: such responses are recognized when
//! they are written to the connection, and replaced there.

use actix_web::http::StatusCode;

use crate::response::problem::Problem;

/// Maximum length of the head of such a response, in bytes, with a margin.
const MAX_HEAD_BYTES: usize = 256;
/// Headers of such a response. Responses of handlers always have others as well.
const HEADERS: [&str; 3] = ["content-length", "connection", "date"];

/// Returns the problem that replaces a response without a body; `None` for any other response.
/// To be called only at the start of a response: the same bytes may occur in a body.
pub(super) fn problem(bytes: &[u8]) -> Option<Problem> {
    let status = bare_status(bytes)?;
    Some(match status {
        StatusCode::REQUEST_TIMEOUT => Problem::header_timeout(),
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => {
            let detail = "the request line and headers exceed 128 KiB or 96 headers";
            Problem::protocol(status, Some(detail.to_owned()))
        }
        _ => {
            let detail = "the request is not valid HTTP/1.1";
            Problem::protocol(status, Some(detail.to_owned()))
        }
    })
}

/// Returns the status of a response without a body that was not made by a handler.
fn bare_status(bytes: &[u8]) -> Option<StatusCode> {
    if bytes.len() > MAX_HEAD_BYTES {
        return None;
    }
    let head = std::str::from_utf8(bytes).ok()?.strip_suffix("\r\n\r\n")?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    let status = StatusCode::from_bytes(status.as_bytes()).ok()?;
    let mut is_empty = false;
    for line in lines {
        let (name, value) = line.split_once(": ")?;
        if !HEADERS.contains(&name) {
            return None;
        }
        is_empty |= name == "content-length" && value == "0";
    }
    let is_refusal = matches!(
        status,
        StatusCode::BAD_REQUEST
            | StatusCode::REQUEST_TIMEOUT
            | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
    );
    (is_empty && is_refusal).then_some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bare_refusals_are_recognised() {
        let status = |text: &str| bare_status(text.as_bytes()).map(|status| status.as_u16());
        let date = "date: Sat, 31 Jan 2026 12:00:00 GMT\r\n\r\n";
        for code in [400, 408, 431] {
            let bare = format!("HTTP/1.1 {code} Whatever\r\ncontent-length: 0\r\n{date}");
            assert_eq!(status(&bare), Some(code));
        }
        for other in [
            format!("HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n{date}"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 2\r\n{date}"),
            format!("HTTP/1.1 400 Bad Request\r\n{date}"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nx-a: b\r\n{date}"),
            format!("HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n{date}more"),
            "HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n".to_owned(),
            String::new(),
        ] {
            assert_eq!(status(&other), None, "{other}");
        }
    }
}
