//! `GET` of an entity: its document, as stored.

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bakehouse_engine::Json;
use bakehouse_engine::ports::StoredDocument;

use super::{document, entity_not_found};
use crate::auth::Principal;
use crate::request::conditional::{etag, is_known, tag};
use crate::request::prefer::Wait;
use crate::response::problem::Problem;
use crate::state::AppState;

/// Responds with the entity's document and its version as `ETag`; 304 if `If-None-Match` names
/// that version. With `Prefer: wait`, the response waits until the document exists, or until it
/// is not the one named.
///
/// # Errors
/// 404 when there is no such entity that the principal may view; 503 when the store does not
/// answer.
pub async fn get(
    request: &HttpRequest,
    principal: &Principal,
    state: &AppState,
    id: &str,
) -> Result<HttpResponse, Problem> {
    let wait = Wait::of(request, principal, state)?;
    let is_modified = |document: &StoredDocument| !is_known(request, &tag(document.version));
    let found = document(state, principal, id, wait.as_ref(), is_modified).await?;
    let document = found.ok_or_else(|| entity_not_found(state))?;
    let is_modified = is_modified(&document);
    let mut response = if is_modified {
        HttpResponse::Ok()
    } else {
        HttpResponse::NotModified()
    };
    response.insert_header(etag(&tag(document.version)));
    if let Some(wait) = wait {
        response.insert_header(wait.applied());
    }
    if is_modified {
        return Ok(json(&mut response, &document.body));
    }
    Ok(response.finish())
}

/// Completes a response with a JSON body, as stored.
pub fn json(response: &mut HttpResponseBuilder, body: &Json) -> HttpResponse {
    response
        .content_type("application/json")
        .body(body.get().to_owned())
}
