//! Websocket protocol (RFC 6455), independent of what it carries: messages in, bytes out.
//!
//! Incoming bytes pass through a [`decoder`] that buffers at most one message. Outgoing
//! [`frame`]s are rendered once for all of their clients. They form the response's body; the
//! server asks for more of it only when the socket has taken the previous bytes. A client that
//! does not read therefore delays no other client, and nothing is queued for it.

pub mod decoder;
pub mod frame;
mod incoming;
mod messages;
mod rate;

use actix_web::http::header::{HeaderMap, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use actix_web::{HttpRequest, HttpResponse, web};

use crate::connections::is_handshake;

pub use decoder::Limits;
pub use incoming::{Incoming, Violation};
pub use messages::Messages;
pub use rate::Rate;
pub(crate) use rate::TokenBucket;

/// Supported version of the protocol, the only one (RFC 6455, section 4.1).
const VERSION: &[u8] = b"13";
/// Length of a key: 16 bytes in base64.
const KEY_LENGTH: usize = 24;

/// Error of an invalid handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The version of the protocol is not supported.
    #[error("Sec-WebSocket-Version: expected 13")]
    Version,
    /// The request is not a handshake, or an incomplete one; states the expected header.
    #[error("{0}")]
    Malformed(&'static str),
}

/// Answers a handshake, and returns the response and the client's messages. The caller sets a
/// stream of frames as the response's body; that stream must own the [`Messages`].
///
/// # Errors
/// [`HandshakeError`], when the request is not a valid handshake.
pub fn upgrade(
    request: &HttpRequest,
    payload: web::Payload,
    limits: Limits,
) -> Result<(HttpResponse<()>, Messages), HandshakeError> {
    let head = request.head();
    if !is_handshake(head) {
        return Err(HandshakeError::Malformed(
            "expected GET with Connection: Upgrade and Upgrade: websocket",
        ));
    }
    verify(head.headers())?;
    let response = actix_http::ws::handshake_response(head).finish();
    let response = HttpResponse::from(response).drop_body();
    Ok((response, Messages::new(payload.into_inner(), limits)))
}

fn verify(headers: &HeaderMap) -> Result<(), HandshakeError> {
    let version = headers.get(SEC_WEBSOCKET_VERSION);
    if version.is_none_or(|version| version.as_bytes().trim_ascii() != VERSION) {
        return Err(HandshakeError::Version);
    }
    let key = headers.get(SEC_WEBSOCKET_KEY).map(|key| key.as_bytes());
    let is_base64 = |byte: &u8| byte.is_ascii_alphanumeric() || b"+/=".contains(byte);
    let is_key = |key: &[u8]| key.len() == KEY_LENGTH && key.iter().all(is_base64);
    if key.is_none_or(|key| !is_key(key)) {
        return Err(HandshakeError::Malformed(
            "Sec-WebSocket-Key: expected 16 bytes in base64",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn handshakes_are_verified() {
        let verified = |version: Option<&str>, key: &str| {
            let mut request = TestRequest::get().insert_header((SEC_WEBSOCKET_KEY, key));
            if let Some(version) = version {
                request = request.insert_header((SEC_WEBSOCKET_VERSION, version));
            }
            verify(request.to_http_request().headers())
        };
        let key = "x3JJHMbDL1EzLkh9GBhXDw==";
        assert_eq!(verified(Some("13"), key), Ok(()));
        for version in [None, Some("8"), Some("14"), Some("13, 8"), Some("")] {
            assert_eq!(verified(version, key), Err(HandshakeError::Version));
        }
        for key in [
            "",
            "x",
            "x3JJHMbDL1EzLkh9GBhXD ==",
            "x3JJHMbDL1EzLkh9GBhXDw===",
        ] {
            assert!(matches!(
                verified(Some("13"), key),
                Err(HandshakeError::Malformed(_))
            ));
        }
    }
}
