//! Frames of a server, as bytes (RFC 6455, section 5). They are not masked, so
//! that one frame is the same for every client.

use actix_http::ws::{CloseReason, OpCode, Parser};
use bytes::{Bytes, BytesMut};

/// Bytes that a reason for closing may have, beside its code.
const LONGEST_REASON: usize = 123;
/// Bytes of a header at most.
const HEADER: usize = 10;

/// A text message in one frame.
#[must_use]
pub fn text(text: &str) -> Bytes {
    message(OpCode::Text, text.as_bytes())
}

/// A binary message in one frame.
#[must_use]
pub fn binary(bytes: &[u8]) -> Bytes {
    message(OpCode::Binary, bytes)
}

/// The payload of one of these frames, without its header.
#[must_use]
pub fn payload(frame: &Bytes) -> Bytes {
    let header = match frame.get(1) {
        Some(126) => 4,
        Some(127) => 10,
        _ => 2,
    };
    frame.slice(header.min(frame.len())..)
}

/// Asks for a pong.
#[must_use]
pub fn ping() -> Bytes {
    message(OpCode::Ping, b"")
}

/// The answer to a ping.
#[must_use]
pub fn pong(payload: &[u8]) -> Bytes {
    message(OpCode::Pong, payload)
}

/// The last frame; a reason that is too long is cut.
#[must_use]
pub fn close(code: u16, reason: &str) -> Bytes {
    let reason = CloseReason {
        code: code.into(),
        description: Some(reason[..reason.floor_char_boundary(LONGEST_REASON)].to_owned()),
    };
    closing(Some(reason))
}

/// The last frame, in answer to one without a reason.
#[must_use]
pub fn close_plainly() -> Bytes {
    closing(None)
}

fn closing(reason: Option<CloseReason>) -> Bytes {
    let mut bytes = BytesMut::new();
    Parser::write_close(&mut bytes, reason, false);
    bytes.freeze()
}

fn message(code: OpCode, payload: &[u8]) -> Bytes {
    let mut bytes = BytesMut::with_capacity(HEADER + payload.len());
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
    fn a_reason_is_cut_between_characters() {
        let frame = close(4001, &"ä".repeat(100));
        assert_eq!(frame.len(), 2 + 2 + 122);
        assert!(std::str::from_utf8(&frame[4..]).is_ok());
        assert_eq!(&close_plainly()[..], b"\x88\x00");
    }
}
