//! `POST /order/{id}/attachments`: the bytes go straight into the store; once
//! they are durable there, the operation that adds the file is accepted.

use actix_multipart::Multipart;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bakehouse_http::accept::Identity;
use bakehouse_http::accept::{Submission, accept, expected_version};
use bakehouse_http::access::Principal;
use bakehouse_http::path_id::PathId;
use bakehouse_http::problem::Problem;
use bakehouse_http::reading;
use bakehouse_http::{Doors, Settings};
use bakehouse_orders::{Command, File, Orders};
use bakehouse_pipeline::ids;
use bakehouse_pipeline::ports::{BlobWriter, Blobs};
use sha2::{Digest, Sha256};

use super::part::{Part, expect_end};
use super::{UPLOADS, blob_name};
use crate::docs::parts::{
    Accepted, Changed, IfMatch, IfNoneMatchWrite, KeyInUse, KeyReused, NoSuchOrder, OrderId,
    SubmissionHeaders,
};
use crate::{OrderDoors, OrderSettings};

/// Attach a file to an order
///
/// One part called `file`, with a file name and a type. 202 once the bytes and
/// the operation that adds the file are durable.
#[utoipa::path(
    post,
    path = "/order/{id}/attachments",
    tag = "attachments",
    params(OrderId, SubmissionHeaders, IfMatch, IfNoneMatchWrite),
    request_body = ref("#/components/schemas/Upload"),
    responses(
        Accepted,
        NoSuchOrder,
        KeyInUse,
        Changed,
        KeyReused,
    )
)]
pub(super) async fn upload(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<PathId>,
    principal: Principal,
    doors: web::Data<Doors>,
    settings: web::Data<Settings>,
    (own, rules): (web::Data<OrderDoors>, web::Data<OrderSettings>),
) -> Result<HttpResponse, Problem> {
    let identity = Identity::of(&request, &principal)?;
    if !request
        .content_type()
        .eq_ignore_ascii_case("multipart/form-data")
    {
        return Err(Problem::not_multipart());
    }
    let document = reading::to_change(&doors, &principal, &id).await?;
    let expected = expected_version(&request, document.as_ref(), &identity, &doors).await?;
    let patience = settings.body_timeout;
    let mut body = Multipart::new(request.headers(), payload);
    let part = Part::first(&mut body, &rules.attachments, patience).await?;
    // Until everything about it is known it goes by a name that nobody refers to.
    let temporary = format!("{UPLOADS}/{}", ids::fresh());
    let mut file = store(own.blobs.as_ref(), &temporary, part).await?;
    if let Err(problem) = expect_end(&mut body, patience).await {
        own.blobs.remove(&temporary).await?;
        return Err(problem);
    }
    file.id = identity.new_id.to_string();
    let name = blob_name(&id, &file.id, &file.sha256);
    own.blobs.rename(&temporary, &name).await?;
    let location = format!("/order/{id}/attachments/{}", file.id);
    let command = Command::Attach(file);
    let terms = principal.terms_of_change(expected);
    let submission = Submission::of_command::<Orders>(identity, &id, location, &command, terms)?;
    accept(&doors, submission).await
}

/// Streams the part into the store, and says what came.
async fn store(blobs: &dyn Blobs, name: &str, mut part: Part<'_>) -> Result<File, Problem> {
    let mut writer = blobs.begin(name).await?;
    match copy(&mut part, writer.as_mut()).await {
        Ok(sha256) => {
            writer.finish().await?;
            Ok(File {
                id: String::new(),
                size: part.size(),
                name: part.file_name,
                media_type: part.media_type,
                sha256,
            })
        }
        Err(problem) => {
            writer.abort().await;
            Err(problem)
        }
    }
}

async fn copy(part: &mut Part<'_>, writer: &mut dyn BlobWriter) -> Result<String, Problem> {
    let mut hash = Sha256::new();
    while let Some(bytes) = part.next().await? {
        hash.update(&bytes);
        writer.write(bytes).await?;
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
