//! Frames of a server as bytes (RFC 6455, section 5). They are not masked, so that one frame is
//! the same for every client.

use actix_http::ws::{CloseReason, OpCode, Parser};
use bytes::{Bytes, BytesMut};

/// Maximum size of a close frame's reason in bytes.
const MAX_REASON_BYTES: usize = 123;
/// Maximum size of a header in bytes.
const MAX_HEADER_BYTES: usize = 10;

/// Text message in one frame.
#[must_use]
pub fn text(text: &str) -> Bytes {
    message(OpCode::Text, text.as_bytes())
}

/// Binary message in one frame.
#[must_use]
pub fn binary(bytes: &[u8]) -> Bytes {
    message(OpCode::Binary, bytes)
}

/// Payload of a frame of this module, without its header.
#[must_use]
pub fn payload(frame: &Bytes) -> Bytes {
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.slice(header.min(frame.len())..)
}

/// Ping frame without a payload.
#[must_use]
pub fn ping() -> Bytes {
    message(OpCode::Ping, b"")
}

/// Pong frame that answers a ping with this payload.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    message(OpCode::Pong, payload)
}

/// Close frame; a reason of more than 123 bytes is truncated.
#[must_use]
pub fn close(code: u16, reason: &str) -> Bytes {
    let reason = CloseReason {
        code: code.into(),
        description: Some(reason[..reason.floor_char_boundary(MAX_REASON_BYTES)].to_owned()),
    };
    close_frame(Some(reason))
}

/// Close frame without code and reason.
#[must_use]
pub fn close_without_reason() -> Bytes {
    close_frame(None)
}

fn close_frame(reason: Option<CloseReason>) -> Bytes {
    let mut bytes = BytesMut::new();
    Parser::write_close(&mut bytes, reason, false);
    bytes.freeze()
}

fn message(code: OpCode, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(MAX_HEADER_BYTES + payload.len());
    Parser::write_message(&mut bytes, payload, code, true, false);
    bytes.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_have_three_sizes() {
        assert_eq!(&text("hi")[..], b"\x81\x02hi");
        assert_eq!(text(&"x".repeat(126))[..4], [0x81, 126, 0, 126]);
        assert_eq!(text(&"x".repeat(65_536))[..4], [0x81, 127, 0, 0]);
        assert_eq!(&pong(b"a")[..], b"\x8a\x01a");
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            assert_eq!(payload(&text(&"x".repeat(length))).len(), length);
        }
    }

    #[test]
    fn a_reason_is_truncated_between_characters() {
        let frame = close(4001, &"ä".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(&close_without_reason()[..], b"\x88\x00");
    }
}
