//! `DELETE /order/{id}/attachments/{attachment_id}`: detaches a file from its order and deletes
//! its bytes once the operation has been executed.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::StoredDocument;
use bakehouse_http::AppState;
use bakehouse_http::accept::Change;
use bakehouse_http::accept::Identity;
use bakehouse_http::auth::{Principal, RateLimitKey};
use bakehouse_http::reads;
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::request::prefer::Wait;
use bakehouse_http::response::problem::Problem;
use bakehouse_orders::{Command, File, Orders, blob_name};

use super::document::files;
use super::read::no_such_attachment;
use super::uploads::Account;
use crate::docs::parts::{
    Accepted, AttachmentId, CarriedOut, Changed, IfMatch, IfNoneMatchWrite, KeyReused,
    NoSuchAttachment, OrderId, Prefer, Refused, SubmissionHeaders,
};
use crate::state::OrdersState;

/// Longest wait for the operation that detaches the file before its bytes are left to the sweep.
const DETACH_TIMEOUT: Duration = Duration::from_secs(60);

/// Remove a file from an order
///
/// The file's bytes are deleted once the operation has been executed.
#[utoipa::path(
    delete,
    path = "/order/{id}/attachments/{attachment_id}",
    tag = "attachments",
    params(
        OrderId,
        AttachmentId,
        SubmissionHeaders,
        IfMatch,
        IfNoneMatchWrite,
        Prefer
    ),
    responses(Accepted, CarriedOut, NoSuchAttachment, Refused, Changed, KeyReused)
)]
pub(super) async fn remove(
    request: HttpRequest,
    ids: web::Path<(PathId, PathId)>,
    principal: Principal,
    state: web::Data<AppState>,
    orders_state: web::Data<OrdersState>,
) -> Result<HttpResponse, Problem> {
    let (order_id, attachment_id) = ids.into_inner();
    let change = Change {
        request: &request,
        principal: &principal,
        id: &order_id,
    };
    let mut found = None;
    let command = async |document: Option<&StoredDocument>, identity: &Identity| {
        if let Some(document) = document {
            let mut all = files(document).into_iter();
            found = all.find(|file| file.id == *attachment_id);
            // A repeated request may find the file detached by its first attempt; it then gets
            // the same answer again.
            if found.is_none() && !identity.is_known(state.log.as_ref()).await {
                return Err(no_such_attachment());
            }
        }
        Ok(Command::Detach {
            id: attachment_id.to_string(),
        })
    };
    let answer = change.accept::<Orders>(&state, command).await?;
    if let Some(file) = found {
        let rate_limit_key = RateLimitKey::of_request(Some(&principal), &request);
        let client = (principal, rate_limit_key);
        actix_web::rt::spawn(clean_up(state, orders_state, client, order_id, file));
    }
    Ok(answer)
}

/// Deletes a file's bytes as soon as the order no longer refers to them. If the process stops
/// before, the sweep deletes them.
async fn clean_up(
    state: web::Data<AppState>,
    orders_state: web::Data<OrdersState>,
    (principal, rate_limit_key): (Principal, RateLimitKey),
    order_id: PathId,
    file: File,
) {
    let is_detached = |document: &StoredDocument| !files(document).contains(&file);
    let wait = Wait::lasting(DETACH_TIMEOUT);
    let document = reads::document(&state, &principal, &order_id, Some(&wait), is_detached).await;
    if matches!(&document, Ok(Some(document)) if is_detached(document)) {
        let name = blob_name(&order_id, &file.id, &file.sha256);
        if let Err(error) = orders_state.blobs.remove(&name).await {
            tracing::warn!(%order_id, "bytes of a detached file not deleted: {error}");
            return;
        }
        let owner = document.ok().flatten().and_then(|document| document.owner);
        // Files of orders without an owner are usually removed by the client that uploaded them.
        let account = owner.map_or(Account::Client(rate_limit_key), Account::Owner);
        orders_state.uploads.removed(name, &account, file.size);
    }
}
