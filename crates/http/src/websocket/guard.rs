//! Looks at every frame's header as its bytes come in, before the frame itself
//! does: announcing a gigabyte is enough to be sent away, and what breaks the
//! protocol is told apart from what is merely not UTF-8, which decides on the
//! code of the close (RFC 6455, sections 5 and 7.4).

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use actix_web::dev::Payload;
use actix_web::error::PayloadError;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// What clients may send.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a message, all of its fragments together.
    pub longest_message: u64,
}

/// What a client did that it must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// The protocol was broken (1002).
    Protocol(&'static str),
    /// Text that is not UTF-8 (1007).
    NotUtf8,
    /// A message that is too long (1009).
    TooLong,
}

/// The guard's verdict, once there is one.
pub(super) type Verdict = Rc<Cell<Option<Violation>>>;

/// The same bytes up to the first violation, and then the end.
pub(super) fn guard(payload: Payload, limits: Limits) -> (Payload, Verdict) {
    let verdict = Verdict::default();
    let guarded = Guarded {
        payload,
        scanner: Scanner::new(limits),
        verdict: verdict.clone(),
    };
    let payload: Pin<Box<dyn Stream<Item = Result<Bytes, PayloadError>>>> = Box::pin(guarded);
    let payload = Payload::Stream { payload };
    (payload, verdict)
}

struct Guarded {
    payload: Payload,
    scanner: Scanner,
    verdict: Verdict,
}

impl Stream for Guarded {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.verdict.get().is_some() {
            return Poll::Ready(None);
        }
        let Poll::Ready(next) = self.payload.poll_next_unpin(cx) else {
            return Poll::Pending;
        };
        let Some(Ok(mut bytes)) = next else {
            return Poll::Ready(next);
        };
        if let Err((good, violation)) = self.scanner.scan(&bytes) {
            self.verdict.set(Some(violation));
            bytes.truncate(good);
        }
        Poll::Ready(Some(Ok(bytes)))
    }
}

/// Bytes of a header at most: two, a length of eight, a mask of four.
const LONGEST_HEADER: usize = 14;
/// Bytes that a control frame may carry.
const LONGEST_CONTROL: u64 = 125;

const CONTINUATION: u8 = 0;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PONG: u8 = 10;

/// Where in the sequence of frames the bytes are.
struct Scanner {
    limits: Limits,
    header: Vec<u8>,
    /// Bytes that are still to come of the frame at hand.
    left: u64,
    /// What it carries, if it is a close.
    close: Option<Vec<u8>>,
    mask: [u8; 4],
    /// Bytes of the fragments so far of a message that is not complete.
    fragments: Option<u64>,
}

impl Scanner {
    fn new(limits: Limits) -> Self {
        Self {
            limits,
            header: Vec::with_capacity(LONGEST_HEADER),
            left: 0,
            close: None,
            mask: [0; 4],
            fragments: None,
        }
    }

    /// Goes on with these bytes.
    ///
    /// # Errors
    /// The violation, and how many of the bytes stand before the frame that
    /// commits it.
    fn scan(&mut self, bytes: &[u8]) -> Result<(), (usize, Violation)> {
        let mut at = 0;
        let mut good = 0;
        while at < bytes.len() {
            if self.left == 0 && self.close.is_none() {
                self.header.push(bytes[at]);
                at += 1;
                self.head().map_err(|violation| (good, violation))?;
            } else {
                let here = usize::try_from(self.left).unwrap_or(usize::MAX);
                let here = here.min(bytes.len() - at);
                self.take(&bytes[at..at + here]);
                at += here;
            }
            if self.left == 0 && self.header.is_empty() {
                self.end().map_err(|violation| (good, violation))?;
                good = at;
            }
        }
        Ok(())
    }

    /// Looks at a header as soon as it is whole.
    fn head(&mut self) -> Result<(), Violation> {
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
        self.mask.copy_from_slice(&self.header[2 + extended..]);
        self.header.clear();
        self.begin(first & 0x80 != 0, first & 0x0f, length)
    }

