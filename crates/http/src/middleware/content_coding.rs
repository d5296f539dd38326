//! Refusal of encoded request bodies with 415 (RFC 9110, section 8.4).

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::{CONTENT_ENCODING, HeaderValue};
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError};

use crate::response::problem::Problem;

/// Middleware that refuses writes with an encoded body.
pub(crate) async fn refuse_encoded<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let is_read_only = [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    let codings = request.headers().get_all(CONTENT_ENCODING);
    let unknown = codings.filter(|_| !is_read_only).find_map(unknown_coding);
    let Some(coding) = unknown else {
        let response = next.call(request).await?;
        return Ok(response.map_into_left_body());
    };
    let response = Problem::unsupported_encoding(&coding).error_response();
    Ok(request.into_response(response).map_into_right_body())
}

/// First coding of a header line that is not `identity`.
fn unknown_coding(line: &HeaderValue) -> Option<String> {
    let line = String::from_utf8_lossy(line.as_bytes());
    let mut codings = line.split(',').map(str::trim);
    let is_known = |coding: &str| coding.is_empty() || coding.eq_ignore_ascii_case("identity");
    codings.find(|coding| !is_known(coding)).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_identity_is_accepted() {
        let of = |line| unknown_coding(&HeaderValue::from_static(line));
        assert_eq!(of("identity"), None);
        assert_eq!(of(" Identity, "), None);
        assert_eq!(of(""), None);
        assert_eq!(of("gzip").as_deref(), Some("gzip"));
        assert_eq!(of("identity, br").as_deref(), Some("br"));
    }
}
