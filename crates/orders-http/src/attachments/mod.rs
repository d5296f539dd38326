//! Files attached to an order. Their bytes are stored as blobs; the list of an order's files
//! results from operations in the log, like the rest of the order.
//!
//! - `upload`: receives a multipart body, checks it and streams it into the blob store;
//! - [`uploads`]: limits on concurrent uploads and on stored bytes;
//! - `pending`: uploads whose operation is not executed yet, and `verdict`: what the log says
//!   about such an upload;
//! - `read`: lists and downloads files;
//! - `remove`: detaches a file and then deletes its bytes;
//! - [`sweep`]: deletes bytes that no order refers to.

mod body;
mod part;
pub(crate) mod pending;
mod read;
mod remove;
pub mod sweep;
mod upload;
pub mod uploads;
mod verdict;

use actix_web::web;
use bakehouse_http::response::problem::Problem;
use bakehouse_orders::{BLOBS, blob_name};
use utoipa::OpenApi;

use uploads::UploadLimits;
use verdict::FileKey;

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

/// OpenAPI description of these operations.
#[derive(OpenApi)]
#[openapi(paths(upload::upload, read::list, read::download, remove::remove))]
pub(crate) struct Documentation;

/// Registers the routes.
pub(crate) fn routes(config: &mut web::ServiceConfig) {
    let all = web::resource("/order/{id}/attachments")
        .route(web::post().to(upload::upload))
        .route(web::get().to(read::list))
        .default_service(Problem::other_methods("GET, HEAD, POST"));
    let one = web::resource("/order/{id}/attachments/{attachment_id}")
        .route(web::get().to(read::download))
        .route(web::delete().to(remove::remove))
        .default_service(Problem::other_methods("GET, HEAD, DELETE"));
    config.service(all).service(one);
}

/// Returns the folder of an order's blobs.
fn order_folder(order_id: &str) -> String {
    format!("{BLOBS}/{order_id}")
}

/// Returns the order id and the file that a blob's name stands for; `None` if the blob is not an
/// attachment.
fn parse_blob_name(blob_name: &str) -> Option<(&str, FileKey<'_>)> {
    let mut parts = blob_name.strip_prefix(BLOBS)?.strip_prefix('/')?.split('/');
    let (order_id, file_name) = (parts.next()?, parts.next()?);
    let (attachment_id, sha256) = file_name.rsplit_once('-')?;
    let file = FileKey {
        attachment_id,
        sha256,
    };
    parts.next().is_none().then_some((order_id, file))
}

/// Maximum bytes of a multipart body beyond the file: boundaries and part headers.
const MULTIPART_OVERHEAD: u64 = 64 * 1024;

/// Folder of blobs whose upload is not complete.
const UPLOADS_FOLDER: &str = "uploads";