    /// What the first two bytes say by themselves.
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
            CONTINUATION if self.fragments.is_none() => broken("nothing is there to be continued"),
            TEXT | BINARY if self.fragments.is_some() => broken("a message is not complete"),
            CONTINUATION | TEXT | BINARY => Ok(()),
            CLOSE..=PONG if !is_final => broken("a control frame is in fragments"),
            CLOSE..=PONG if second & 0x7f > 125 => broken("a control frame is too long"),
            CLOSE..=PONG => Ok(()),
            _ => broken("the kind of a frame is reserved"),
        }
    }

    fn begin(&mut self, is_final: bool, code: u8, length: u64) -> Result<(), Violation> {
        self.left = length;
        if code >= CLOSE {
            self.close = (code == CLOSE).then(Vec::new);
            return Ok(());
        }
        let total = self.fragments.unwrap_or(0).saturating_add(length);
        if total > self.limits.longest_message {
            return Err(Violation::TooLong);
        }
        self.fragments = (!is_final).then_some(total);
        Ok(())
    }

    fn take(&mut self, bytes: &[u8]) {
        self.left -= bytes.len() as u64;
        if let Some(close) = &mut self.close {
            close.extend_from_slice(bytes);
        }
    }

    /// At the end of a frame: what a close says must be sayable.
    fn end(&mut self) -> Result<(), Violation> {
        let Some(mut close) = self.close.take() else {
            return Ok(());
        };
        debug_assert!(close.len() as u64 <= LONGEST_CONTROL);
        for (byte, mask) in close.iter_mut().zip(self.mask.iter().cycle()) {
            *byte ^= mask;
        }
        let reason = match close[..] {
            [] => return Ok(()),
            [_] => return Err(Violation::Protocol("half a code is no code")),
            [high, low, ref reason @ ..] => {
                if !may_be_sent(u16::from_be_bytes([high, low])) {
                    return Err(Violation::Protocol("the code of the close is reserved"));
                }
                reason
            }
        };
        std::str::from_utf8(reason).map_err(|_| Violation::NotUtf8)?;
        Ok(())
    }
}

/// Codes that a close frame may carry (section 7.4, and the registry it opens).
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        longest_message: 1_000,
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

    /// In one piece, and byte by byte: the verdict, and how many bytes are good.
    fn scan(bytes: &[u8]) -> Result<(), (usize, Violation)> {
        let whole = Scanner::new(LIMITS).scan(bytes);
        let mut scanner = Scanner::new(LIMITS);
        let single = bytes.iter().try_for_each(|byte| scanner.scan(&[*byte]));
        assert_eq!(
            whole.map_err(|(_, violation)| violation),
            single.map_err(|(_, violation)| violation)
        );
        whole
    }

    #[test]
    fn what_keeps_to_the_protocol_passes() {
        let good = [
            frame(0x81, b"hello"),
            frame(0x01, b"hel"),
            frame(0x89, b"ping"),
            frame(0x80, b"lo"),
            frame(0x82, &[0; 200]),
            frame(0x8a, b""),
            frame(0x81, b""),
            frame(0x88, b"\x03\xe8bye"),
        ];
        assert_eq!(scan(&good.concat()), Ok(()));
        assert_eq!(scan(&frame(0x88, b"")), Ok(()));
    }

    #[test]
    fn what_breaks_it_is_stopped_where_it_does() {
        let broken = |bytes: &[u8]| match scan(bytes) {
            Err((good, Violation::Protocol(_))) => good,
            other => panic!("{other:?} for {bytes:?}"),
        };
        assert_eq!(broken(&frame(0xc1, b"x")), 0, "a reserved bit");
        assert_eq!(broken(&frame(0x83, b"x")), 0, "a reserved kind");
        assert_eq!(broken(&[0x81, 0x01, b'x']), 0, "no mask");
        assert_eq!(broken(&frame(0x80, b"x")), 0, "nothing to continue");
        assert_eq!(broken(&frame(0x09, b"x")), 0, "a ping in fragments");
        assert_eq!(broken(&frame(0x89, &[0; 126])), 0, "a long ping");
        assert_eq!(broken(&frame(0x88, b"\x03")), 0, "half a code");
        assert_eq!(
            broken(&frame(0x88, &1005_u16.to_be_bytes())),
            0,
            "a reserved code"
        );
        let first = frame(0x01, b"x");
        assert_eq!(
            broken(&[first.clone(), frame(0x81, b"y")].concat()),
            first.len()
        );
    }

    #[test]
    fn a_length_is_enough_to_be_sent_away() {
        let announced = [0x82, 0xff, 0, 0, 0, 0, 0x40, 0, 0, 0, 1, 2, 3, 4];
        assert_eq!(scan(&announced), Err((0, Violation::TooLong)));
        assert_eq!(scan(&frame(0x81, &[b'x'; 1_000])), Ok(()));
        let half = frame(0x01, &[b'x'; 600]);
        let both = [half.clone(), frame(0x80, &[b'x'; 401])].concat();
        assert_eq!(scan(&both), Err((half.len(), Violation::TooLong)));
    }

    #[test]
    fn a_reason_is_text() {
        let close = frame(0x88, b"\x03\xe8\xff\xfe");
        assert_eq!(scan(&close), Err((0, Violation::NotUtf8)));
    }
}
