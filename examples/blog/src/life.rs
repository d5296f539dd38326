//! What users, posts and comments have in common: they are created, updated and
//! deleted, and what is deleted makes room for another of its name.

use bakehouse_kitchen::prelude::*;
use serde::{Deserialize, Serialize};

/// The state of something that can be deleted.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Life<T> {
    pub(crate) content: T,
    pub(crate) is_deleted: bool,
}

impl<T> Life<T> {
    /// One that has begun.
    pub(crate) fn of(content: T) -> Self {
        Self {
            content,
            is_deleted: false,
        }
    }

    /// The same at its end.
    pub(crate) fn ended(self) -> Self {
        Self {
            is_deleted: true,
            ..self
        }
    }
}

/// Whether something can be done to what there is.
///
/// # Errors
/// `taken` when it is to be created and is there; that there is none, otherwise.
pub(crate) fn admit<T>(life: Option<&Life<T>>, verb: Verb, taken: &str) -> Result<(), Rejection> {
    let is_there = life.is_some_and(|life| !life.is_deleted);
    match (verb, is_there) {
        (Verb::Insert, true) => Err(Rejection::new(taken).of_kind("taken")),
        (Verb::Insert, false) | (_, true) => Ok(()),
        (_, false) => Err(Rejection::new("there is none of this id").of_kind("unknown")),
    }
}
