//! `GET /order/{id}`: the presentation document, untransformed.

use actix_web::http::header::{ETAG, IF_NONE_MATCH};
use actix_web::{HttpRequest, HttpResponse, web};

use super::body::header;
use crate::problem::Problem;
use crate::server::Doors;

pub(super) async fn show(
    request: HttpRequest,
    id: web::Path<String>,
    doors: web::Data<Doors>,
) -> Result<HttpResponse, Problem> {
    let Some(document) = doors.presentation.document(&id).await? else {
        return Err(Problem::not_found(
            "there is no order with this id, or not yet",
        ));
    };
    let tag = format!("\"{}\"", document.position);
    if header(&request, &IF_NONE_MATCH).is_some_and(|known| is_among(&tag, known)) {
        return Ok(HttpResponse::NotModified()
            .insert_header((ETAG, tag))
            .finish());
    }
    Ok(HttpResponse::Ok()
        .insert_header((ETAG, tag))
        .content_type("application/json")
        .body(document.body.get().to_owned()))
}

/// Whether the tag is one of those the client has; weak ones count as well.
fn is_among(tag: &str, known: &str) -> bool {
    let mut tags = known
        .split(',')
        .map(|tag| tag.trim().trim_start_matches("W/"));
    tags.any(|one| one == tag || one == "*")
}
