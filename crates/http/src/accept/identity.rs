//! Identity of an operation: its id, idempotency key and correlation id. A repeated request gets
//! the identity of the first one, so that it repeats the response and nothing else.

use std::time::Duration;

use actix_web::http::header::{HeaderName, IF_MATCH, IF_NONE_MATCH};
use actix_web::{HttpRequest, web};
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::EventLog;
use bakehouse_engine::{LogEntry, Operation};
use uuid::Uuid;

use super::in_flight::{InFlight, KeyLock};
use crate::auth::Principal;
use crate::request::conditional::header;
use crate::response::problem::{InputFault, Problem};

const IDEMPOTENCY_KEY: &str = "idempotency-key";
const CORRELATION_ID: &str = "x-correlation-id";
/// Maximum length of an idempotency key, in bytes.
const MAX_KEY_LENGTH: usize = 255;
/// Timeout of the log's lookup of an idempotency key.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(2);

/// Ids of the operation that a request leads to.
pub struct Identity {
    /// Unique id of the operation in the log.
    pub operation_id: Uuid,
    /// Id of the entity that the operation creates, if it creates one.
    pub new_id: Uuid,
    /// Id shared by all operations that result from one outside request.
    pub correlation_id: Uuid,
    is_keyed: bool,
    /// Hash of the request itself, if it identifies the operation in addition to its content.
    request: Option<String>,
    in_flight: Option<web::Data<InFlight>>,
    /// Lock of the idempotency key, from the first lookup until the response.
    key_lock: Option<KeyLock>,
    /// Result of the first lookup. It stays valid: within this process the lock excludes other
    /// users of the key, and between processes the log's unique index decides.
    found: Option<Option<LogEntry>>,
}

impl Identity {
    /// Returns fresh ids; with an `Idempotency-Key`, ids derived from the principal and the key,
    /// which are the same on every api-server and at any time.
    ///
    /// # Errors
    /// 400 if the key is malformed.
    pub fn of(request: &HttpRequest, principal: &Principal) -> Result<Self, Problem> {
        let subject = principal.subject();
        let key = key(request)?;
        let (operation_id, new_id) = match &key {
            None => (ids::issued(&subject), ids::fresh()),
            Some(key) => (
                ids::issued_for_key(&subject, key),
                ids::derived(&["new", &subject, key]),
            ),
        };
        Ok(Self {
            operation_id,
            new_id,
            correlation_id: given_correlation_id(request).unwrap_or(operation_id),
            is_keyed: key.is_some(),
            request: None,
            in_flight: request.app_data::<web::Data<InFlight>>().cloned(),
            key_lock: None,
            found: None,
        })
    }

    /// Adds a hash of the request, for operations whose content depends on settings such as a
    /// default currency: a repeat is recognized by its request even if the settings have changed.
    /// Not suitable for bodies with secrets, because the hash is stored with the operation.
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

    /// Returns the fingerprint of an operation with this content.
    pub(super) fn fingerprint(&self, content: String) -> String {
        match &self.request {
            Some(request) => Operation::fingerprint_with_request(&content, request),
            None => content,
        }
    }

    /// Locks the idempotency key, once no other request of this process holds the lock.
    ///
    /// # Errors
    /// 409 if that takes too long.
    pub(super) async fn lock_key(&mut self) -> Result<(), Problem> {
        if let (true, None, Some(in_flight)) = (self.is_keyed, &self.key_lock, &self.in_flight) {
            self.key_lock = Some(in_flight.lock_key(self.operation_id).await?);
        }
        Ok(())
    }

    /// Returns the log entry under the key if it is of this very request.
    ///
    /// # Errors
    /// 409 if another request under the key takes too long.
    pub(super) async fn repeated(
        &mut self,
        log: &dyn EventLog,
    ) -> Result<Option<LogEntry>, Problem> {
        self.lock_key().await?;
        let Some(request) = &self.request else {
            return Ok(None);
        };
        let fingerprint = Operation::fingerprint_with_request("", request);
        let known = self.find(log).await;
        self.found = Some(known.clone());
        Ok(known
            .filter(|entry| Operation::is_same_request(&entry.operation.fingerprint, &fingerprint)))
    }

    /// Checks whether the log already has the operation, and that the key was not used with other
    /// content, neither in the log nor by this process. A first use that another process has not
    /// written to the log yet is not found; the later operation is then stored as rejected, so
    /// that nothing is executed twice.
    ///
    /// # Errors
    /// 422 if the key was used with other content.
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
        if let Some(known) = self.key_lock.as_ref().and_then(KeyLock::accepted) {
            same(known)?;
        }
        Ok(false)
    }

    /// Unlocks the idempotency key for other requests.
    pub(super) fn unlock_key(&mut self) {
        self.key_lock = None;
    }

    /// Remembers the operation accepted under the key until the log has it.
    pub(super) fn accepted(&mut self, operation: &Operation) {
        if let Some(key_lock) = &mut self.key_lock {
            key_lock.record_accepted(operation.fingerprint.clone());
        }
    }

    /// Checks whether the log already has the operation of this key.
    pub async fn is_known(&self, log: &dyn EventLog) -> bool {
        self.find(log).await.is_some()
    }

    /// Returns the log entry of the operation under the key. `None` also if the lookup fails or
    /// times out.
    pub(super) async fn find(&self, log: &dyn EventLog) -> Option<LogEntry> {
        if !self.is_keyed {
            return None;
        }
        let lookup = log.summary(self.operation_id);
        let found = tokio::time::timeout(LOOKUP_TIMEOUT, lookup).await;
        // A failed lookup is no reason to refuse an operation that can be made durable.
        found.ok()?.ok()?
    }

    /// Checks whether the request has an idempotency key.
    #[must_use]
    pub fn is_keyed(&self) -> bool {
        self.is_keyed
    }
}

/// Returns the correlation id from the request's header, as set by the client or a proxy; `None`
/// if there is none.
pub(crate) fn given_correlation_id(request: &HttpRequest) -> Option<Uuid> {
    let text = header(request, &HeaderName::from_static(CORRELATION_ID))?;
    let text = text.trim();
    (!text.is_empty()).then(|| correlation_id(text))
}

/// Parses a correlation id; a text that is not a UUID is hashed to one.
pub(crate) fn correlation_id(text: &str) -> Uuid {
    text.parse()
        .unwrap_or_else(|_| ids::derived(&["correlation", text]))
}

/// Parses the `Idempotency-Key` header: a bare value or a quoted string.
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
        && key.len() <= MAX_KEY_LENGTH
        && key.chars().all(|c| c.is_ascii_graphic() || c == ' ');
    if !is_usable || values.next().is_some() {
        return Err(Problem::invalid(vec![InputFault {
            pointer: "/header/Idempotency-Key".into(),
            detail: format!("expected one value of 1 to {MAX_KEY_LENGTH} visible ASCII characters"),
        }]));
    }
    Ok(Some(key.to_owned()))
}
