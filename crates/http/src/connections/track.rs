//! Tells a connection when a request on it begins and when its answer has been sent.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::Error;
use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use bytes::Bytes;

use super::Connection;
use super::socket::Answering;

/// Counts the request while it is answered.
pub(crate) async fn track<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<Tracked>, Error> {
    let answering = request.conn_data::<Connection>().map(Connection::begin);
    let answer = next.call(request).await?;
    Ok(answer.map_body(|_, body| Tracked {
        body: body.boxed(),
        answering,
    }))
}

/// A body that counts its request until it has been sent, or is dropped.
pub(crate) struct Tracked {
    body: BoxBody,
    answering: Option<Answering>,
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
        if let (Poll::Ready(Some(_)), Some(answering)) = (&next, &self.answering) {
            answering.has_more();
        }
        next
    }
}
