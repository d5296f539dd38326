//! Body of an upload, shared by the multipart reader and by the code that drains a refused body.

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

/// Longest time for which a refused body is drained before its connection is closed.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Time without a byte after which draining stops.
const IDLE_TIMEOUT: Duration = Duration::from_millis(500);

/// Request body whose clones share one stream.
#[derive(Clone)]
pub(super) struct Body(Rc<RefCell<web::Payload>>);

impl Body {
    pub(super) fn new(payload: web::Payload) -> Self {
        Self(Rc::new(RefCell::new(payload)))
    }

    /// Drains the rest of a refused body, up to `limit` bytes and [`DRAIN_TIMEOUT`], and returns
    /// the problem to answer with. Most clients read the response only after they have sent the
    /// whole body. A body that exceeds either bound gets `Connection: close`.
    pub(super) async fn refuse(mut self, problem: Problem, limit: u64) -> Problem {
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, self.drain(limit)).await;
        match drained {
            Ok(true) => problem,
            _ => problem.with_header(CONNECTION, "close"),
        }
    }

    /// Discards up to `limit` bytes; returns `false` if the body did not end within them.
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
