//! The body of an upload, shared by what reads it and by what lets the rest of it pass.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::CONNECTION;
use actix_web::web;
use bakehouse_http::response::problem::Problem;
use bytes::Bytes;
use futures_util::{Stream, StreamExt};

/// Time in which a refused body may still come; then its connection is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time without a byte after which nothing more is waited for.
const IDLE_TIMEOUT: Duration = Duration::from_millis(500);

/// A body; clones share it.
#[derive(Clone)]
pub(super) struct Body(Rc<RefCell<web::Payload>>);

impl Body {
    pub(super) fn new(payload: web::Payload) -> Self {
        Self(Rc::new(RefCell::new(payload)))
    }

    /// Lets what is left of a refused body pass, up to so many bytes and for a while, so that its
    /// sender gets to read why it was refused; most senders do so only at the end. Nothing of it
    /// is kept. After more than that the connection is closed.
    pub(super) async fn refuse(mut self, problem: Problem, limit: u64) -> Problem {
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, self.drain(limit)).await;
        match drained {
            Ok(true) => problem,
            _ => problem.with_header(CONNECTION, "close"),
        }
    }

    /// `false`: there is more.
    async fn drain(&mut self, limit: u64) -> bool {
        let mut left = limit;
        loop {
            match tokio::time::timeout(IDLE_TIMEOUT, self.next()).await {
                Ok(Some(Ok(bytes))) if bytes.len() as u64 <= left => left -= bytes.len() as u64,
                Ok(None) => return true,
                _ => return false,
            }
        }
    }
}

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut *self.0.borrow_mut()).poll_next(context)
    }
}
