//! UUIDs in paths: accepted in any of their forms (RFC 9562), and normalised to one.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use actix_web::web;
use serde::Deserialize;
use uuid::Uuid;

use crate::response::problem::Problem;

/// Id in a path, normalised to lower case with hyphens.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Uuid")]
pub struct PathId(String);

impl From<Uuid> for PathId {
    fn from(id: Uuid) -> Self {
        Self(id.to_string())
    }
}

impl FromStr for PathId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Uuid>().map(Self::from)
    }
}

impl Deref for PathId {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PathId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Configuration of path parameters: an invalid id is answered 404, like an unknown one.
pub(crate) fn config() -> web::PathConfig {
    web::PathConfig::default().error_handler(|_, request| {
        let path = request.path();
        Problem::not_found(format!("there is nothing at {path}: expected a UUID as id")).into()
    })
}
