//! Ports: the traits that adapters implement. The conformance suites of the test kit define the
//! rules that every adapter must satisfy.

mod blobs;
mod channel;
mod contiguous;
mod error;
mod event_log;
mod feed_source;
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
mod unit_of_work;

pub use blobs::{Blob, BlobEntry, BlobWriter, Blobs};
pub use channel::{Channel, Mail, SendError, ShortText};
pub use contiguous::{Positioned, contiguous};
pub use error::StoreError;
pub use event_log::{Appended, EventLog};
pub use feed_source::FeedSource;
pub use inspect::{
    Backlog, Damage, DocumentRecord, Integrity, Page, PresentationInspector, QueueInspector,
    QueueRisk, RowInspector, RowRecord, SourceInspector, Waiting,
};
pub use lease::{Lease, Leases};
pub use notices::{Notice, NoticeStream, Notices, Topic};
pub use notifications::{Claim, Notifications, Recording, Settled};
pub use presentation::{
    Baking, DocumentKey, DocumentWrite, Head, ListQuery, PresentationReader, PresentationStore,
    Sort, SortKey, StoredDocument,
};
pub use probe::Probe;
pub use rebuilds::{Rebuild, RebuildState, Rebuilds, ShadowStores, Slot};
pub use rows::{
    Feed, Generation, HandlerCommit, Loaded, ModelState, Needs, Registration, RowPage, RowReader,
    RowStore, RowWrite, StoredRow,
};
pub use schedule::{
    DeadLetters, ScheduleConsumer, ScheduleError, ScheduledBatch, Scheduler, UnreadableMessage,
};
pub use source::{
    Checkpoint, EntityWrite, Execution, Progress, ResolvedEntry, SourceStore, Verdict,
};
pub use summaries::{Selection, Senders, SummaryQuery, no_payload};
pub use unit_of_work::{UnitOfWork, UnitsOfWork};
