//! Files that belong to an order. Their bytes are kept as blobs; that there are
//! any, and which, is told by operations in the log like everything else.
//!
//! - `upload`: multipart, checked before it is read, streamed, checked on the way;
//! - [`uploads`]: how many at the same time, and how many bytes;
//! - `pending`: those whose operation is not decided yet, and `verdict`: what the log says of it;
//! - `read`: the list, and the bytes;
//! - `remove`: off the order, and then off the store;
//! - [`sweep`]: what was left behind all the same.

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
use verdict::Bytes;

/// What may be attached.
#[derive(Clone, Debug)]
pub struct AttachmentSettings {
    /// Bytes that a file may have.
    pub largest: u64,
    /// Of which types; `*/*`: any.
    pub media_types: Vec<String>,
    /// Bytes a second that an upload must come at, on the average.
    pub min_upload_rate: u64,
    /// How many uploads, and how many bytes.
    pub limits: UploadLimits,
}

/// The documentation of these calls.
#[derive(OpenApi)]
#[openapi(paths(upload::upload, read::list, read::download, remove::remove))]
pub(crate) struct Documentation;

/// Adds the routes.
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

/// Folder of the blobs of an order.
fn order_folder(order_id: &str) -> String {
    format!("{BLOBS}/{order_id}")
}

/// The order and the bytes that a blob is of; `None`: it is no attachment.
fn parts_of(blob_name: &str) -> Option<(&str, Bytes<'_>)> {
    let mut parts = blob_name.strip_prefix(BLOBS)?.strip_prefix('/')?.split('/');
    let (order_id, file) = (parts.next()?, parts.next()?);
    let (attachment_id, sha256) = file.rsplit_once('-')?;
    let bytes = Bytes {
        attachment_id,
        sha256,
    };
    parts.next().is_none().then_some((order_id, bytes))
}

/// Bytes that may stand around a file in the body: boundaries and headers of its part.
const MULTIPART: u64 = 64 * 1024;

/// Where blobs are until everything about them is known.
const UPLOADS: &str = "uploads";
