//! `DELETE /order/{id}/attachments/{attachment_id}`: takes the file off the
//! order; once that is done, its bytes are removed.

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
use bakehouse_orders::{Command, File, Orders};

use super::blob_name;
use super::read::{files, no_such_attachment};
use super::uploads::Account;
use crate::OrdersState;
use crate::docs::parts::{
    Accepted, AttachmentId, CarriedOut, Changed, IfMatch, IfNoneMatchWrite, KeyReused,
    NoSuchAttachment, OrderId, Prefer, Refused, SubmissionHeaders,
};

/// How long the bytes wait for the operation that takes the file off.
const PATIENCE: Duration = Duration::from_secs(60);

/// Take a file off an order
///
/// Its bytes are removed once that has been carried out.
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
    own: web::Data<OrdersState>,
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
            // It may have been this very request, sent before, that took the file
            // off; then its answer is repeated.
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
        let caller = RateLimitKey::of_request(Some(&principal), &request);
        let who = (principal, caller);
        actix_web::rt::spawn(clean_up(state, own, who, order_id, file));
    }
    Ok(answer)
}

/// Removes the bytes as soon as the order no longer refers to them. Should this
/// process end before, they are left to the sweep.
async fn clean_up(
    state: web::Data<AppState>,
    own: web::Data<OrdersState>,
    (principal, caller): (Principal, RateLimitKey),
    order_id: PathId,
    file: File,
) {
    let is_off = |document: &StoredDocument| !files(document).contains(&file);
    let wait = Wait::lasting(PATIENCE);
    let document = reads::document(&state, &principal, &order_id, Some(&wait), is_off).await;
    if matches!(&document, Ok(Some(document)) if is_off(document)) {
        let name = blob_name(&order_id, &file.id, &file.sha256);
        if let Err(error) = own.blobs.remove(&name).await {
            tracing::warn!(%order_id, "an attachment's bytes stay behind: {error}");
            return;
        }
        let owner = document.ok().flatten().and_then(|document| document.owner);
        // Where orders have no owner, most files are removed by whoever uploaded them.
        let account = owner.map_or(Account::RateLimitKey(caller), Account::Owner);
        own.uploads.removed(name, &account, file.size);
    }
}
