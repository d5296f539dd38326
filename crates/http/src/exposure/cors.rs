//! CORS (Fetch standard): preflights, and the headers that let pages of other origins read
//! responses.

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use actix_web::{HttpResponse, ResponseError};

use super::state::Exposure;
use crate::response::problem::Problem;

/// Time for which a browser may cache a preflight's response, in seconds.
const MAX_AGE_SECONDS: &str = "3600";
/// Methods of the API.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
/// Request headers that pages may send: those that the API reads, and those added by clients and
/// tracing.
const ALLOWED_HEADERS: &str = "accept, accept-language, authorization, baggage, cache-control, \
    content-language, content-type, idempotency-key, if-match, if-modified-since, if-none-match, \
    last-event-id, pragma, prefer, range, traceparent, tracestate, x-correlation-id, \
    x-requested-with";
/// Response headers that pages may read, in addition to the safelisted ones.
const EXPOSED_HEADERS: &str = "accept-encoding, allow, content-disposition, etag, idempotency-key, \
    link, location, operation-location, preference-applied, retry-after, traceparent, \
    www-authenticate, x-correlation-id";

/// Web page from which a request was sent.
pub(super) struct Page {
    origin: HeaderValue,
    is_allowed: bool,
}

impl Page {
    /// Returns the page named by the `Origin` header; `None` if there is no such header.
    pub(super) fn of(exposure: &Exposure, headers: &HeaderMap) -> Option<Self> {
        let mut origins = headers.get_all(ORIGIN);
        let origin = origins.next()?.clone();
        let text = origin.to_str().ok().filter(|_| origins.next().is_none());
        Some(Self {
            is_allowed: text.is_some_and(|text| exposure.origins.contain(text)),
            origin,
        })
    }

    /// Returns the response to a preflight; `None` if the request is not one.
    pub(super) fn preflight(
        &self,
        exposure: &Exposure,
        request: &ServiceRequest,
    ) -> Option<HttpResponse> {
        let method = request.headers().get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method() != Method::OPTIONS {
            return None;
        }
        if let Err(problem) = self.check_preflight(exposure, request, method) {
            return Some(problem.error_response());
        }
        let answer = HttpResponse::Ok()
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED_HEADERS))
            .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE_SECONDS))
            .insert_header((
                VARY,
                "access-control-request-method, access-control-request-headers",
            ))
            .finish();
        Some(answer)
    }

    fn check_preflight(
        &self,
        exposure: &Exposure,
        request: &ServiceRequest,
        method: &HeaderValue,
    ) -> Result<(), Problem> {
        if !self.is_allowed {
            let origin = String::from_utf8_lossy(self.origin.as_bytes());
            exposure.refusals.origin(&origin);
            return Err(Problem::origin_refused(&origin, "use the API"));
        }
        let method = method.to_str().unwrap_or_default();
        if !is_listed(METHODS, method) {
            let detail = format!("pages of other origins may not send {method:?}, only {METHODS}");
            return Err(Problem::forbidden(detail));
        }
        let headers = request.headers().get_all(ACCESS_CONTROL_REQUEST_HEADERS);
        let names = headers.flat_map(|names| names.to_str().unwrap_or("?").split(','));
        let mut names = names.map(str::trim).filter(|name| !name.is_empty());
        match names.find(|name| !is_listed(ALLOWED_HEADERS, &name.to_ascii_lowercase())) {
            None => Ok(()),
            Some(name) => Err(Problem::forbidden(format!(
                "pages of other origins may not send the header {name:?}, only {ALLOWED_HEADERS}"
            ))),
        }
    }
}

fn is_listed(list: &str, name: &str) -> bool {
    list.split(", ").any(|listed| listed == name)
}

/// Adds the headers that let an allowed page read the response. Credentials are never allowed:
/// tokens are sent in a header that the browser does not add by itself.
pub(super) fn complete(exposure: &Exposure, page: Option<&Page>, answer: &mut HttpResponse) {
    if !exposure.origins.allow_others() {
        return;
    }
    let is_any = exposure.origins.allow_any();
    let headers = answer.headers_mut();
    if let Some(page) = page.filter(|page| page.is_allowed) {
        let origin = match is_any {
            true => HeaderValue::from_static("*"),
            false => page.origin.clone(),
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    if !is_any {
        // A cache must not serve one page's response to another.
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}
