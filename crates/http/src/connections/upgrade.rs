//! Requests with an `Upgrade` header that are not a handshake of the feed. The server may ignore
//! such a header (RFC 9110, section 7.8), but the HTTP library takes everything after the request
//! for its body and ends the connection; here it becomes an ordinary request again.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actix_http::ConnectionType;
use actix_web::body::MessageBody;
use actix_web::dev::{Payload, RequestHead, ServiceRequest, ServiceResponse};
use actix_web::error::PayloadError;
use actix_web::http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING, UPGRADE};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{Error, HttpMessage, web};
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use crate::state::AppState;

const WEBSOCKET: &[u8] = b"websocket";

/// Checks whether a request is a websocket handshake.
pub(crate) fn is_handshake(head: &RequestHead) -> bool {
    head.method == Method::GET && head.upgrade() && names_websocket(head.headers())
}

fn names_websocket(headers: &HeaderMap) -> bool {
    headers
        .get_all(UPGRADE)
        .any(|value| is_websocket(value.as_bytes()))
}

fn is_websocket(value: &[u8]) -> bool {
    value.trim_ascii().eq_ignore_ascii_case(WEBSOCKET)
}

/// Bounds the body of a request with another upgrade, and closes the connection after the
/// response, since the HTTP library does not know where the next request begins.
pub(crate) async fn ignore_other_upgrades<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let head = request.head();
    let names_websocket = names_websocket(head.headers());
    if !names_websocket && !head.upgrade() {
        return next.call(request).await;
    }
    let state = request.app_data::<web::Data<AppState>>();
    let is_feed = state.is_some_and(|state| request.path() == state.api.feed);
    if is_feed && is_handshake(head) {
        return next.call(request).await;
    }
    if names_websocket && !head.headers().contains_key(TRANSFER_ENCODING) {
        let left = content_length(head.headers());
        let payload = request.take_payload();
        request.set_payload(bounded(payload, left));
    }
    let mut answer = next.call(request).await?;
    let head = answer.response_mut().head_mut();
    if head.status != StatusCode::SWITCHING_PROTOCOLS {
        head.set_connection_type(ConnectionType::Close);
        head.no_chunking(true);
    }
    Ok(answer)
}

fn content_length(headers: &HeaderMap) -> u64 {
    let length = headers.get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok());
    length
        .and_then(|length| length.trim().parse().ok())
        .unwrap_or_default()
}

/// Limits a payload of unknown length to its first `left` bytes.
fn bounded(payload: Payload, left: u64) -> Payload {
    if left == 0 {
        return Payload::None;
    }
    Payload::Stream {
        payload: Box::pin(Bounded { payload, left }),
    }
}

struct Bounded {
    payload: Payload,
    left: u64,
}

impl Stream for Bounded {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        let next = ready!(self.payload.poll_next_unpin(cx));
        Poll::Ready(match next {
            None => Some(Err(PayloadError::Incomplete(None))),
            Some(Ok(mut bytes)) => {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX);
                bytes.truncate(here);
                self.left -= bytes.len() as u64;
                Some(Ok(bytes))
            }
            error => error,
        })
    }
}

/// Removes the headers of an upgrade from the first request on a connection, unless it is a
/// websocket handshake at the path `feed`; returns the number of remaining bytes. An incomplete
/// head is not changed: [`ignore_other_upgrades`] handles it.
pub(super) fn without_other_upgrades(bytes: &mut [u8], feed: &str) -> usize {
    let all = bytes.len();
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return all;
    };
    let head = &bytes[..end + 2];
    let Some(kept) = rewritten(head, feed) else {
        return all;
    };
    let removed = head.len() - kept.len();
    bytes[..kept.len()].copy_from_slice(&kept);
    bytes.copy_within(end + 2.., kept.len());
    all - removed
}

/// Returns the head without its upgrade; `None` if it has none or is a handshake of the feed.
fn rewritten(head: &[u8], feed: &str) -> Option<Vec<u8>> {
    let mut lines = head.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next()?;
    let mut kept = first.to_vec();
    let mut websockets = 0_usize;
    let mut upgrades = false;
    for line in lines {
        let text = line.strip_suffix(b"\r\n")?;
        if let Some(value) = value_of(text, b"upgrade") {
            websockets += usize::from(is_websocket(value));
            continue;
        }
        let Some(value) = value_of(text, b"connection") else {
            kept.extend_from_slice(line);
            continue;
        };
        let is_upgrade = |option: &&[u8]| option.trim_ascii().eq_ignore_ascii_case(b"upgrade");
        let options: Vec<&[u8]> = value.split(|byte| *byte == b',').collect();
        let others: Vec<&[u8]> = options
            .iter()
            .filter(|option| !is_upgrade(option))
            .copied()
            .collect();
        if others.len() == options.len() {
            kept.extend_from_slice(line);
            continue;
        }
        upgrades = true;
        if !others.is_empty() {
            kept.extend_from_slice(b"connection:");
            kept.extend_from_slice(&others.join(&b","[..]));
            kept.extend_from_slice(b"\r\n");
        }
    }
    let is_handshake = websockets > 0 && upgrades && is_get_of(first, feed);
    (kept.len() < head.len() && !is_handshake).then_some(kept)
}

/// Returns the value of a header line if it has this name.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let (start, value) = line.split_at_checked(name.len() + 1)?;
    let is_name = start[..name.len()].eq_ignore_ascii_case(name) && start[name.len()] == b':';
    is_name.then_some(value)
}

fn is_get_of(first: &[u8], path: &str) -> bool {
    let rest = first.strip_prefix(b"GET ");
    let rest = rest.and_then(|rest| rest.strip_prefix(path.as_bytes()));
    rest.is_some_and(|rest| matches!(rest.first(), Some(b' ' | b'?')))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewrite(text: &str) -> String {
        let mut bytes = text.as_bytes().to_vec();
        let length = without_other_upgrades(&mut bytes, "/order-events");
        bytes.truncate(length);
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn an_unsupported_upgrade_is_removed() {
        let request = "POST /order HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\n\
                       Upgrade: h2c\r\nHTTP2-Settings: AAM\r\nContent-Length: 2\r\n\r\n{}";
        let expected = "POST /order HTTP/1.1\r\nHost: a\r\nconnection: HTTP2-Settings\r\n\
                        HTTP2-Settings: AAM\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(rewrite(request), expected);
        let request = "GET /order HTTP/1.1\r\nupgrade:websocket\r\nHost: a\r\n\
                       CONNECTION:upgrade\r\n\r\n";
        assert_eq!(rewrite(request), "GET /order HTTP/1.1\r\nHost: a\r\n\r\n");
    }

    #[test]
    fn other_requests_are_not_changed() {
        for request in [
            "GET /order-events?since=0 HTTP/1.1\r\nUpgrade: WebSocket\r\n\
             Connection: keep-alive, Upgrade\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade-Insecure-Requests: 1\r\nConnection: keep-alive\r\n\r\n",
            "GET / HTTP/1.1\r\nUpgrade: h2c\r\n",
            "GET / HTTP/1.1\nUpgrade: h2c\n\r\n\r\n",
            "",
        ] {
            assert_eq!(rewrite(request), request);
        }
    }
}
