//! The doors to the outside. An adapter stands behind each; the conformance
//! suites of the test kit say what it must keep to.

mod blobs;
mod channel;
mod contiguous;
mod error;
mod event_log;
mod facts;
mod inspect;
mod lease;
mod notices;
mod notifications;
mod presentation;
mod probe;
mod rebuilds;
mod rows;
mod schedule;
mod source;
mod summaries;
mod unit;

pub use blobs::{Blob, BlobEntry, BlobWriter, Blobs};
pub use channel::{Channel, Mail, SendError, ShortText};
pub use contiguous::{Positioned, contiguous};
pub use error::StoreError;
pub use event_log::{Appended, EventLog};
pub use facts::Facts;
pub use inspect::{
    Backlog, Damage, DocumentRecord, Integrity, Page, PresentationInspector, QueueInspector,
    QueueRisk, RowInspector, RowRecord, SourceInspector, Waiting,
};
pub use lease::{Leases, Tenure};
pub use notices::{Notice, NoticeStream, Notices, Topic};
pub use notifications::{Claim, Notifications, Recording, Settled};
pub use presentation::{
    Baking, DocumentKey, DocumentWrite, Head, ListQuery, PresentationReader, PresentationStore,
    Sort, SortKey, StoredDocument,
};
pub use probe::Probe;
pub use rebuilds::{Generations, Half, Rebuild, RebuildState, Rebuilds};
pub use rows::{
    Feed, Handling, Loaded, ModelState, Registration, RowPage, RowReader, RowStore, RowWrite,
    StoredRow,
};
pub use schedule::{
    DeadLetters, ScheduleConsumer, ScheduleError, ScheduledBatch, Scheduler, Unreadable,
};
pub use source::{Checkpoint, EntityWrite, Execution, Progress, Settlement, SourceStore, Verdict};
pub use summaries::{Selection, Senders, SummaryQuery, no_payload};
pub use unit::{Unit, Units};
