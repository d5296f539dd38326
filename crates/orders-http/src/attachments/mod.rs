//! Files that belong to an order. Their bytes are kept as blobs; that there are
//! any, and which, is told by operations in the log like everything else.
//!
//! - `upload`: multipart, streamed, checked on the way;
//! - `read`: the list, and the bytes;
//! - `remove`: off the order, and then off the store;
//! - [`sweep`]: what was left behind all the same.

mod part;
mod read;
mod remove;
pub mod sweep;
mod upload;

use actix_web::web;
use bakehouse_http::problem::Problem;
use bakehouse_orders::{BLOBS, blob_name};
use utoipa::OpenApi;

/// What may be attached.
#[derive(Clone, Debug)]
pub struct AttachmentSettings {
    /// Bytes that a file may have.
    pub largest: u64,
    /// Of which types; `*/*`: any.
    pub media_types: Vec<String>,
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
        .route(web::head().to(read::list))
        .default_service(Problem::other_methods("GET, HEAD, POST"));
    let one = web::resource("/order/{id}/attachments/{attachment_id}")
        .route(web::get().to(read::download))
        .route(web::head().to(read::download))
        .route(web::delete().to(remove::remove))
        .default_service(Problem::other_methods("GET, HEAD, DELETE"));
    config.service(all).service(one);
}

/// The order and the attachment that a blob is of; `None`: it is no attachment.
fn parts_of(blob_name: &str) -> Option<(&str, &str)> {
    let mut parts = blob_name.strip_prefix(BLOBS)?.strip_prefix('/')?.split('/');
    let (order_id, file) = (parts.next()?, parts.next()?);
    let (attachment_id, _) = file.rsplit_once('-')?;
    parts.next().is_none().then_some((order_id, attachment_id))
}

/// Where blobs are until everything about them is known.
const UPLOADS: &str = "uploads";
