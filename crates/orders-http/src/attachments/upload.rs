//! `POST /order/{id}/attachments`: streams the bytes into the blob store; once they are durable,
//! accepts the operation that adds the file.
//!
//! Everything that does not depend on the body is checked before it is read: the order, its
//! status and number of files, the quotas, and the limit on concurrent uploads.

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
use bakehouse_orders::{Command, File, Orders, blob_name};
use futures_util::TryStreamExt;
use sha2::{Digest, Sha256};

use super::blob_names::{UPLOADS_FOLDER, order_folder, parse_blob_name};
use super::body::Body;
use super::document::{DocumentFields, fields_of};
use super::part::{Pace, Part, expect_end};
use super::pending::Upload;
use super::uploads::{Account, Reservation};
use crate::docs::parts::{
    Accepted, Attached, Changed, IfMatch, IfNoneMatchWrite, KeyReused, NoSuchOrder, OrderId,
    Prefer, Refused, SubmissionHeaders,
};
use crate::settings::OrderSettings;
use crate::state::OrdersState;

/// Maximum bytes of a multipart body beyond the file: boundaries and part headers.
const MULTIPART_OVERHEAD: u64 = 64 * 1024;

/// Attach a file to an order
///
/// The body has one part named `file`, with a file name and a media type. The answer is 202 once
/// the bytes and the operation that adds the file are durable; with `Prefer: wait`, it is 201 with
/// the order once the file is attached. The order, its status, the quotas and the size are checked
/// before the body is read.
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
    (orders_state, rules): (web::Data<OrdersState>, web::Data<OrderSettings>),
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
        orders_state: &orders_state,
        rules: &rules,
    };
    match handler.handle(body.clone(), pace).await {
        Ok(answer) => Ok(answer),
        Err(problem) => {
            let limit = rules
                .attachments
                .max_bytes
                .saturating_add(MULTIPART_OVERHEAD);
            Err(body.refuse(problem, limit).await)
        }
    }
}

/// Handler of one upload request.
struct Handler<'a> {
    request: &'a HttpRequest,
    id: &'a str,
    principal: &'a Principal,
    state: &'a AppState,
    orders_state: &'a OrdersState,
    rules: &'a OrderSettings,
}

/// Upload that has passed all checks that do not need the body.
struct Admitted {
    identity: Identity,
    /// Version that the order must have when the operation is executed.
    expected: Option<u64>,
    /// Slot among the concurrent uploads; held until the body has been read.
    permit: Permit,
    reservation: Reservation,
}

