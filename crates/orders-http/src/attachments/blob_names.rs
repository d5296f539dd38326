//! Names of the blobs that hold attached files and unfinished uploads.

use bakehouse_orders::BLOBS;

use super::verdict::FileKey;

/// Folder of blobs whose upload is not complete.
pub(super) const UPLOADS_FOLDER: &str = "uploads";

/// Returns the folder of an order's blobs.
pub(super) fn order_folder(order_id: &str) -> String {
    format!("{BLOBS}/{order_id}")
}

/// Returns the order id and the file that a blob's name stands for; `None` if the blob is not an
/// attachment.
pub(super) fn parse_blob_name(blob_name: &str) -> Option<(&str, FileKey<'_>)> {
    let mut parts = blob_name.strip_prefix(BLOBS)?.strip_prefix('/')?.split('/');
    let (order_id, file_name) = (parts.next()?, parts.next()?);
    let (attachment_id, sha256) = file_name.rsplit_once('-')?;
    let file = FileKey {
        attachment_id,
        sha256,
    };
    parts.next().is_none().then_some((order_id, file))
}
