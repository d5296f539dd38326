//! Problems of limits: how often, how much, how slowly.

use actix_web::http::{StatusCode, header};
use serde_json::json;

use super::Problem;

impl Problem {
    /// 429 with `Retry-After`, in seconds.
    #[must_use]
    pub fn too_many_requests(seconds: u32) -> Self {
        let detail = format!("too many requests; the next one is welcome in {seconds} s");
        let title = "Too many requests";
        let status = StatusCode::TOO_MANY_REQUESTS;
        let mut problem = Self::new(status, "too-many-requests", title, detail);
        problem
            .headers
            .push((header::RETRY_AFTER, seconds.to_string()));
        problem
    }

    /// 429: one principal, or address, follows the feed often enough.
    #[must_use]
    pub fn too_many_subscriptions(most: usize) -> Self {
        let mut problem = Self::too_many_requests(1);
        problem.detail = format!("you follow the feed {most} times already, which is the most");
        problem
    }

    /// 429: a client has as many connections as it may.
    #[must_use]
    pub fn too_many_connections(seconds: u32) -> Self {
        let mut problem = Self::too_many_requests(seconds);
        problem.detail = "there are too many connections from this address \
                          (http.max_connections_per_client); close some"
            .to_owned();
        problem
    }

    /// 429: as many answers to one principal, or address, wait as may.
    #[must_use]
    pub fn too_many_waits(most: usize) -> Self {
        let mut problem = Self::too_many_requests(1);
        problem.detail = format!(
            "{most} answers to you wait already (Prefer: wait), which is the most; ask again \
             without waiting, or when one of them has come"
        );
        problem
    }

    /// 429: as many reads of one principal, or address, are in line as may be.
    #[must_use]
    pub fn too_many_reads(most: usize) -> Self {
        let mut problem = Self::too_many_requests(1);
        problem.detail = format!("{most} of your reads of the log are in line, which is the most");
        problem
    }

    /// 429: too many changes of one entity by one principal have been refused.
    #[must_use]
    pub fn too_many_refusals(seconds: u32) -> Self {
        let mut problem = Self::too_many_requests(seconds);
        problem.detail = format!(
            "too many of your changes of this have been refused; see its history for the \
             reasons; the next one is welcome in {seconds} s"
        );
        problem
    }

    /// 429: too many tokens from one address were invalid.
    #[must_use]
    pub fn too_many_failures(seconds: u32) -> Self {
        let mut problem = Self::too_many_requests(seconds);
        problem.detail = format!(
            "too many invalid tokens came from your address; the next one is looked at in \
             {seconds} s"
        );
        problem
    }

    /// 415: the body is encoded; encodings are not read.
    #[must_use]
    pub fn unsupported_encoding(encoding: &str) -> Self {
        let detail = format!("Content-Encoding {encoding:?} is not read; send the body as it is");
        let mut problem = Self::unsupported(detail);
        let identity = (header::ACCEPT_ENCODING, "identity".to_owned());
        problem.headers.push(identity);
        problem
    }

    /// 408: the body did not come.
    #[must_use]
    pub fn too_slow() -> Self {
        let detail = "the body did not arrive in time".to_owned();
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "Request timeout",
            detail,
        )
    }

    /// 408: the request's head did not come.
    #[must_use]
    pub(crate) fn slow_head() -> Self {
        let detail = "the request line and headers did not arrive in time".to_owned();
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "timeout",
            "Request timeout",
            detail,
        )
    }

    /// 413 with the limit.
    #[must_use]
    pub fn too_large(limit: usize) -> Self {
        let detail = format!("the body may have at most {limit} bytes");
        let title = "The body is too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail)
            .with("limit", json!(limit))
    }

    /// 413 for a file.
    #[must_use]
    pub fn attachment_too_large(limit: u64) -> Self {
        let detail = format!("the file may have at most {limit} bytes");
        let title = "The file is too large";
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", title, detail)
            .with("limit", json!(limit))
    }

    /// 429: a client has as many uploads under way as one may.
    #[must_use]
    pub fn too_many_uploads(limit: usize) -> Self {
        let mut problem = Self::too_many_requests(1);
        problem.detail = format!(
            "you have {limit} uploads under way, and may have no more at the same time \
             (attachments.max_uploads_per_client)"
        );
        problem.with("limit", json!(limit))
    }

    /// 503: all places for uploads are taken.
    #[must_use]
    pub fn no_upload_place(limit: usize) -> Self {
        let detail = format!(
            "{limit} uploads are under way, and there may be no more at the same time \
             (attachments.max_uploads)"
        );
        Self::unavailable(detail).with("limit", json!(limit))
    }

    /// 409: the files of an order, or of a client, would have more bytes than they may.
    #[must_use]
    pub fn quota_exceeded(setting: &'static str, limit: u64, used: u64) -> Self {
        let detail = format!(
            "its files would have more bytes than the {limit} that {setting} allows; remove some"
        );
        let title = "The quota is exceeded";
        Self::new(StatusCode::CONFLICT, "quota-exceeded", title, detail)
            .with("setting", json!(setting))
            .with("limit", json!(limit))
            .with("used", json!(used))
    }

    /// 507: all files together would have more bytes than they may.
    #[must_use]
    pub fn insufficient_storage(setting: &'static str, limit: u64) -> Self {
        let detail = format!(
            "all files together would have more bytes than the {limit} that {setting} allows"
        );
        let title = "No room for more files";
        let status = StatusCode::INSUFFICIENT_STORAGE;
        Self::new(status, "insufficient-storage", title, detail)
            .with("setting", json!(setting))
            .with("limit", json!(limit))
    }
}
