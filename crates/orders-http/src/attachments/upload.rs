//! `POST /order/{id}/attachments`: the bytes go straight into the store; once
//! they are durable there, the operation that adds the file is accepted.
//!
//! Everything that can be known without the body is checked before it is read: the order, its
//! state and its number of files, quotas, and whether there is a place among the uploads.

use std::collections::HashMap;

use actix_multipart::Multipart;
use actix_web::http::header::CONTENT_LENGTH;
use actix_web::{HttpMessage, HttpRequest, HttpResponse, web};
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{BlobWriter, Blobs, StoreError, StoredDocument};
use bakehouse_http::accept::Identity;
use bakehouse_http::accept::{Submission, accept_and_wait, expected_version};
use bakehouse_http::auth::{Principal, RateLimitKey};
use bakehouse_http::limits::Permit;
use bakehouse_http::reads;
use bakehouse_http::request::path_id::PathId;
use bakehouse_http::response::problem::Problem;
use bakehouse_http::{AppState, RequestSettings};
use bakehouse_orders::{Command, File, Orders};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use super::body::Body;
use super::part::{Pace, Part, expect_end};
use super::pending::Upload;
use super::read::{DocumentPart, part_of};
use super::uploads::{Account, Reservation};
use super::{MULTIPART, UPLOADS, blob_name, order_folder, parts_of};
use crate::docs::parts::{
    Accepted, Attached, Changed, IfMatch, IfNoneMatchWrite, KeyReused, NoSuchOrder, OrderId,
    Prefer, Refused, SubmissionHeaders,
};
use crate::{OrderSettings, OrdersState};

/// Attach a file to an order
///
/// One part called `file`, with a file name and a type. 202 once the bytes and
/// the operation that adds the file are durable; with `Prefer: wait`, 201 with the order once it
/// has the file. What can be refused without the bytes is refused before they are read.
#[utoipa::path(
    post,
    path = "/order/{id}/attachments",
    tag = "attachments",
    params(OrderId, SubmissionHeaders, IfMatch, IfNoneMatchWrite, Prefer),
    request_body = ref("#/components/schemas/Upload"),
    responses(
        Accepted,
        Attached,
        NoSuchOrder,
        Refused,
        Changed,
        KeyReused,
    )
)]
pub(super) async fn upload(
    request: HttpRequest,
    payload: web::Payload,
    id: web::Path<PathId>,
    principal: Principal,
    state: web::Data<AppState>,
    settings: web::Data<RequestSettings>,
    (own, rules): (web::Data<OrdersState>, web::Data<OrderSettings>),
) -> Result<HttpResponse, Problem> {
    let body = Body::new(payload);
    let pace = Pace {
        grace: settings.body_timeout,
        min_rate: rules.attachments.min_upload_rate,
    };
    let handler = Handler {
        request: &request,
        id: &id,
        principal: &principal,
        state: &state,
        own: &own,
        rules: &rules,
    };
    match handler.handle(body.clone(), pace).await {
        Ok(answer) => Ok(answer),
        Err(problem) => {
            let limit = rules.attachments.largest.saturating_add(MULTIPART);
            Err(body.refuse(problem, limit).await)
        }
    }
}

struct Handler<'a> {
    request: &'a HttpRequest,
    id: &'a str,
    principal: &'a Principal,
    state: &'a AppState,
    own: &'a OrdersState,
    rules: &'a OrderSettings,
}

/// An upload that may begin.
struct Admitted {
    identity: Identity,
    /// Version that the order must have.
    expected: Option<u64>,
    /// Held until the body has been read.
    place: Permit,
    reservation: Reservation,
}

