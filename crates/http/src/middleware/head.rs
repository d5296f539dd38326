//! `HEAD` for every `GET` route (RFC 9110, section 9.3.2): the same headers without a body.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::Method;
use actix_web::http::header::UPGRADE;
use actix_web::middleware::Next;
use bytes::Bytes;

/// Body of which only the size is reported.
pub(crate) struct Omitted(BodySize);

impl MessageBody for Omitted {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}

/// Middleware that handles `HEAD` as `GET` and drops the body before it is polled.
pub(crate) async fn head<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, Omitted>>, Error> {
    if request.method() != Method::HEAD {
        let response = next.call(request).await?;
        return Ok(response.map_into_left_body());
    }
    request.head_mut().method = Method::GET;
    // `HEAD` cannot switch protocols.
    request.headers_mut().remove(UPGRADE);
    let response = next.call(request).await?;
    Ok(response
        .map_body(|_, body| Omitted(body.size()))
        .map_into_right_body())
}
