//! Which pages may read answers from a browser (the Fetch standard's CORS).

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, HeaderMap, HeaderValue, ORIGIN, VARY,
};
use actix_web::{HttpResponse, ResponseError};

use super::Exposure;
use crate::response::problem::Problem;

/// Seconds for which a browser may remember what a preflight answered.
const MAX_AGE: &str = "3600";
/// Methods of the API.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE";
/// Headers that the API reads, and those that clients and tracing add by themselves.
const ALLOWED: &str = "accept, accept-language, authorization, baggage, cache-control, \
    content-language, content-type, idempotency-key, if-match, if-modified-since, if-none-match, \
    last-event-id, pragma, prefer, range, traceparent, tracestate, x-correlation-id, \
    x-requested-with";
/// Headers of an answer that pages may read, beside those that they always may.
const EXPOSED: &str = "accept-encoding, allow, content-disposition, etag, idempotency-key, link, \
    location, operation-location, preference-applied, retry-after, traceparent, \
    www-authenticate, x-correlation-id";

/// The page that a request comes from.
pub(super) struct Page {
    origin: HeaderValue,
    is_allowed: bool,
}

impl Page {
    /// The page that the headers speak of, if a page it is.
    pub(super) fn of(exposure: &Exposure, headers: &HeaderMap) -> Option<Self> {
        let mut origins = headers.get_all(ORIGIN);
        let origin = origins.next()?.clone();
        let text = origin.to_str().ok().filter(|_| origins.next().is_none());
        Some(Self {
            is_allowed: text.is_some_and(|text| exposure.origins.contain(text)),
            origin,
        })
    }

    /// The answer to a preflight; `None` if the request is none.
    pub(super) fn preflight(
        &self,
        exposure: &Exposure,
        request: &ServiceRequest,
    ) -> Option<HttpResponse> {
        let method = request.headers().get(ACCESS_CONTROL_REQUEST_METHOD)?;
        if request.method() != Method::OPTIONS {
            return None;
        }
        if let Err(problem) = self.may(exposure, request, method) {
            return Some(problem.error_response());
        }
        let answer = HttpResponse::Ok()
            .insert_header((ACCESS_CONTROL_ALLOW_METHODS, METHODS))
            .insert_header((ACCESS_CONTROL_ALLOW_HEADERS, ALLOWED))
            .insert_header((ACCESS_CONTROL_MAX_AGE, MAX_AGE))
            .insert_header((
                VARY,
                "access-control-request-method, access-control-request-headers",
            ))
            .finish();
        Some(answer)
    }

    fn may(
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
        if !listed(METHODS, method) {
            let detail = format!("pages of other origins may not send {method:?}, only {METHODS}");
            return Err(Problem::forbidden(detail));
        }
        let headers = request.headers().get_all(ACCESS_CONTROL_REQUEST_HEADERS);
        let names = headers.flat_map(|names| names.to_str().unwrap_or("?").split(','));
        let mut names = names.map(str::trim).filter(|name| !name.is_empty());
        match names.find(|name| !listed(ALLOWED, &name.to_ascii_lowercase())) {
            None => Ok(()),
            Some(name) => Err(Problem::forbidden(format!(
                "pages of other origins may not send the header {name:?}, only {ALLOWED}"
            ))),
        }
    }
}

fn listed(list: &str, one: &str) -> bool {
    list.split(", ").any(|listed| listed == one)
}

/// Lets the page read the answer, if it may. Tokens come in a header that no foreign page can
/// have the browser add by itself, so that no credentials are at stake.
pub(super) fn complete(exposure: &Exposure, page: Option<&Page>, answer: &mut HttpResponse) {
    if !exposure.origins.are_some() {
        return;
    }
    let is_any = exposure.origins.are_any();
    let headers = answer.headers_mut();
    if let Some(page) = page.filter(|page| page.is_allowed) {
        let origin = match is_any {
            true => HeaderValue::from_static("*"),
            false => page.origin.clone(),
        };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        let exposed = HeaderValue::from_static(EXPOSED);
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    }
    if !is_any {
        // A cache must not give one page's answer to another.
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}
