//! `GET /order/{id}/attachments`: the list of an order's files, and the download of one of them.

use actix_web::http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use actix_web::{HttpRequest, HttpResponse, web};
use bakehouse_engine::ports::StoredDocument;
use bakehouse_http::AppState;
use bakehouse_http::auth::Principal;
use bakehouse_http::reads;
use bakehouse_http::reads::{entity_not_found, may_be_pending};
use bakehouse_http::request::conditional::{etag, is_known};
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::request::prefer::Wait;
use bakehouse_http::request::query::Parameters;
use bakehouse_http::response::problem::Problem;
use bakehouse_orders::parse::forbidden_character;
use bakehouse_orders::{File, blob_name};
use futures_util::TryStreamExt;

use super::document::files;
use crate::docs::parts::{
    AttachmentId, IfNoneMatch, NoSuchAttachment, NoSuchOrder, NotModified, OrderId, Prefer,
};
use crate::state::OrdersState;

/// List an order's files
///
/// With `Prefer: wait`, the request waits until the order exists.
#[utoipa::path(
    get,
    path = "/order/{id}/attachments",
    operation_id = "list_attachments",
    tag = "attachments",
    params(OrderId, Prefer),
    responses((status = 200, description = "The files, oldest first", body = [File]), NoSuchOrder)
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
    let document = found.ok_or_else(|| entity_not_found(&state))?;
    Ok(HttpResponse::Ok().json(files(&document)))
}

/// Download a file
///
/// With `Prefer: wait`, the request waits until the file is attached.
#[utoipa::path(
    get,
    path = "/order/{id}/attachments/{attachment_id}",
    tag = "attachments",
    params(OrderId, AttachmentId, IfNoneMatch, Prefer),
    responses(
        (status = 200, description = "The bytes of the file", body = Vec<u8>, content_type = "*/*"),
        NotModified,
        NoSuchAttachment,
    )
)]
pub(super) async fn download(
    request: HttpRequest,
    ids: web::Path<(PathId, PathId)>,
    principal: Principal,
    state: web::Data<AppState>,
    orders_state: web::Data<OrdersState>,
) -> Result<HttpResponse, Problem> {
    Parameters::of(request.query_string()).finish()?;
    let (order_id, attachment_id) = ids.into_inner();
    let has_file = |document: &StoredDocument| file(document, &attachment_id).is_some();
    let wait = match may_be_pending(&attachment_id) {
        true => Wait::of(&request, &principal, &state)?,
        false => None,
    };
    let document = reads::document(&state, &principal, &order_id, wait.as_ref(), has_file).await?;
    let file = document.and_then(|document| file(&document, &attachment_id));
    let file = file.ok_or_else(no_such_attachment)?;
    let tag = format!("\"{}\"", file.sha256);
    if is_known(&request, &tag) {
        return Ok(HttpResponse::NotModified()
            .insert_header(etag(&tag))
            .finish());
    }
    let name = blob_name(&order_id, &file.id, &file.sha256);
    let blob = orders_state.blobs.read(&name).await?.ok_or_else(|| {
        tracing::error!(
            %order_id,
            %attachment_id,
            "bytes of an attachment are missing from the blob store"
        );
        Problem::internal()
    })?;
    let bytes = blob.bytes.map_err(|error| {
        tracing::warn!("download of an attachment aborted: {error}");
        error
    });
    Ok(HttpResponse::Ok()
        .content_type(file.media_type.as_str())
        .insert_header(etag(&tag))
        .insert_header((CONTENT_DISPOSITION, download_disposition(&file.name)))
        // The content is untrusted: browsers must not run it or guess another type.
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .insert_header((
            CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'; frame-ancestors 'none'",
        ))
        .body(actix_web::body::SizedStream::new(blob.size, bytes)))
}

pub(super) fn no_such_attachment() -> Problem {
    Problem::not_found("the order has no attachment with this id, or it has not been processed yet")
}

/// Returns a `Content-Disposition` that saves the file under its name (RFC 6266, RFC 8187).
/// Invisible characters, which earlier versions accepted in names, are replaced by `_`.
fn download_disposition(name: &str) -> String {
    let is_fit = |c: char| forbidden_character(c.encode_utf8(&mut [0; 4])).is_none();
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

fn file(document: &StoredDocument, id: &str) -> Option<File> {
    files(document).into_iter().find(|file| file.id == id)
}

#[cfg(test)]
mod tests {
    use super::download_disposition;

    #[test]
    fn file_names_are_encoded_for_the_header() {
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
            assert_eq!(download_disposition(name), value, "{name:?}");
        }
    }
}
