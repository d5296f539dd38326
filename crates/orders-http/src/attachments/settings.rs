//! Rules for attached files.

use super::uploads::UploadLimits;

/// Rules for attached files.
#[derive(Clone, Debug)]
pub struct AttachmentSettings {
    /// Maximum size of a file in bytes.
    pub max_bytes: u64,
    /// Accepted media types; `*/*` accepts every type.
    pub media_types: Vec<String>,
    /// Minimum average rate of an upload, in bytes per second.
    pub min_upload_rate: u64,
    /// Limits on concurrent uploads and on stored bytes.
    pub limits: UploadLimits,
}
