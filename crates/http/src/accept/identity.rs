//! Idempotency keys: what an operation is known by, so that repeating a request
//! repeats its answer and nothing else.

use std::time::Duration;

use actix_web::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use actix_web::{HttpRequest, web};
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::EventLog;
use bakehouse_engine::{LogEntry, Operation};
use uuid::Uuid;

use super::in_flight::{InFlight, Turn};
use crate::auth::Principal;
use crate::request::conditional::header;
use crate::response::problem::{InputFault, Problem};

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
    /// Hash of the request itself, where that counts beside its content.
    request: Option<String>,
    in_flight: Option<web::Data<InFlight>>,
    /// Held from the first look at what the key is known for until it has been answered.
    turn: Option<Turn>,
    /// Answer of the log to that look. It need not be asked twice: within this process nobody
    /// else uses the key meanwhile, and between several of them the log decides.
    found: Option<Option<LogEntry>>,
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
            request: None,
            in_flight: request.app_data::<web::Data<InFlight>>().cloned(),
            turn: None,
            found: None,
        })
    }

    /// Identifies a request whose content depends on settings, such as a default currency: a
    /// repeat is known by the request, whatever the settings have become. Of no use for bodies
    /// that hold secrets: a hash of them is kept with the operation.
    #[must_use]
    pub fn by_request(mut self, request: &HttpRequest, body: &[u8]) -> Self {
        if self.is_keyed {
            let part = |name: &HeaderName| header(request, name).unwrap_or_default();
            self.request = bakehouse_validation::canonical(body).map(|body| {
                ids::fingerprint(&[
                    request.method().as_str(),
                    request.path(),
                    &body,
                    &part(&IF_MATCH),
                    &part(&IF_NONE_MATCH),
                ])
            });
        }
        self
    }

    /// Fingerprint of an operation of this content.
    pub(super) fn fingerprint(&self, content: String) -> String {
        match &self.request {
            Some(request) => Operation::fingerprint_with_request(&content, request),
            None => content,
        }
    }

    /// Waits until no other request under the same key is being accepted by this process.
    ///
    /// # Errors
    /// 409 when that takes too long.
    pub(super) async fn begin(&mut self) -> Result<(), Problem> {
        if let (true, None, Some(in_flight)) = (self.is_keyed, &self.turn, &self.in_flight) {
            self.turn = Some(in_flight.turn(self.operation_id).await?);
        }
        Ok(())
    }

    /// The operation that the log has under the key, if it is of this very request.
    ///
    /// # Errors
    /// 409 when another request under the key takes too long.
    pub(super) async fn repeated(
        &mut self,
        log: &dyn EventLog,
    ) -> Result<Option<LogEntry>, Problem> {
        self.begin().await?;
        let Some(request) = &self.request else {
            return Ok(None);
        };
        let fingerprint = Operation::fingerprint_with_request("", request);
        let known = self.find(log).await;
        self.found = Some(known.clone());
        Ok(known
            .filter(|event| Operation::is_same_request(&event.operation.fingerprint, &fingerprint)))
    }

    /// Tells whether the log has the operation already. A key that it knows with other content is
    /// refused here, and so is one that this process has accepted with other content. One whose
    /// first use is on its way to the log from another process is not seen; that operation is
    /// then kept as rejected, so nothing is executed twice either way.
    ///
    /// # Errors
    /// 422 for other content.
    pub(super) async fn refuse_reuse(
        &self,
        log: &dyn EventLog,
        operation: &Operation,
    ) -> Result<bool, Problem> {
        let same = |known: &str| match Operation::is_same(known, &operation.fingerprint) {
            true => Ok(()),
            false => Err(Problem::key_reused()),
        };
        let known = match &self.found {
            Some(found) => found.clone(),
            None => self.find(log).await,
        };
        if let Some(known) = known {
            same(&known.operation.fingerprint)?;
            return Ok(true);
        }
        if let Some(known) = self.turn.as_ref().and_then(Turn::known) {
            same(known)?;
        }
        Ok(false)
    }

    /// Lets other requests under the same key go on.
    pub(super) fn end_turn(&mut self) {
        self.turn = None;
    }

    /// Remembers what was made durable under the key until the log has it.
    pub(super) fn accepted(&mut self, operation: &Operation) {
        if let Some(turn) = &mut self.turn {
            turn.accept(operation.fingerprint.clone());
        }
    }

    /// Whether the log has the operation of this key already.
    pub async fn is_known(&self, log: &dyn EventLog) -> bool {
        self.find(log).await.is_some()
    }

    /// The operation that the log has under the key.
    pub(super) async fn find(&self, log: &dyn EventLog) -> Option<LogEntry> {
        if !self.is_keyed {
            return None;
        }
        let question = log.summary(self.operation_id);
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
