//! Accepting an operation: its identities, its way into the schedule queue, the 202.

use std::time::Duration;

use actix_web::http::header::{HeaderName, LOCATION};
use actix_web::{HttpRequest, HttpResponse};
use bakehouse_orders::{Command, Orders};
use bakehouse_pipeline::ports::EventLog;
use bakehouse_pipeline::{Domain, Operation, Timestamp, ids, to_json};
use uuid::Uuid;

use crate::problem::{InputFault, Problem};
use crate::server::Doors;

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const LONGEST_KEY: usize = 255;
/// How long the log may take to tell whether it knows a key.
const PATIENCE: Duration = Duration::from_secs(2);

/// Whom and what an accepted operation is known by.
pub(super) struct Identity {
    operation_id: Uuid,
    order_id: Uuid,
    is_keyed: bool,
}

impl Identity {
    /// New ones; or, with an `Idempotency-Key`, those that the key always leads
    /// to, on every api-server and for ever.
    pub(super) fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let Some(key) = key(request)? else {
            return Ok(Self {
                operation_id: ids::fresh(),
                order_id: ids::fresh(),
                is_keyed: false,
            });
        };
        Ok(Self {
            operation_id: ids::derived(&["operation", &key]),
            order_id: ids::derived(&["order", &key]),
            is_keyed: true,
        })
    }
}

/// Makes the operation durable, then answers 202 with an empty body.
pub(super) async fn accept(
    doors: &Doors,
    identity: &Identity,
    command: &Command,
) -> Result<HttpResponse, Problem> {
    let operation = operation(identity, command)?;
    if identity.is_keyed {
        refuse_reuse(doors.log.as_ref(), &operation).await?;
    }
    let operation_id = operation.operation_id;
    if let Err(error) = doors.scheduler.schedule(&operation).await {
        tracing::warn!(%operation_id, "answering 503, not confirmed as durable: {error}");
        return Err(Problem::unavailable(
            "the order could not be confirmed as durable; send it again, with the same \
             Idempotency-Key if it must not be placed twice",
        ));
    }
    tracing::debug!(%operation_id, order_id = %operation.entity_id, "accepted");
    Ok(HttpResponse::Accepted()
        .insert_header((LOCATION, format!("/order/{}", identity.order_id)))
        .insert_header((
            HeaderName::from_static("operation-location"),
            format!("/operation/{operation_id}"),
        ))
        .finish())
}

fn operation(identity: &Identity, command: &Command) -> Result<Operation, Problem> {
    let payload = to_json(command).map_err(|error| {
        tracing::error!("a command cannot be written as JSON: {error}");
        Problem::internal()
    })?;
    let entity_id = identity.order_id.to_string();
    let verb = command.verb();
    Ok(Operation {
        operation_id: identity.operation_id,
        service_name: Orders::NAME.to_owned(),
        operation: verb,
        fingerprint: Operation::content_fingerprint(verb, &entity_id, &payload),
        entity_id,
        payload,
        schema_version: Orders::SCHEMA_VERSION,
        correlation_id: identity.operation_id,
        causation_id: None,
        conflicts_with: None,
        accepted_at: Timestamp::now(),
    })
}

/// A key that the log knows with other content is refused here. One whose first
/// use is still on its way to the log is not seen; that operation is then kept
/// as rejected, so nothing is executed twice either way.
async fn refuse_reuse(log: &dyn EventLog, operation: &Operation) -> Result<(), Problem> {
    let question = log.find(operation.operation_id);
    match tokio::time::timeout(PATIENCE, question).await {
        Ok(Ok(Some(known))) if known.operation.fingerprint != operation.fingerprint => {
            Err(Problem::key_reused())
        }
        // No answer is no reason to refuse an order that can be made durable.
        _ => Ok(()),
    }
}

/// The key, bare or as a quoted string.
fn key(request: &HttpRequest) -> Result<Option<String>, Problem> {
    let mut values = request.headers().get_all(IDEMPOTENCY_KEY);
    let Some(value) = values.next() else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default().trim();
    let unquoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let key = unquoted.unwrap_or(text);
    let is_usable = !key.is_empty()
        && key.len() <= LONGEST_KEY
        && key.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if !is_usable || values.next().is_some() {
        return Err(Problem::invalid(vec![InputFault {
            pointer: "/header/Idempotency-Key".into(),
            detail: format!("expected one value of 1 to {LONGEST_KEY} visible ASCII characters"),
        }]));
    }
    Ok(Some(key.to_owned()))
}
