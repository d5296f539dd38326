//! `GET` of an entity: its document, untransformed.

use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder};
use bakehouse_engine::Json;
use bakehouse_engine::ports::StoredDocument;

use super::{document, no_such};
use crate::auth::Principal;
use crate::request::conditional::{etag, is_known, tag};
use crate::request::prefer::Wait;
use crate::response::problem::Problem;
use crate::state::AppState;

/// The entity's document, with its version as `ETag`. With `Prefer: wait`, as soon
/// as it is there; with `If-None-Match` as well, as soon as it is newer than that.
///
/// # Errors
/// 404 where there is none that the principal may see; 503 when that cannot be
/// found out now.
pub async fn show(
    request: &HttpRequest,
    principal: &Principal,
    state: &AppState,
    id: &str,
) -> Result<HttpResponse, Problem> {
    let wait = Wait::of(request, principal, state)?;
    let is_news = |document: &StoredDocument| !is_known(request, &tag(document.version));
    let found = document(state, principal, id, wait.as_ref(), is_news).await?;
    let document = found.ok_or_else(|| no_such(state))?;
    let is_news = is_news(&document);
    let mut answer = if is_news {
        HttpResponse::Ok()
    } else {
        HttpResponse::NotModified()
    };
    answer.insert_header(etag(&tag(document.version)));
    if let Some(wait) = wait {
        answer.insert_header(wait.applied());
    }
    if is_news {
        return Ok(json(&mut answer, &document.body));
    }
    Ok(answer.finish())
}

/// A document as it is kept.
pub fn json(answer: &mut HttpResponseBuilder, body: &Json) -> HttpResponse {
    answer
        .content_type("application/json")
        .body(body.get().to_owned())
}
