//! Log lines of requests, one for each response.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;

use crate::accept::given_correlation_id;
use crate::metrics::{method, route};

/// Middleware that logs each request with the status and duration of its response. The line has
/// neither the request's path nor its query string, which can hold secrets.
pub(crate) async fn log_request<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let start = Instant::now();
    let (method, route) = (method(&request), route(&request));
    let correlation_id = given_correlation_id(request.request());
    let response = next.call(request).await;
    let status = match &response {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let status = status.as_u16();
    // To the microsecond.
    let duration_ms = (start.elapsed().as_secs_f64() * 1_000_000.0).round() / 1_000.0;
    let correlation_id = correlation_id.map(tracing::field::display);
    tracing::info!(
        method,
        route,
        status,
        duration_ms,
        correlation_id,
        "request"
    );
    response
}
