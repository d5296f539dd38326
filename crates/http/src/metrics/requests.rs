//! Metrics of responses: number and duration.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use metrics::{counter, histogram};

/// Route of requests that match none.
const NO_ROUTE: &str = "none";

/// Middleware that counts a response and records its duration.
pub(crate) async fn measure<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let start = Instant::now();
    let (method, route) = (method(&request), route(&request));
    let response = next.call(request).await;
    let status = match &response {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let seconds = start.elapsed().as_secs_f64();
    histogram!("bakehouse_http_request_seconds", "method" => method, "route" => route.clone())
        .record(seconds);
    let status = status.as_str().to_owned();
    counter!("bakehouse_http_requests_total",
        "method" => method, "route" => route, "status" => status)
    .increment(1);
    response
}

/// Returns the method of a request, as metrics and log lines name it; all unknown methods share
/// `other`.
pub(crate) fn method(request: &ServiceRequest) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
    let name = request.method().as_str();
    let known = KNOWN.into_iter().find(|known| *known == name);
    known.unwrap_or("other")
}

/// Returns the pattern of the route that a request matches, such as `/order/{id}`, never the path
/// that the client has chosen; `none` if it matches no route.
pub(crate) fn route(request: &ServiceRequest) -> String {
    let route = request.match_pattern();
    route.unwrap_or_else(|| NO_ROUTE.to_owned())
}
