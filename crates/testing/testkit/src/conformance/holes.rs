//! Rules for missing entries and frames, which reads report as errors and never skip. A rule takes
//! empty stores and a function that removes an entry or a frame.

use std::sync::Arc;

use bakehouse_engine::Position;
use bakehouse_engine::ports::{
    Appended, EventLog, PresentationReader, PresentationStore, StoreError, contiguous,
};
use futures_util::future::BoxFuture;

use super::presentation::baking;
use crate::operations::many;

/// Part of a store to remove.
#[derive(Clone, Copy, Debug)]
pub enum Missing {
    /// Entry of the log.
    LogEntry(Position),
    /// Frame of the feed's history.
    Frame(Position),
}

/// Stores under test, and a function that makes holes in them.
pub struct LogWithHoles {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Presentation, to be written.
    pub presentation: Arc<dyn PresentationStore>,
    /// Presentation, to be read.
    pub reader: Arc<dyn PresentationReader>,
    /// Removes one entry or frame.
    pub remove: Box<dyn Fn(Missing) -> BoxFuture<'static, ()> + Send + Sync>,
}

/// Generates the suite's tests: `holes_suite!(name, async { LogWithHoles { … } })`.
#[macro_export]
macro_rules! holes_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            holes,
            $make,
            [
                a_missing_entry_is_reported_and_never_skipped,
                a_missing_frame_is_reported_and_never_skipped,
            ]
        );
    };
}

/// Every read that includes the hole fails, whatever its start; appends continue at the end.
pub async fn a_missing_entry_is_reported_and_never_skipped(stores: LogWithHoles) {
    let log = stores.log;
    log.append(&many("a", 6)).await.unwrap();
    (stores.remove)(Missing::LogEntry(3)).await;
    let hole = StoreError::Hole {
        expected: 3,
        found: 4,
    };
    for (after, limit) in [(0, 9), (1, 3), (2, 1)] {
        let read = log.read(after, limit).await;
        assert_eq!(read.err(), Some(hole.clone()), "after {after}");
    }
    // Reads before and after the hole succeed.
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

/// Reads of frames that include the hole are not contiguous.
pub async fn a_missing_frame_is_reported_and_never_skipped(stores: LogWithHoles) {
    let LogWithHoles {
        presentation,
        reader,
        remove,
        ..
    } = stores;
    presentation.open("e").await.unwrap();
    presentation.commit(&baking(0, 6)).await.unwrap();
    remove(Missing::Frame(3)).await;
    let hole = StoreError::Hole {
        expected: 3,
        found: 4,
    };
    // Readers check that the frames are contiguous.
    for (after, limit) in [(0, 9), (2, 1)] {
        let read = reader.frames(after, limit).await;
        let read = read.and_then(|frames| contiguous(after, frames));
        assert_eq!(read.err(), Some(hole.clone()), "after {after}");
    }
    assert_eq!(reader.frames(0, 2).await.unwrap().len(), 2);
    assert_eq!(reader.frames(3, 9).await.unwrap().len(), 3);
}
