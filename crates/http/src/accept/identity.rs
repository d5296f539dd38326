//! Idempotency keys: what an operation is known by, so that repeating a request
//! repeats its answer and nothing else.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::HeaderName;
use bakehouse_pipeline::ports::EventLog;
use bakehouse_pipeline::{Event, Operation, ids};
use uuid::Uuid;

use crate::access::Principal;
use crate::conditions::header;
use crate::problem::{InputFault, Problem};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const CORRELATION_ID: &str = "x-correlation-id";
const LONGEST_KEY: usize = 255;
/// How long the log may take to tell whether it knows a key.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the operation of a request is known by.
pub struct Identity {
    /// What the log holds it under, once.
    pub operation_id: Uuid,
    /// Of what the operation makes, should it make anything.
    pub new_id: Uuid,
    /// What it shares with everything else that one outside request sets off.
    pub correlation_id: Uuid,
    is_keyed: bool,
}

impl Identity {
    /// New ones; or, with an `Idempotency-Key`, those that the principal's key
    /// always leads to, on every api-server and for ever.
    ///
    /// # Errors
    /// 400 for a key that is none.
    pub fn of(request: &HttpRequest, principal: &Principal) -> Result<Self, Problem> {
        let holder = principal.holder();
        let key = key(request)?;
        let (operation_id, new_id) = match &key {
            None => (ids::issued(&holder), ids::fresh()),
            Some(key) => (
                ids::issued_for_key(&holder, key),
                ids::derived(&["new", &holder, key]),
            ),
        };
        Ok(Self {
            operation_id,
            new_id,
            correlation_id: given_correlation_id(request).unwrap_or(operation_id),
            is_keyed: key.is_some(),
        })
    }

    /// A key that the log knows with other content is refused here. One whose
    /// first use is still on its way to the log is not seen; that operation is
    /// then kept as rejected, so nothing is executed twice either way.
    pub(crate) async fn refuse_reuse(
        &self,
        log: &dyn EventLog,
        operation: &Operation,
    ) -> Result<(), Problem> {
        match self.find(log).await {
            Some(known) if known.operation.fingerprint != operation.fingerprint => {
                Err(Problem::key_reused())
            }
            _ => Ok(()),
        }
    }

    /// Whether the log has the operation of this key already.
    pub async fn is_known(&self, log: &dyn EventLog) -> bool {
        self.find(log).await.is_some()
    }

    async fn find(&self, log: &dyn EventLog) -> Option<Event> {
        if !self.is_keyed {
            return None;
        }
        let question = log.find(self.operation_id);
        let answer = tokio::time::timeout(PATIENCE, question).await;
        // No answer is no reason to refuse what can be made durable.
        answer.ok()?.ok()?
    }

    /// Whether repeating the request must repeat the answer.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.is_keyed
    }
}

/// The id that a client, or whoever stands before us, has given its request. Any
/// text will do; what is no UUID stands for one.
fn given_correlation_id(request: &HttpRequest) -> Option<Uuid> {
    let text = header(request, &HeaderName::from_static(CORRELATION_ID))?;
    let text = text.trim();
    (!text.is_empty()).then(|| correlation_id(text))
}

/// The correlation id that a text is, or stands for.
pub(crate) fn correlation_id(text: &str) -> Uuid {
    text.parse()
        .unwrap_or_else(|_| ids::derived(&["correlation", text]))
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
