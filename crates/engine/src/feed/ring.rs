//! Ring buffer of the latest frames, shared by all subscriptions.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{Frame, Position};

/// Maximum total size of the kept frame bodies in bytes; the latest frame is kept in any case.
/// The rendered form of each frame takes about as much again.
const MAX_RING_BYTES: usize = 64 * 1024 * 1024;

/// Maximum total size in bytes of the frame bodies that a subscriber gets at once. They stay in
/// memory until its socket has accepted them, and there may be thousands of subscribers.
const MAX_RUN_BYTES: usize = 64 * 1024;

/// Frame shared by all subscribers, with its rendered bytes, which are computed once on first
/// use.
#[derive(Debug)]
pub struct SharedFrame {
    frame: Frame,
    rendered: OnceLock<Bytes>,
}

impl SharedFrame {
    pub(super) fn new(frame: Frame) -> Arc<Self> {
        Arc::new(Self {
            frame,
            rendered: OnceLock::new(),
        })
    }

    /// Returns the rendered bytes, computed by `render` on the first call. All callers must pass
    /// the same function.
    pub fn rendered(&self, render: impl FnOnce(&Frame) -> Bytes) -> Bytes {
        self.rendered.get_or_init(|| render(&self.frame)).clone()
    }
}

impl Deref for SharedFrame {
    type Target = Frame;

    fn deref(&self) -> &Frame {
        &self.frame
    }
}

/// Consecutive frames up to the head of the feed.
#[derive(Debug)]
pub(super) struct Ring {
    frames: VecDeque<Arc<SharedFrame>>,
    head: Position,
    capacity: usize,
    /// Total size of all bodies.
    bytes: usize,
}

impl Ring {
    /// Creates an empty ring at `head`.
    pub(super) fn new(head: Position, capacity: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            head,
            capacity: capacity.max(1),
            bytes: 0,
        }
    }

    /// Returns the last position.
    pub(super) fn head(&self) -> Position {
        self.head
    }

    /// Appends consecutive frames and skips those it has. Returns `false` at a gap: the missing
    /// frames must be fetched.
    pub(super) fn extend(&mut self, frames: impl IntoIterator<Item = Frame>) -> bool {
        for frame in frames {
            if frame.position > self.head + 1 {
                return false;
            }
            if frame.position == self.head + 1 {
                self.push(frame);
            }
        }
        true
    }

    fn push(&mut self, frame: Frame) {
        self.bytes += size(&frame);
        while self.frames.len() >= self.capacity || self.bytes > MAX_RING_BYTES {
            let Some(oldest) = self.frames.pop_front() else {
                break;
            };
            self.bytes -= size(&oldest);
        }
        self.head = frame.position;
        self.frames.push_back(SharedFrame::new(frame));
    }

    /// Returns the frames after a position: at most `limit`, and at least one but otherwise at
    /// most [`MAX_RUN_BYTES`]. `None` if the ring does not reach back that far.
    pub(super) fn after(&self, position: Position, limit: usize) -> Option<Vec<Arc<SharedFrame>>> {
        let behind = usize::try_from(self.head.checked_sub(position)?).ok()?;
        let skip = self.frames.len().checked_sub(behind)?;
        let run = self.frames.iter().skip(skip).take(limit);
        let mut fits = fits_run();
        Some(run.take_while(|frame| fits(frame)).cloned().collect())
    }
}

/// Returns a predicate that checks for each frame in turn whether it still fits into the run;
/// the first one always does.
pub(super) fn fits_run() -> impl FnMut(&Frame) -> bool {
    let mut bytes = 0;
    move |frame| {
        let is_first = bytes == 0;
        bytes += size(frame);
        is_first || bytes <= MAX_RUN_BYTES
    }
}

fn size(frame: &Frame) -> usize {
    frame.body.get().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(position: Position) -> Frame {
        Frame {
            position,
            kind: "order.created".into(),
            entity_id: position.to_string(),
            owner: None,
            group: None,
            left_group: None,
            body: crate::to_json(&position).expect("a number"),
        }
    }

    fn positions(run: Option<Vec<Arc<SharedFrame>>>) -> Option<Vec<Position>> {
        run.map(|run| run.iter().map(|frame| frame.position).collect())
    }

    #[test]
    fn the_ring_keeps_the_latest_frames_and_reports_evicted_ones() {
        let mut ring = Ring::new(10, 3);
        assert!(ring.extend((11..=15).map(frame)));
        assert_eq!(positions(ring.after(15, 9)), Some(vec![]));
        assert_eq!(positions(ring.after(12, 9)), Some(vec![13, 14, 15]));
        assert_eq!(positions(ring.after(12, 2)), Some(vec![13, 14]));
        assert_eq!(
            positions(ring.after(11, 9)),
            None,
            "position 12 was evicted"
        );
        assert_eq!(positions(ring.after(16, 9)), None, "ahead of the head");
    }

    #[test]
    fn the_ring_keeps_fewer_large_frames() {
        let large = |position| Frame {
            body: crate::to_json(&"x".repeat(MAX_RING_BYTES / 3)).expect("text"),
            ..frame(position)
        };
        let mut ring = Ring::new(0, 9);
        assert!(ring.extend((1..=4).map(large)));
        assert_eq!(positions(ring.after(2, 9)), Some(vec![3]), "one at a time");
        assert_eq!(positions(ring.after(3, 9)), Some(vec![4]));
        assert_eq!(positions(ring.after(1, 9)), None);
        assert!(ring.extend((5..=12).map(frame)));
        assert_eq!(positions(ring.after(3, 9)), Some(vec![4]));
        assert_eq!(positions(ring.after(4, 9)), Some((5..=12).collect()));
    }

    #[test]
    fn repeats_are_skipped_and_gaps_refused() {
        let mut ring = Ring::new(0, 9);
        assert!(ring.extend([frame(1), frame(2)]));
        assert!(ring.extend([frame(1), frame(2), frame(3)]));
        assert!(!ring.extend([frame(5)]));
        assert_eq!(positions(ring.after(0, 9)), Some(vec![1, 2, 3]));
    }
}
