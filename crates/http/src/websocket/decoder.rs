//! Decoder from bytes to messages, with limits: every frame's header is checked before its payload
//! is buffered, fragments are copied into one buffer, and frames are counted. Each kind of
//! violation has its own close code (RFC 6455, sections 5 and 7.4).

use std::time::Instant;

use bytes::{Buf, Bytes};

use super::incoming::Incoming;
pub use super::incoming::Violation;
use super::rate::{Rate, TokenBucket};

/// Limits on what a client may send on one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum size of a message in bytes, all of its fragments together.
    pub max_message_bytes: usize,
    /// Maximum number of frames of a message.
    pub max_fragments: u32,
    /// Rate of pings, pongs and closes.
    pub control_frames: Rate,
    /// Rate of messages.
    pub messages: Rate,
}

/// Maximum size of a header in bytes: two, a length of eight, a mask of four.
const MAX_HEADER_BYTES: usize = 14;
/// Maximum payload of a control frame in bytes.
const MAX_CONTROL_BYTES: usize = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// Frame whose header has been read.
struct Frame {
    code: u8,
    is_final: bool,
    /// Number of payload bytes not received yet.
    left: usize,
    mask: [u8; 4],
    /// Index of the mask's next byte.
    mask_at: usize,
}

/// Message of which not all frames have been received.
struct Partial {
    is_text: bool,
    fragments: u32,
    bytes: Vec<u8>,
    /// Number of leading bytes known to be UTF-8.
    checked: usize,
}

/// Decoder of a client's sequence of frames.
pub(super) struct Decoder {
    limits: Limits,
    control_frames: TokenBucket,
    messages: TokenBucket,
    header: Vec<u8>,
    frame: Option<Frame>,
    /// Payload of the current control frame.
    control: Vec<u8>,
    partial: Option<Partial>,
}

impl Decoder {
    pub(super) fn new(limits: Limits, now: Instant) -> Self {
        Self {
            limits,
            control_frames: TokenBucket::new(limits.control_frames, now),
            messages: TokenBucket::new(limits.messages, now),
            header: Vec::with_capacity(MAX_HEADER_BYTES),
            frame: None,
            control: Vec::new(),
            partial: None,
        }
    }

    /// Decodes bytes up to the end of the next message; `None` when all bytes are consumed.
    ///
    /// # Errors
    /// [`Violation`], when the client violates the protocol or a limit.
    pub(super) fn decode(&mut self, bytes: &mut Bytes) -> Result<Option<Incoming>, Violation> {
        loop {
            let Some(frame) = &mut self.frame else {
                if bytes.is_empty() {
                    return Ok(None);
                }
                let byte = bytes.get_u8();
                self.read_header(byte)?;
                continue;
            };
            let available = frame.left.min(bytes.len());
            let payload = match &mut self.partial {
                Some(partial) if frame.code < CLOSE => &mut partial.bytes,
                _ => &mut self.control,
            };
            let unmasked = bytes[..available].iter().enumerate();
            payload.extend(unmasked.map(|(at, byte)| byte ^ frame.mask[(frame.mask_at + at) % 4]));
            bytes.advance(available);
            frame.left -= available;
            frame.mask_at = (frame.mask_at + available) % 4;
            if frame.left > 0 {
                return Ok(None);
            }
            let (code, is_final) = (frame.code, frame.is_final);
            self.frame = None;
            let complete = match code {
                CLOSE.. => Some(control_message(code, std::mem::take(&mut self.control))?),
                _ => self.end_fragment(is_final)?,
            };
            if complete.is_some() {
                return Ok(complete);
            }
        }
    }

    /// Adds a byte to the header, and begins the frame once the header is complete.
    fn read_header(&mut self, byte: u8) -> Result<(), Violation> {
        self.header.push(byte);
        let [first, second, ..] = self.header[..] else {
            return Ok(());
        };
        if self.header.len() == 2 {
            self.check_header(first, second)?;
        }
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.header.len() < 2 + extended + 4 {
            return Ok(());
        }
        let extended_length = self.header[2..2 + extended]
            .iter()
            .fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
        let length = if extended == 0 {
            u64::from(second & 0x7f)
        } else {
            extended_length
        };
        let mut mask = [0; 4];
        mask.copy_from_slice(&self.header[2 + extended..]);
        self.header.clear();
        self.begin_frame(first, length, mask)
    }

    /// Checks the first two bytes of a header.
    fn check_header(&self, first: u8, second: u8) -> Result<(), Violation> {
        let (code, is_final) = (first & 0x0f, first & 0x80 != 0);
        let violation = |what| Err(Violation::Protocol(what));
        if first & 0x70 != 0 {
            return violation("reserved bits are set");
        }
        if second & 0x80 == 0 {
            return violation("a frame of a client is not masked");
        }
        match code {
            CONTINUATION if self.partial.is_none() => violation("there is no message to continue"),
            TEXT | BINARY if self.partial.is_some() => violation("a message is not complete"),
            CONTINUATION | TEXT | BINARY => Ok(()),
            CLOSE..=PONG if !is_final => violation("a control frame is in fragments"),
            CLOSE..=PONG if usize::from(second & 0x7f) > MAX_CONTROL_BYTES => {
                violation("a control frame is too long")
            }
            CLOSE..=PONG => Ok(()),
            _ => violation("the kind of a frame is reserved"),
        }
    }

