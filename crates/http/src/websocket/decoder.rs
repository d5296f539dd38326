//! From bytes to messages, within bounds: every frame's header is looked at before anything of
//! the frame is kept, fragments are copied into one buffer, and frames are counted. What breaks
//! the protocol is told apart from what is merely not UTF-8, which decides on the code of the
//! close (RFC 6455, sections 5 and 7.4).

use std::time::Instant;

use bytes::{Buf, Bytes};

use super::messages::Incoming;
use super::rate::{Rate, TokenBucket};

/// Limits on what a client may send on one connection.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a message, all of its fragments together.
    pub max_message_bytes: usize,
    /// Frames that one message may be sent in.
    pub max_fragments: u32,
    /// Pings, pongs and closes.
    pub control_frames: Rate,
    /// Messages.
    pub messages: Rate,
}

/// Violation of the protocol or of a limit by a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The protocol was broken (1002).
    Protocol(&'static str),
    /// Text that is not UTF-8 (1007).
    NotUtf8,
    /// A bound on the number of frames was exceeded (1008).
    TooMany(&'static str),
    /// A message that is too long (1009).
    TooLong,
}

impl Violation {
    /// Code and reason of the close frame (RFC 6455, section 7.4.1).
    #[must_use]
    pub fn close(self) -> (u16, &'static str) {
        match self {
            Self::Protocol(what) => (1002, what),
            Self::NotUtf8 => (1007, "text that is not UTF-8"),
            Self::TooMany(what) => (1008, what),
            Self::TooLong => (1009, "the message is too long"),
        }
    }
}

/// Bytes of a header at most: two, a length of eight, a mask of four.
const MAX_HEADER_BYTES: usize = 14;
/// Bytes that a control frame may carry.
const MAX_CONTROL_BYTES: usize = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// A frame whose header has been read.
struct Frame {
    code: u8,
    is_final: bool,
    /// Bytes that are still to come.
    left: usize,
    mask: [u8; 4],
    /// Index of the next byte in the mask.
    mask_at: usize,
}

/// A message whose frames have not all come.
struct Partial {
    is_text: bool,
    fragments: u32,
    bytes: Vec<u8>,
    /// Bytes that are known to be UTF-8.
    checked: usize,
}

/// Decoder of a client's sequence of frames.
pub(super) struct Decoder {
    limits: Limits,
    control_frames: TokenBucket,
    messages: TokenBucket,
    header: Vec<u8>,
    frame: Option<Frame>,
    /// Payload of the control frame at hand.
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

    /// Goes on with these bytes up to the end of the next message; `None` when they are used up.
    ///
    /// # Errors
    /// What must not be.
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
            let here = frame.left.min(bytes.len());
            let into = match &mut self.partial {
                Some(partial) if frame.code < CLOSE => &mut partial.bytes,
                _ => &mut self.control,
            };
            let unmasked = bytes[..here].iter().enumerate();
            into.extend(unmasked.map(|(at, byte)| byte ^ frame.mask[(frame.mask_at + at) % 4]));
            bytes.advance(here);
            frame.left -= here;
            frame.mask_at = (frame.mask_at + here) % 4;
            if frame.left > 0 {
                return Ok(None);
            }
            let (code, is_final) = (frame.code, frame.is_final);
            self.frame = None;
            let complete = match code {
                CLOSE.. => Some(control(code, std::mem::take(&mut self.control))?),
                _ => self.end_of_fragment(is_final)?,
            };
            if complete.is_some() {
                return Ok(complete);
            }
        }
    }

    /// Looks at a header as soon as it is complete.
    fn read_header(&mut self, byte: u8) -> Result<(), Violation> {
        self.header.push(byte);
        let [first, second, ..] = self.header[..] else {
            return Ok(());
        };
        if self.header.len() == 2 {
            self.judge(first, second)?;
        }
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if self.header.len() < 2 + extended + 4 {
            return Ok(());
        }
        let announced = self.header[2..2 + extended]
            .iter()
            .fold(0_u64, |length, byte| length << 8 | u64::from(*byte));
        let length = if extended == 0 {
            u64::from(second & 0x7f)
        } else {
            announced
        };
        let mut mask = [0; 4];
        mask.copy_from_slice(&self.header[2 + extended..]);
        self.header.clear();
        self.begin_frame(first, length, mask)
    }

    /// Checks the first two bytes by themselves.
    fn judge(&self, first: u8, second: u8) -> Result<(), Violation> {
        let (code, is_final) = (first & 0x0f, first & 0x80 != 0);
        let broken = |what| Err(Violation::Protocol(what));
        if first & 0x70 != 0 {
            return broken("reserved bits are set");
        }
        if second & 0x80 == 0 {
            return broken("a frame of a client is not masked");
        }
        match code {
            CONTINUATION if self.partial.is_none() => broken("there is no message to continue"),
            TEXT | BINARY if self.partial.is_some() => broken("a message is not complete"),
            CONTINUATION | TEXT | BINARY => Ok(()),
            CLOSE..=PONG if !is_final => broken("a control frame is in fragments"),
            CLOSE..=PONG if usize::from(second & 0x7f) > MAX_CONTROL_BYTES => {
                broken("a control frame is too long")
            }
            CLOSE..=PONG => Ok(()),
            _ => broken("the kind of a frame is reserved"),
        }
    }

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

    /// Text must be UTF-8 as far as it has come; the last fragment completes the message.
    fn end_of_fragment(&mut self, is_final: bool) -> Result<Option<Incoming>, Violation> {
        let Some(partial) = &mut self.partial else {
            return Ok(None);
        };
        if partial.is_text {
            let unchecked = &partial.bytes[partial.checked..];
            match std::str::from_utf8(unchecked) {
                Ok(_) => partial.checked = partial.bytes.len(),
                // A character may go on in the next fragment.
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

/// A control frame; what a close says must be sayable.
fn control(code: u8, payload: Vec<u8>) -> Result<Incoming, Violation> {
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
            if !may_be_sent(code) {
                return Err(Violation::Protocol("the code of the close is reserved"));
            }
            std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
            Ok(Incoming::Close(Some(code)))
        }
    }
}

/// Codes that a close frame may carry (section 7.4, and the registry it opens).
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFTEN: Rate = Rate {
        burst: 1_000_000,
        per_second: 1,
    };
    const LIMITS: Limits = Limits {
        max_message_bytes: 1_000,
        max_fragments: 5,
        control_frames: OFTEN,
        messages: OFTEN,
    };

    /// A client's frame, masked.
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

    /// In one piece, and byte by byte: what came, and the violation.
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
    fn what_keeps_to_the_protocol_passes() {
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
    fn what_breaks_it_is_stopped_where_it_does() {
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
                Violation::Protocol(said) => assert!(said.contains(what), "{said}"),
                other => panic!("{other:?} for {what}"),
            }
        }
    }

    #[test]
    fn a_length_is_enough_to_be_refused() {
        let announced = [0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(violation(&announced), Violation::TooLong);
        assert_eq!(decode(&frame(0x81, &[b'x'; 1_000])).1, None);
        let half = frame(0x01, &[b'x'; 600]);
        let both = [half, frame(0x80, &[b'x'; 401])].concat();
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
    fn fragments_are_counted_even_empty_ones() {
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
    fn one_byte_fragments_are_kept_in_one_buffer_of_their_size() {
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
    fn frames_may_come_only_so_often() {
        let rare = Rate {
            burst: 3,
            per_second: 1,
        };
        let limits = Limits {
            control_frames: rare,
            messages: rare,
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
