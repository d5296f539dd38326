//! What users, posts and comments have in common: they are created, updated and
//! deleted, and what is deleted makes room for another of its name.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

/// The state of something that can be deleted.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Life<T> {
    pub(crate) content: T,
    pub(crate) is_deleted: bool,
}

/// What happens to all of them, in a word.
pub(crate) const CHANGES: &[&str] = &["created", "updated", "deleted"];

/// What one can ask for; and, once it is decided that it may, what happened.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Command<T> {
    Create(T),
    /// The one text of it that can change.
    Update(String),
    Delete,
}

impl<T> Command<T> {
    pub(crate) fn verb(&self) -> Verb {
        match self {
            Self::Create(_) => Verb::Insert,
            Self::Update(_) => Verb::Update,
            Self::Delete => Verb::Delete,
        }
    }

    /// One of [`CHANGES`].
    pub(crate) fn change(&self) -> &'static str {
        match self {
            Self::Create(_) => "created",
            Self::Update(_) => "updated",
            Self::Delete => "deleted",
        }
    }

    /// Whether that can be done to what there is.
    ///
    /// # Errors
    /// `taken` when it is to be created and is there; that there is none, otherwise.
    pub(crate) fn decide(self, life: Option<&Life<T>>, taken: &str) -> Result<Self, Rejection> {
        let is_there = life.is_some_and(|life| !life.is_deleted);
        match (&self, is_there) {
            (Self::Create(_), true) => Err(Rejection::new(taken).of_kind("taken")),
            (Self::Create(_), false) | (_, true) => Ok(self),
            (_, false) => Err(Rejection::new("there is none of this id").of_kind("unknown")),
        }
    }

    /// What it makes of it; `text` is the one that can change.
    pub(crate) fn apply(self, life: Option<Life<T>>, text: fn(&mut T) -> &mut String) -> Life<T> {
        match (self, life) {
            (Self::Create(content), _) => Life {
                content,
                is_deleted: false,
            },
            (Self::Update(new), Some(mut life)) => {
                *text(&mut life.content) = new;
                life
            }
            (Self::Delete, Some(life)) => Life {
                is_deleted: true,
                ..life
            },
            (_, None) => unreachable!("decided for something that is there"),
        }
    }
}
