//! Parts of a response: problem documents, and their description for OpenAPI.

pub mod openapi_components;
pub mod problem;
