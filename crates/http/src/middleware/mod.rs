//! Middleware of all routes: error documents, content codings, `HEAD`, and log lines of requests.

pub(crate) mod content_coding;
pub(crate) mod error_documents;
pub(crate) mod head;
pub(crate) mod request_log;