    /// Counts a frame against the limits, and expects its payload.
    fn begin_frame(&mut self, first: u8, length: u64, mask: [u8; 4]) -> Result<(), Violation> {
        let code = first & 0x0f;
        let left = usize::try_from(length).map_err(|_| Violation::TooLong)?;
        let now = Instant::now();
        match (&mut self.partial, code) {
            (_, CLOSE..) => {
                if !self.control_frames.take(now) {
                    return Err(Violation::TooMany("too many control frames"));
                }
            }
            (Some(partial), _) => {
                partial.fragments += 1;
                if partial.fragments > self.limits.max_fragments {
                    return Err(Violation::TooMany("a message has too many fragments"));
                }
            }
            (partial, code) => {
                if !self.messages.take(now) {
                    return Err(Violation::TooMany("too many messages"));
                }
                *partial = Some(Partial {
                    is_text: code == TEXT,
                    fragments: 1,
                    bytes: Vec::new(),
                    checked: 0,
                });
            }
        }
        if let Some(partial) = &self.partial
            && code < CLOSE
            && left > self.limits.max_message_bytes - partial.bytes.len()
        {
            return Err(Violation::TooLong);
        }
        self.frame = Some(Frame {
            code,
            is_final: first & 0x80 != 0,
            left,
            mask,
            mask_at: 0,
        });
        Ok(())
    }

    /// Checks that the text received so far is UTF-8; returns the message after its last fragment.
    fn end_fragment(&mut self, is_final: bool) -> Result<Option<Incoming>, Violation> {
        let Some(partial) = &mut self.partial else {
            return Ok(None);
        };
        if partial.is_text {
            let unchecked = &partial.bytes[partial.checked..];
            match std::str::from_utf8(unchecked) {
                Ok(_) => partial.checked = partial.bytes.len(),
                // A character may be split between two fragments.
                Err(error) if error.error_len().is_none() && !is_final => {
                    partial.checked += error.valid_up_to();
                }
                Err(_) => return Err(Violation::NotUtf8),
            }
        }
        if !is_final {
            return Ok(None);
        }
        let Some(Partial { is_text, bytes, .. }) = self.partial.take() else {
            return Ok(None);
        };
        if !is_text {
            return Ok(Some(Incoming::Binary(bytes.into())));
        }
        let text = String::from_utf8(bytes).map_err(|_| Violation::NotUtf8)?;
        Ok(Some(Incoming::Text(text)))
    }
}

/// Converts a control frame into a message; checks the code and reason of a close.
fn control_message(code: u8, payload: Vec<u8>) -> Result<Incoming, Violation> {
    match code {
        PING => return Ok(Incoming::Ping(payload.into())),
        PONG => return Ok(Incoming::Pong),
        _ => {}
    }
    match payload[..] {
        [] => Ok(Incoming::Close(None)),
        [_] => Err(Violation::Protocol("close code truncated")),
        [high, low, ref reason @ ..] => {
            let code = u16::from_be_bytes([high, low]);
            if !is_valid_close_code(code) {
                return Err(Violation::Protocol("the code of the close is reserved"));
            }
            std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
            Ok(Incoming::Close(Some(code)))
        }
    }
}

