//! Dependencies and settings of an audit.

use std::sync::Arc;

use crate::handlers::AnyHandler;
use crate::ports::{
    Backlog, Blobs, EventLog, Integrity, PresentationInspector, PresentationReader, QueueInspector,
    RowInspector, RowReader, RowStore, SourceInspector, SourceStore,
};

/// Dependencies of an audit.
#[derive(Clone)]
pub struct AuditDeps {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Source state.
    pub source: Arc<dyn SourceStore>,
    /// Source database, read record by record.
    pub source_inspector: Arc<dyn SourceInspector>,
    /// Presentation store.
    pub presentation: Arc<dyn PresentationReader>,
    /// Presentation database, read record by record.
    pub presentation_inspector: Arc<dyn PresentationInspector>,
    /// State of the read models.
    pub models: Arc<dyn RowReader>,
    /// Rows of the read models.
    pub rows: Arc<dyn RowInspector>,
    /// Accepted operations that are not in the log yet, where they can be counted.
    pub backlog: Option<Arc<dyn Backlog>>,
    /// Settings of the queues before the log, where they can be read.
    pub queues: Option<Arc<dyn QueueInspector>>,
    /// Integrity checks of the stores themselves.
    pub integrity: Vec<Arc<dyn Integrity>>,
    /// Attached files, where the domain has any.
    pub blobs: Option<Arc<dyn Blobs>>,
    /// Functions of the program's read models, where it has any.
    pub read_models: Option<ReadModels>,
}

/// Settings of an audit.
#[derive(Clone, Debug)]
pub struct AuditSettings {
    /// Name of the program, used in the commands that fix findings.
    pub program: String,
    /// Number of log entries per page.
    pub page: usize,
    /// True to skip the slow checks: the stores' own integrity checks and the bytes of files.
    pub is_quick: bool,
    /// True if process managers send notifications, whose ids are not derived from a recipient.
    pub has_processes: bool,
}

/// Read models of the program, with an empty store to rebuild their rows in.
#[derive(Clone)]
pub struct ReadModels {
    /// Handler of each read model.
    pub handlers: Vec<AnyHandler>,
    /// Temporary store for the rebuilt rows, discarded after the audit.
    pub scratch: Arc<dyn RowStore>,
    /// Inspector of the rows in that store.
    pub made: Arc<dyn RowInspector>,
}
