//! Files attached to an order. Their bytes are stored as blobs; the list of an order's files
//! results from operations in the log, like the rest of the order.
//!
//! - `upload`: receives a multipart body, checks it and streams it into the blob store;
//! - [`uploads`]: limits on concurrent uploads and on stored bytes;
//! - `pending`: uploads whose operation is not executed yet, and `verdict`: what the log says
//!   about such an upload;
//! - `read`: lists and downloads files;
//! - `remove`: detaches a file and then deletes its bytes;
//! - `document`: fields of an order's document that concern its files;
//! - `blob_names`: names of the blobs;
//! - [`sweep`]: deletes bytes that no order refers to.

mod blob_names;
mod body;
mod document;
mod part;
pub(crate) mod pending;
mod read;
mod remove;
mod settings;
pub mod sweep;
mod upload;
pub mod uploads;
mod verdict;

use actix_web::web;
use bakehouse_http::response::problem::Problem;
pub use settings::AttachmentSettings;
use utoipa::OpenApi;

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