/// Checks whether a close frame may carry this code (RFC 6455, section 7.4, and its registry).
fn is_valid_close_code(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNLIMITED: Rate = Rate {
        burst: 1_000_000,
        per_second: 1,
    };
    const LIMITS: Limits = Limits {
        max_message_bytes: 1_000,
        max_fragments: 5,
        control_frames: UNLIMITED,
        messages: UNLIMITED,
    };

    /// Masked frame of a client.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [1, 2, 3, 4];
        let mut bytes = vec![first];
        match payload.len() {
            short @ 0..=125 => bytes.push(0x80 | u8::try_from(short).expect("short")),
            long => {
                bytes.push(0x80 | 126);
                bytes.extend(u16::try_from(long).expect("short enough").to_be_bytes());
            }
        }
        bytes.extend(mask);
        bytes.extend(payload.iter().zip(mask.iter().cycle()).map(|(b, m)| b ^ m));
        bytes
    }

    fn run(decoder: &mut Decoder, chunks: &[&[u8]]) -> (Vec<String>, Option<Violation>) {
        let mut found = Vec::new();
        for chunk in chunks {
            let mut bytes = Bytes::copy_from_slice(chunk);
            loop {
                match decoder.decode(&mut bytes) {
                    Ok(Some(incoming)) => found.push(format!("{incoming:?}")),
                    Ok(None) => break,
                    Err(violation) => return (found, Some(violation)),
                }
            }
        }
        (found, None)
    }

    /// Decodes bytes at once and byte by byte; returns the messages and the violation.
    fn decode(bytes: &[u8]) -> (Vec<String>, Option<Violation>) {
        let mut decoder = Decoder::new(LIMITS, Instant::now());
        let whole = run(&mut decoder, &[bytes]);
        let single: Vec<&[u8]> = bytes.chunks(1).collect();
        let mut decoder = Decoder::new(LIMITS, Instant::now());
        assert_eq!(whole, run(&mut decoder, &single));
        whole
    }

    fn violation(bytes: &[u8]) -> Violation {
        decode(bytes).1.expect("a violation")
    }

    #[test]
    fn valid_frames_are_decoded() {
        let good = [
            frame(0x81, "hällo".as_bytes()),
            frame(0x01, &"hä".as_bytes()[..2]),
            frame(0x89, b"ping"),
            frame(0x80, &"hälo".as_bytes()[2..]),
            frame(0x82, &[7; 3]),
            frame(0x8a, b""),
            frame(0x81, b""),
            frame(0x88, b"\x03\xe8bye"),
            frame(0x88, b""),
        ];
        let (found, violation) = decode(&good.concat());
        assert_eq!(violation, None);
        assert_eq!(
            found,
            [
                "Text(\"hällo\")",
                "Ping(b\"ping\")",
                "Text(\"hälo\")",
                "Binary(b\"\\x07\\x07\\x07\")",
                "Pong",
                "Text(\"\")",
                "Close(Some(1000))",
                "Close(None)",
            ]
        );
    }

    #[test]
    fn violations_of_the_protocol_are_named() {
        for (bytes, what) in [
            (frame(0xc1, b"x"), "reserved bits"),
            (frame(0x83, b"x"), "the kind"),
            (vec![0x81, 0x01, b'x'], "not masked"),
            (frame(0x80, b"x"), "no message"),
            (frame(0x09, b"x"), "in fragments"),
            (frame(0x89, &[0; 126]), "too long"),
            (frame(0x88, b"\x03"), "truncated"),
            (frame(0x88, &1005_u16.to_be_bytes()), "reserved"),
            (
                [frame(0x01, b"x"), frame(0x81, b"y")].concat(),
                "not complete",
            ),
        ] {
            match violation(&bytes) {
                Violation::Protocol(reason) => assert!(reason.contains(what), "{reason}"),
                other => panic!("{other:?} for {what}"),
            }
        }
    }

    #[test]
    fn too_long_messages_are_refused_by_their_header() {
        let header = [0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(violation(&header), Violation::TooLong);
        assert_eq!(decode(&frame(0x81, &[b'x'; 1_000])).1, None);
        let first = frame(0x01, &[b'x'; 600]);
        let both = [first, frame(0x80, &[b'x'; 401])].concat();
        assert_eq!(violation(&both), Violation::TooLong);
    }

    #[test]
    fn text_is_utf8() {
        assert_eq!(violation(&frame(0x81, b"\xff\xfe")), Violation::NotUtf8);
        assert_eq!(violation(&frame(0x01, b"\xff\xfe")), Violation::NotUtf8);
        assert_eq!(violation(&frame(0x81, b"h\xc3")), Violation::NotUtf8);
        let close = frame(0x88, b"\x03\xe8\xff\xfe");
        assert_eq!(violation(&close), Violation::NotUtf8);
    }

    #[test]
    fn empty_fragments_are_counted() {
        let mut bytes = frame(0x01, b"");
        for _ in 0..9 {
            bytes.extend(frame(0x00, b""));
            bytes.extend(frame(0x8a, b""));
        }
        let too_many = Violation::TooMany("a message has too many fragments");
        assert_eq!(violation(&bytes), too_many);
        assert_eq!(too_many.close().0, 1008);
    }

    #[test]
    fn fragments_are_buffered_without_overhead() {
        let limits = Limits {
            max_fragments: 1_000,
            ..LIMITS
        };
        let mut decoder = Decoder::new(limits, Instant::now());
        let first = frame(0x01, b"x");
        let next = [frame(0x00, b"x"), frame(0x8a, b"")].concat();
        assert_eq!(run(&mut decoder, &[&first]).1, None);
        for _ in 0..900 {
            assert_eq!(run(&mut decoder, &[&next]).1, None);
        }
        let partial = decoder.partial.as_ref().expect("not complete");
        assert_eq!(partial.bytes.len(), 901);
        assert!(partial.bytes.capacity() <= 2_048);
    }

    #[test]
    fn rates_of_frames_are_limited() {
        let limited = Rate {
            burst: 3,
            per_second: 1,
        };
        let limits = Limits {
            control_frames: limited,
            messages: limited,
            ..LIMITS
        };
        for (bytes, what) in [
            (frame(0x89, b""), "too many control frames"),
            (frame(0x8a, b""), "too many control frames"),
            (frame(0x81, b"x"), "too many messages"),
        ] {
            let mut decoder = Decoder::new(limits, Instant::now());
            let (found, violation) = run(&mut decoder, &[&bytes.repeat(9)]);
            assert_eq!(found.len(), 3);
            assert_eq!(violation, Some(Violation::TooMany(what)));
        }
    }
}
