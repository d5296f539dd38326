//! Middleware of all routes: error documents, content codings, and `HEAD`.

pub(crate) mod content_coding;
pub(crate) mod error_documents;
pub(crate) mod head;
