//! Problems of limits: rates, sizes, quotas and timeouts.

use actix_web::http::{StatusCode, header};
use serde_json::json;

use super::Problem;

impl Problem {
    /// 429: too many requests; with `Retry-After` in seconds.
    #[must_use]
    pub fn too_many_requests(seconds: u32) -> Self {
        let detail = format!("too many requests; retry in {seconds} s");
        let title = "Too many requests";
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut problem = Self::new(status, "too-many-requests", title, detail);
        problem
            .headers
            .push((header::RETRY_AFTER, seconds.to_string()));
        problem
    }

    /// 429: a principal, or an address, has reached its limit of subscriptions to the feed.
    #[must_use]
    pub fn too_many_subscriptions(limit: usize) -> Self {
        let mut problem = Self::too_many_requests(1);
        problem.detail =
            format!("you have {limit} subscriptions to the feed, which is the limit; close one");
        problem
    }

    /// 429: an address has reached its limit of connections.
    #[must_use]
    pub fn too_many_connections(seconds: u32) -> Self {
        let mut problem = Self::too_many_requests(seconds);
        problem.detail = "too many connections from this address \
                          (http.max_connections_per_client); close some"
            .to_owned();
        problem
    }

    /// 429: a principal, or an address, has reached its limit of waiting responses.
    #[must_use]
    pub fn too_many_waits(limit: usize) -> Self {
        let mut problem = Self::too_many_requests(1);
        problem.detail = format!(
            "{limit} of your requests are waiting (Prefer: wait), which is the limit; repeat \
             without Prefer: wait, or after one of them is answered"
        );
        problem
    }

    /// 429: a principal, or an address, has reached its limit of queued reads of the log.
    #[must_use]
    pub fn too_many_reads(limit: usize) -> Self {
        let mut problem = Self::too_many_requests(1);
        problem.detail = format!("{limit} of your reads of the log are queued, which is the limit");
        problem
    }

    /// 429: too many changes of one entity by one principal have been rejected.
    #[must_use]
    pub fn too_many_rejected_changes(seconds: u32) -> Self {
        let mut problem = Self::too_many_requests(seconds);
        problem.detail = format!(
            "too many of your changes of this entity were rejected; see its history for the \
             reasons; retry in {seconds} s"
        );
        problem
    }

    /// 429: too many invalid tokens came from one address.
    #[must_use]
    pub fn too_many_invalid_tokens(seconds: u32) -> Self {
        let mut problem = Self::too_many_requests(seconds);
        problem.detail = format!("too many invalid tokens from your address; retry in {seconds} s");
        problem
    }

    /// 415: the body has a content coding; none is supported.
    #[must_use]
    pub fn unsupported_encoding(encoding: &str) -> Self {
        let detail =
            format!("Content-Encoding {encoding:?} is not supported; send the body unencoded");
        let mut problem = Self::unsupported(detail);
        let identity = (header::ACCEPT_ENCODING, "identity".to_owned());
        problem.headers.push(identity);
        problem
    }

    /// 408: the body did not arrive in time.
    #[must_use]
    pub fn body_timeout_expired() -> Self {
        let detail = "the body did not arrive in time".to_owned();
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "Request timeout",
            detail,
        )
    }

    /// 408: the request's head did not arrive in time.
    #[must_use]
    pub(crate) fn header_timeout() -> Self {
        let detail = "the request line and headers did not arrive in time".to_owned();
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "Request timeout",
            detail,
        )
    }

    /// 413: the body is too large; `limit` is in bytes.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("the body may have at most {limit} bytes");
        let title = "The body is too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail)
            .with("limit", json!(limit))
    }

    /// 413: an attached file is too large; `limit` is in bytes.
    #[must_use]
    pub fn attachment_too_large(limit: u64) -> Self {
        let detail = format!("the file may have at most {limit} bytes");
        let title = "The file is too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail)
            .with("limit", json!(limit))
    }

    /// 429: a client has reached its limit of concurrent uploads.
    #[must_use]
    pub fn too_many_uploads(limit: usize) -> Self {
        let mut problem = Self::too_many_requests(1);
        problem.detail = format!(
            "you have {limit} uploads in progress, which is the limit \
             (attachments.max_uploads_per_client)"
        );
        problem.with("limit", json!(limit))
    }

    /// 503: the total limit of concurrent uploads is reached.
    #[must_use]
    pub fn upload_limit_reached(limit: usize) -> Self {
        let detail = format!(
            "{limit} uploads are in progress, which is the limit (attachments.max_uploads)"
        );
        Self::unavailable(detail).with("limit", json!(limit))
    }

    /// 409: the files of an entity, or of an owner, would exceed their quota in bytes.
    #[must_use]
    pub fn quota_exceeded(setting: &'static str, limit: u64, used: u64) -> Self {
        let detail =
            format!("the files would exceed the limit of {limit} bytes ({setting}); remove some");
        let title = "The quota is exceeded";
        Self::new(StatusCode::CONFLICT, "quota-exceeded", title, detail)
            .with("setting", json!(setting))
            .with("limit", json!(limit))
            .with("used", json!(used))
    }

    /// 507: all files together would exceed their quota in bytes.
    #[must_use]
    pub fn insufficient_storage(setting: &'static str, limit: u64) -> Self {
        let detail =
            format!("all files together would exceed the limit of {limit} bytes ({setting})");
        let title = "No room for more files";
        let status = StatusCode::INSUFFICIENT_STORAGE;
        Self::new(status, "insufficient-storage", title, detail)
            .with("setting", json!(setting))
            .with("limit", json!(limit))
    }
}
