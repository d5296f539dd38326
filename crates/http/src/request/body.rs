//! Reading a request's body: bounded in size and time.

use std::ops::Deref;
use std::pin::Pin;

use actix_web::dev::Payload;
use actix_web::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{FromRequest, HttpRequest, web};
use bakehouse_validation::Faults;
use futures_util::StreamExt;

use crate::request::conditional::header;
use crate::response::problem::{InputFault, Problem};
use crate::state::RequestSettings;

/// The body of a request that says it is JSON, or does not say what it is.
///
/// # Errors
/// 408, 413 and 415 for one that is late, too large, or something else.
pub async fn read_json(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &RequestSettings,
) -> Result<Vec<u8>, Problem> {
    let limit = settings.body_limit;
    if !is_json(request) {
        return Err(Problem::unsupported_media_type());
    }
    let announced = header(request, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if announced.is_some_and(|length: usize| length > limit) {
        return Err(Problem::too_large(limit));
    }
    let collected = tokio::time::timeout(settings.body_timeout, collect(payload, limit)).await;
    collected.unwrap_or_else(|_| Err(Problem::too_slow()))
}

/// A request's body that is JSON: what [`read_json`] reads, as an argument of a
/// handler.
pub struct JsonBody(Vec<u8>);

impl Deref for JsonBody {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl FromRequest for JsonBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let payload = web::Payload::from_request(request, payload);
        let request = request.clone();
        Box::pin(async move {
            let settings = request.app_data::<web::Data<RequestSettings>>();
            let settings = settings.ok_or_else(Problem::internal)?;
            let payload = payload.await.map_err(|_| Problem::internal())?;
            read_json(&request, payload, settings).await.map(Self)
        })
    }
}

async fn collect(mut payload: web::Payload, limit: usize) -> Result<Vec<u8>, Problem> {
    let mut body = Vec::new();
    while let Some(chunk) = payload.next().await {
        let chunk = chunk.map_err(|error| Problem::syntax(error.to_string()))?;
        if body.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn is_json(request: &HttpRequest) -> bool {
    let Some(value) = header(request, &CONTENT_TYPE) else {
        return true;
    };
    let essence = value.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        match faults {
            Faults::Syntax(detail) => Self::syntax(detail),
            Faults::Content(faults) => {
                let faults = faults.into_iter().map(|fault| InputFault {
                    pointer: fault.pointer,
                    detail: fault.detail,
                });
                Self::invalid(faults.collect())
            }
        }
    }
}
