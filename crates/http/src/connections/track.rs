//! Middleware that reports to a connection when a request begins and when its response is sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use bytes::Bytes;

use super::Connection;
use super::socket::RequestGuard;

/// Counts a request as in progress until its response is sent.
pub(crate) async fn track<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Tracked>, Error> {
    let guard = request
        .conn_data::<Connection>()
        .map(Connection::begin_request);
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| Tracked {
        body: body.boxed(),
        guard,
    }))
}

/// Response body whose request counts as in progress until it is dropped.
pub(crate) struct Tracked {
    body: BoxBody,
    guard: Option<RequestGuard>,
}

impl MessageBody for Tracked {
    type Error = Box<dyn std::error::Error>;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let next = Pin::new(&mut self.body).poll_next(cx);
        if let (Poll::Ready(Some(_)), Some(guard)) = (&next, &self.guard) {
            guard.mark_unsent();
        }
        next
    }
}
