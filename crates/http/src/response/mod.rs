//! Parts of a response: problem documents, and OpenAPI components.

pub mod openapi_components;
pub mod problem;
