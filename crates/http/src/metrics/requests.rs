//! Counts answers, and how long they took.

use std::time::Instant;

use actix_web::Error;
use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use metrics::{counter, histogram};

/// Routes by their pattern, never by what a client made up: `/order/{id}`.
const NO_ROUTE: &str = "none";

/// Counts the answer.
pub(crate) async fn measure<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let began = Instant::now();
    let method = method(request.method().as_str());
    let route = request.match_pattern();
    let route = route.unwrap_or_else(|| NO_ROUTE.to_owned());
    let answer = next.call(request).await;
    let status = match &answer {
        Ok(answer) => answer.status(),
        Err(error) => error.as_response_error().status_code(),
    };
    let seconds = began.elapsed().as_secs_f64();
    histogram!("bakehouse_http_request_seconds", "method" => method, "route" => route.clone())
        .record(seconds);
    let status = status.as_str().to_owned();
    counter!("bakehouse_http_requests_total",
        "method" => method, "route" => route, "status" => status)
    .increment(1);
    answer
}

/// The methods that there are; anything else a client may call one is one thing.
fn method(name: &str) -> &'static str {
    const KNOWN: [&str; 6] = ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS"];
    let known = KNOWN.into_iter().find(|known| *known == name);
    known.unwrap_or("other")
}