impl Handler<'_> {
    async fn handle(&self, body: Body, pace: Pace) -> Result<HttpResponse, Problem> {
        let Admitted {
            identity,
            expected,
            permit,
            mut reservation,
        } = self.admit().await?;
        let blobs = self.orders_state.blobs.as_ref();
        let mut multipart = Multipart::new(self.request.headers(), body);
        let part = Part::first(&mut multipart, &self.rules.attachments, pace).await?;
        // The final name contains the checksum, which is known only after the last byte.
        let temporary = format!("{UPLOADS_FOLDER}/{}", ids::fresh());
        let mut file = store(blobs, &temporary, part, &mut reservation).await?;
        if let Err(problem) = expect_end(&mut multipart, pace).await {
            blobs.remove(&temporary).await?;
            return Err(problem);
        }
        drop(permit);
        file.id = identity.new_id.to_string();
        let name = blob_name(self.id, &file.id, &file.sha256);
        blobs.rename(&temporary, &name).await?;
        self.accept(identity, expected, file, reservation).await
    }

    /// Checks everything that does not need the body, and reserves the announced bytes.
    async fn admit(&self) -> Result<Admitted, Problem> {
        let identity = Identity::of(self.request, self.principal)?;
        if !self
            .request
            .content_type()
            .eq_ignore_ascii_case("multipart/form-data")
        {
            return Err(Problem::not_multipart());
        }
        let max_bytes = self.rules.attachments.max_bytes;
        let content_length = content_length(self.request);
        if content_length > max_bytes.saturating_add(MULTIPART_OVERHEAD) {
            return Err(Problem::attachment_too_large(max_bytes));
        }
        let document = reads::load_for_change(self.state, self.principal, self.id).await?;
        let version = expected_version(self.request, document.as_ref(), &identity, self.state);
        let expected = version.await?;
        let rate_limit_key = RateLimitKey::of_request(Some(self.principal), self.request);
        let uploads = &self.orders_state.uploads;
        let permit = uploads.acquire_slot(rate_limit_key.clone())?;
        // A repeated request gets the first answer again, even if a quota is exceeded by now.
        let is_repeated = identity.is_known(self.state.log.as_ref()).await;
        let account = self.account(document.as_ref(), rate_limit_key);
        let file_id = identity.new_id.to_string();
        let mut reservation = uploads.announce(self.id, &file_id, account);
        if !is_repeated {
            let DocumentFields {
                attachments,
                timeline,
            } = document.as_ref().map(fields_of).unwrap_or_default();
            let is_deleted = timeline.iter().any(|entry| entry.kind == "order.deleted");
            if let Some(refusal) = bakehouse_orders::no_more_files(is_deleted, timeline.len()) {
                return Err(Problem::refused(&refusal));
            }
            let stored = stored_files(self.orders_state.blobs.as_ref(), self.id).await?;
            // The multipart envelope is not stored.
            let bytes = content_length
                .saturating_sub(MULTIPART_OVERHEAD)
                .min(max_bytes);
            reservation.check_and_reserve(stored, attachments.len(), bytes)?;
        }
        Ok(Admitted {
            identity,
            expected,
            permit,
            reservation,
        })
    }

    /// Returns the account whose quota the file counts against.
    fn account(&self, document: Option<&StoredDocument>, rate_limit_key: RateLimitKey) -> Account {
        let owner = match document {
            Some(document) => document.owner.clone(),
            None => self.principal.restricted_to_owner().map(str::to_owned),
        };
        owner.map_or(Account::Client(rate_limit_key), Account::Owner)
    }

    /// Accepts the operation that attaches the stored file.
    async fn accept(
        &self,
        identity: Identity,
        expected: Option<u64>,
        file: File,
        reservation: Reservation,
    ) -> Result<HttpResponse, Problem> {
        let location = format!("/order/{}/attachments/{}", self.id, file.id);
        // From here on the bytes stay until the operation is known to be rejected: an operation
        // that could not be confirmed may be durable all the same.
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
        self.orders_state.pending.add(self.id, upload.clone());
        let answer = self.submit(submission.creates()).await;
        // The operation of a repeated request, or of a reused key, may be executed already; no
        // frame is published for it any more.
        let (pending, order_id) = (self.orders_state.pending.clone(), self.id.to_owned());
        actix_web::rt::spawn(async move { pending.apply_verdict(&order_id, &upload).await });
        answer
    }

    async fn submit(&self, submission: Submission) -> Result<HttpResponse, Problem> {
        accept_and_wait(self.request, self.principal, self.state, submission).await
    }
}

/// Returns the `Content-Length` of a request in bytes; 0 if it has none.
fn content_length(request: &HttpRequest) -> u64 {
    let length = request.headers().get(CONTENT_LENGTH);
    let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
    length.unwrap_or(0)
}

/// Returns the size in bytes of each file that the store has of an order, by file id; includes
/// files that are not attached yet.
async fn stored_files(
    blobs: &dyn Blobs,
    order_id: &str,
) -> Result<HashMap<String, u64>, StoreError> {
    let mut files: HashMap<String, u64> = HashMap::new();
    let mut entries = blobs.list_below(&order_folder(order_id));
    while let Some(entry) = entries.try_next().await? {
        let parsed = parse_blob_name(&entry.name);
        let id = parsed.map_or(entry.name.as_str(), |(_, key)| key.attachment_id);
        let size = files.entry(id.to_owned()).or_default();
        *size = size.saturating_add(entry.size);
    }
    Ok(files)
}

/// Streams the part into the store and returns the description of the file, without an id.
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

/// Copies the part to the writer and returns the SHA-256 in hexadecimal.
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
