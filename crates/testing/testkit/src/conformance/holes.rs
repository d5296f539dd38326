//! Rules for what is missing: told, and never skipped. A rule takes empty stores, and a way
//! to remove what an adapter never would.

use std::sync::Arc;

use bakehouse_engine::Position;
use bakehouse_engine::ports::{
    Appended, EventLog, PresentationReader, PresentationStore, StoreError, contiguous,
};
use futures_util::future::BoxFuture;

use super::presentation::baking;
use crate::operations::many;

/// Part that is missing afterwards.
#[derive(Clone, Copy, Debug)]
pub enum Missing {
    /// An event of the log.
    LogEntry(Position),
    /// A frame of the feed's history.
    Frame(Position),
}

/// The stores under test.
pub struct Holed {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// A presentation, to be written.
    pub presentation: Arc<dyn PresentationStore>,
    /// The presentation, to be read.
    pub reader: Arc<dyn PresentationReader>,
    /// Removes one thing.
    pub remove: Box<dyn Fn(Missing) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// Writes the suite's tests: `holes_suite!(name, async { Holed { … } })`.
#[macro_export]
macro_rules! holes_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            holes,
            $make,
            [
                a_missing_event_is_told_and_never_skipped,
                a_missing_frame_is_told_and_never_skipped,
            ]
        );
    };
}

/// Wherever the read begins, as long as the hole is in it; and the log goes on at its end.
pub async fn a_missing_event_is_told_and_never_skipped(holed: Holed) {
    let log = holed.log;
    log.append(&many("a", 6)).await.unwrap();
    (holed.remove)(Missing::LogEntry(3)).await;
    let hole = StoreError::Hole {
        expected: 3,
        found: 4,
    };
    for (after, limit) in [(0, 9), (1, 3), (2, 1)] {
        let read = log.read(after, limit).await;
        assert_eq!(read.err(), Some(hole.clone()), "after {after}");
    }
    // What lies before it, and behind it, is sound.
    for (after, limit, expected) in [(0, 2, &[1, 2][..]), (3, 9, &[4, 5, 6])] {
        let events = log.read(after, limit).await.unwrap();
        let positions: Vec<_> = events.iter().map(|event| event.position).collect();
        assert_eq!(positions, expected);
    }
    let answers = log.append(&many("b", 1)).await.unwrap();
    assert_eq!(answers, [Appended::Stored(7)]);
    let read = log.read(0, 9).await;
    assert_eq!(read.err(), Some(hole));
}

/// Followers of the feed are not led over the gap.
pub async fn a_missing_frame_is_told_and_never_skipped(holed: Holed) {
    let Holed {
        presentation,
        reader,
        remove,
        ..
    } = holed;
    presentation.open("e").await.unwrap();
    presentation.commit(&baking(0, 6)).await.unwrap();
    remove(Missing::Frame(3)).await;
    let hole = StoreError::Hole {
        expected: 3,
        found: 4,
    };
    // Whoever reads them looks whether they belong together.
    for (after, limit) in [(0, 9), (2, 1)] {
        let read = reader.frames(after, limit).await;
        let read = read.and_then(|frames| contiguous(after, frames));
        assert_eq!(read.err(), Some(hole.clone()), "after {after}");
    }
    assert_eq!(reader.frames(0, 2).await.unwrap().len(), 2);
    assert_eq!(reader.frames(3, 9).await.unwrap().len(), 3);
}
