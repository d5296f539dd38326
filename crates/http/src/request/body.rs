//! Request bodies, limited in size and time.

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

/// Problem detail of a body that could not be received completely.
const INCOMPLETE_BODY: &str = "the body ended early, or its chunks are invalid";

/// Reads the body of a request whose `Content-Type` is JSON or absent.
///
/// # Errors
/// 400 when the body ends early, 408 when it is late, 413 when it is too large, and 415 when its
/// type is not JSON.
pub async fn read_json(
    request: &HttpRequest,
    payload: web::Payload,
    settings: &RequestSettings,
) -> Result<Vec<u8>, Problem> {
    let limit = settings.body_limit;
    if !is_json(request) {
        return Err(Problem::unsupported_media_type());
    }
    let content_length = header(request, &CONTENT_LENGTH).and_then(|length| length.parse().ok());
    if content_length.is_some_and(|length: usize| length > limit) {
        return Err(Problem::too_large(limit));
    }
    let collected = tokio::time::timeout(settings.body_timeout, collect(payload, limit)).await;
    collected.unwrap_or_else(|_| Err(Problem::body_timeout_expired()))
}

/// JSON body of a request, as an argument of a handler; read by [`read_json`].
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
        let chunk = chunk.map_err(|_| Problem::syntax(INCOMPLETE_BODY.to_owned()))?;
        if body.len() + chunk.len() > limit {
            return Err(Problem::too_large(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// Checks whether the request's `Content-Type` is JSON or absent.
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

#[cfg(test)]
mod tests {
    use actix_web::error::PayloadError;
    use actix_web::test::TestRequest;
    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    #[tokio::test]
    async fn an_incomplete_body_is_explained_in_words_of_the_protocol() {
        let interrupted = stream::iter([
            Ok(Bytes::from_static(b"{")),
            Err(PayloadError::Incomplete(None)),
        ]);
        let interrupted: actix_http::BoxedPayloadStream = Box::pin(interrupted);
        let mut payload = Payload::from(interrupted);
        let request = TestRequest::default().to_http_request();
        let payload = web::Payload::from_request(&request, &mut payload).await;
        let problem = collect(payload.expect("a payload"), 10).await;
        assert_eq!(
            problem.expect_err("it is incomplete").detail(),
            INCOMPLETE_BODY
        );
    }
}
