//! `GET /order/{id}/attachments`: what there is; and one of them, whole.

use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::StoredDocument;
use bakehouse_http::AppState;
use bakehouse_http::auth::Principal;
use bakehouse_http::reads;
use bakehouse_http::reads::{may_be_on_its_way, no_such};
use bakehouse_http::request::conditional::{etag, is_known};
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::request::prefer::Wait;
use bakehouse_http::request::query::Parameters;
use bakehouse_http::response::problem::Problem;
use bakehouse_orders::File;
use bakehouse_orders::parse::unfit_character;
use futures_util::TryStreamExt;
use serde::Deserialize;

use super::blob_name;
use crate::OrdersState;
use crate::docs::parts::{
    AttachmentId, IfNoneMatch, NoSuchAttachment, NoSuchOrder, NotModified, OrderId, Prefer,
};

/// List an order's files
///
/// With `Prefer: wait`, as soon as the order is there.
#[utoipa::path(
    get,
    path = "/order/{id}/attachments",
    operation_id = "list_attachments",
    tag = "attachments",
    params(OrderId, Prefer),
    responses((status = 200, description = "From the oldest on", body = [File]), NoSuchOrder)
)]
pub(super) async fn list(
    request: HttpRequest,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
) -> Result<HttpResponse, Problem> {
    Parameters::of(request.query_string()).finish()?;
    let wait = Wait::of(&request, &principal, &state)?;
    let found = reads::document(&state, &principal, &id, wait.as_ref(), |_| true).await?;
    let document = found.ok_or_else(|| no_such(&state))?;
    Ok(HttpResponse::Ok().json(files(&document)))
}

/// Download a file
///
/// With `Prefer: wait`, as soon as it is there.
#[utoipa::path(
    get,
    path = "/order/{id}/attachments/{attachment_id}",
    tag = "attachments",
    params(OrderId, AttachmentId, IfNoneMatch, Prefer),
    responses(
        (status = 200, description = "Its bytes", body = Vec<u8>, content_type = "*/*"),
        NotModified,
        NoSuchAttachment,
    )
)]
pub(super) async fn download(
    request: HttpRequest,
    ids: web::Path<(PathId, PathId)>,
    principal: Principal,
    state: web::Data<AppState>,
    own: web::Data<OrdersState>,
) -> Result<HttpResponse, Problem> {
    Parameters::of(request.query_string()).finish()?;
    let (order_id, attachment_id) = ids.into_inner();
    let has_it = |document: &StoredDocument| file(document, &attachment_id).is_some();
    let wait = match may_be_on_its_way(&attachment_id) {
        true => Wait::of(&request, &principal, &state)?,
        false => None,
    };
    let document = reads::document(&state, &principal, &order_id, wait.as_ref(), has_it).await?;
    let file = document.and_then(|document| file(&document, &attachment_id));
    let file = file.ok_or_else(no_such_attachment)?;
    let tag = format!("\"{}\"", file.sha256);
    if is_known(&request, &tag) {
        return Ok(HttpResponse::NotModified()
            .insert_header(etag(&tag))
            .finish());
    }
    let name = blob_name(&order_id, &file.id, &file.sha256);
    let blob = own.blobs.read(&name).await?.ok_or_else(|| {
        tracing::error!(
            %order_id,
            %attachment_id,
            "the bytes of an attachment are missing"
        );
        Problem::internal()
    })?;
    let bytes = blob.bytes.map_err(|error| {
        tracing::warn!("an attachment's bytes stopped coming: {error}");
        error
    });
    Ok(HttpResponse::Ok()
        .content_type(file.media_type.as_str())
        .insert_header(etag(&tag))
        .insert_header((CONTENT_DISPOSITION, as_download(&file.name)))
        // It is somebody's file: never run, never taken for anything else.
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'; frame-ancestors 'none'",
        ))
        .body(actix_web::body::SizedStream::new(blob.size, bytes)))
}

pub(super) fn no_such_attachment() -> Problem {
    Problem::not_found("the order has no attachment with this id, or not yet")
}

/// To be saved under its name, whatever letters that has (RFC 6266, RFC 8187). Names that were
/// taken by earlier versions may have characters that are not seen, which are replaced.
fn as_download(name: &str) -> String {
    let is_fit = |c: char| unfit_character(c.encode_utf8(&mut [0; 4])).is_none();
    let mut disposition = "attachment; filename*=UTF-8''".to_owned();
    for c in name.chars().map(|c| if is_fit(c) { c } else { '_' }) {
        if c.is_ascii_alphanumeric() || "!#$&+-.^_`|~".contains(c) {
            disposition.push(c);
            continue;
        }
        for byte in c.encode_utf8(&mut [0; 4]).bytes() {
            disposition.push_str(&format!("%{byte:02X}"));
        }
    }
    disposition
}

/// Part of a document that files depend on.
#[derive(Default, Deserialize)]
pub(super) struct DocumentPart {
    #[serde(default)]
    pub(super) attachments: Vec<File>,
    #[serde(default)]
    pub(super) timeline: Vec<TimelineEntry>,
}

/// A line of the timeline.
#[derive(Deserialize)]
pub(super) struct TimelineEntry {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

pub(super) fn part_of(document: &StoredDocument) -> DocumentPart {
    serde_json::from_str(document.body.get()).unwrap_or_default()
}

/// Files in the order's document, without a look at the rest of it.
pub(super) fn files(document: &StoredDocument) -> Vec<File> {
    #[derive(Default, Deserialize)]
    struct Listed {
        #[serde(default)]
        attachments: Vec<File>,
    }
    let listed: Listed = serde_json::from_str(document.body.get()).unwrap_or_default();
    listed.attachments
}

fn file(document: &StoredDocument, id: &str) -> Option<File> {
    files(document).into_iter().find(|file| file.id == id)
}

#[cfg(test)]
mod tests {
    use super::as_download;

    #[test]
    fn names_are_written_so_that_nothing_in_them_ends_the_header() {
        for (name, value) in [
            ("a.txt", "attachment; filename*=UTF-8''a.txt"),
            (
                "\"; filename=b.exe; x=\"",
                "attachment; filename*=UTF-8''%22%3B%20filename%3Db.exe%3B%20x%3D%22",
            ),
            (
                "a\u{202E}fdp.exe\r\nb",
                "attachment; filename*=UTF-8''a_fdp.exe__b",
            ),
            ("M\u{e4}rz", "attachment; filename*=UTF-8''M%C3%A4rz"),
        ] {
            assert_eq!(as_download(name), value, "{name:?}");
        }
    }
}