impl Handler<'_> {
    async fn handle(&self, body: Body, pace: Pace) -> Result<HttpResponse, Problem> {
        let Admitted {
            identity,
            expected,
            place,
            mut reservation,
        } = self.admit().await?;
        let blobs = self.own.blobs.as_ref();
        let mut multipart = Multipart::new(self.request.headers(), body);
        let part = Part::first(&mut multipart, &self.rules.attachments, pace).await?;
        // Until everything about it is known it goes by a name that nobody refers to.
        let temporary = format!("{UPLOADS}/{}", ids::fresh());
        let mut file = store(blobs, &temporary, part, &mut reservation).await?;
        if let Err(problem) = expect_end(&mut multipart, pace).await {
            blobs.remove(&temporary).await?;
            return Err(problem);
        }
        drop(place);
        file.id = identity.new_id.to_string();
        let name = blob_name(self.id, &file.id, &file.sha256);
        blobs.rename(&temporary, &name).await?;
        self.accept(identity, expected, file, reservation).await
    }

    /// Everything that can be checked before the body is read.
    async fn admit(&self) -> Result<Admitted, Problem> {
        let identity = Identity::of(self.request, self.principal)?;
        if !self
            .request
            .content_type()
            .eq_ignore_ascii_case("multipart/form-data")
        {
            return Err(Problem::not_multipart());
        }
        let largest = self.rules.attachments.largest;
        let announced = announced(self.request);
        if announced > largest.saturating_add(MULTIPART) {
            return Err(Problem::attachment_too_large(largest));
        }
        let document = reads::to_change(self.state, self.principal, self.id).await?;
        let version = expected_version(self.request, document.as_ref(), &identity, self.state);
        let expected = version.await?;
        let caller = RateLimitKey::of_request(Some(self.principal), self.request);
        let place = self.own.uploads.enter(caller.clone())?;
        // With an idempotency key the first answer counts, whatever has happened since.
        let is_repeated = identity.is_known(self.state.log.as_ref()).await;
        let account = self.account(document.as_ref(), caller);
        let file_id = identity.new_id.to_string();
        let uploads = &self.own.uploads;
        let mut reservation = uploads.announce(self.id, &file_id, account);
        if !is_repeated {
            let DocumentPart {
                attachments,
                timeline,
            } = document.as_ref().map(part_of).unwrap_or_default();
            let is_deleted = timeline.iter().any(|entry| entry.kind == "order.deleted");
            if let Some(refusal) = bakehouse_orders::no_more_files(is_deleted, timeline.len()) {
                return Err(Problem::refused(&refusal));
            }
            let stored = stored_files(self.own.blobs.as_ref(), self.id).await?;
            // What stands around the file in the body is not kept.
            let bytes = announced.saturating_sub(MULTIPART).min(largest);
            reservation.judge(stored, attachments.len(), bytes)?;
        }
        Ok(Admitted {
            identity,
            expected,
            place,
            reservation,
        })
    }

    fn account(&self, document: Option<&StoredDocument>, caller: RateLimitKey) -> Account {
        let owner = match document {
            Some(document) => document.owner.clone(),
            None => self.principal.confined_to().map(str::to_owned),
        };
        owner.map_or(Account::RateLimitKey(caller), Account::Owner)
    }

    async fn accept(
        &self,
        identity: Identity,
        expected: Option<u64>,
        file: File,
        reservation: Reservation,
    ) -> Result<HttpResponse, Problem> {
        let location = format!("/order/{}/attachments/{}", self.id, file.id);
        // From here on the bytes stay until the operation is known to be refused: even one that
        // could not be confirmed may be durable.
        let (account, counted) = reservation.keep(file.size);
        let upload = Upload {
            attachment_id: file.id.clone(),
            sha256: file.sha256.clone(),
            counted,
            account,
            operation_id: Some(identity.operation_id),
        };
        let command = Command::Attach(file);
        let terms = self.principal.terms_of_change(expected);
        let submission =
            Submission::of_command::<Orders>(identity, self.id, location, &command, terms)?;
        self.own.pending.add(self.id, upload.clone());
        let answer = self.submit(submission.creates()).await;
        // Repeated, or refused for its key: that is decided already, and no frame will tell.
        let (pending, order_id) = (self.own.pending.clone(), self.id.to_owned());
        actix_web::rt::spawn(async move { pending.settle(&order_id, &upload).await });
        answer
    }

    async fn submit(&self, submission: Submission) -> Result<HttpResponse, Problem> {
        accept_and_wait(self.request, self.principal, self.state, submission).await
    }
}

/// Bytes of the body, by its own account; 0 where it does not say.
fn announced(request: &HttpRequest) -> u64 {
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

/// Files that the store has of an order, attached or not yet: by the file's id, with its bytes.
async fn stored_files(
    blobs: &dyn Blobs,
    order_id: &str,
) -> Result<HashMap<String, u64>, StoreError> {
    let mut files: HashMap<String, u64> = HashMap::new();
    let mut entries = blobs.list_below(&order_folder(order_id));
    while let Some(entry) = entries.try_next().await? {
        let parts = parts_of(&entry.name);
        let id = parts.map_or(entry.name.as_str(), |(_, bytes)| bytes.attachment_id);
        let size = files.entry(id.to_owned()).or_default();
        *size = size.saturating_add(entry.size);
    }
    Ok(files)
}

/// Streams the part into the store, and says what came.
async fn store(
    blobs: &dyn Blobs,
    name: &str,
    mut part: Part<'_>,
    reservation: &mut Reservation,
) -> Result<File, Problem> {
    let mut writer = blobs.begin(name).await?;
    match copy(&mut part, writer.as_mut(), reservation).await {
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

async fn copy(
    part: &mut Part<'_>,
    writer: &mut dyn BlobWriter,
    reservation: &mut Reservation,
) -> Result<String, Problem> {
    let mut hash = Sha256::new();
    while let Some(bytes) = part.next().await? {
        reservation.grow_to(part.size())?;
        hash.update(&bytes);
        writer.write(bytes).await?;
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}
