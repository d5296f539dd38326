//! Lifecycle that users, posts and comments share: they are created, updated and deleted; after a
//! deletion an entity with the same name can be created again.

use bakehouse_host::prelude::*;
use serde::{Deserialize, Serialize};

/// State of an entity that can be deleted.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Deletable<T> {
    pub(crate) content: T,
    pub(crate) is_deleted: bool,
}

/// Types of changes.
pub(crate) const CHANGES: &[&str] = &["created", "updated", "deleted"];

/// Command and, once accepted by [`Command::decide`], event.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) enum Command<T> {
    Create(T),
    /// Replaces the text that can change.
    Update(String),
    Delete,
}

impl<T> Command<T> {
    /// Returns the verb of the operation.
    pub(crate) fn verb(&self) -> Verb {
        match self {
            Self::Create(_) => Verb::Insert,
            Self::Update(_) => Verb::Update,
            Self::Delete => Verb::Delete,
        }
    }

    /// Returns the type of the change, one of [`CHANGES`].
    pub(crate) fn change(&self) -> &'static str {
        match self {
            Self::Create(_) => "created",
            Self::Update(_) => "updated",
            Self::Delete => "deleted",
        }
    }

    /// Accepts or rejects the command in the current state.
    ///
    /// # Errors
    /// Rejects a creation with the reason `taken` if the entity exists, and every other command if it
    /// does not exist.
    pub(crate) fn decide(
        self,
        state: Option<&Deletable<T>>,
        taken: &str,
    ) -> Result<Self, Rejection> {
        let exists = state.is_some_and(|state| !state.is_deleted);
        match (&self, exists) {
            (Self::Create(_), true) => Err(Rejection::new(taken).with_code("taken")),
            (Self::Create(_), false) | (_, true) => Ok(self),
            (_, false) => Err(Rejection::new("there is nothing with this id").with_code("unknown")),
        }
    }

    /// Returns the state after the event; `text` selects the text that can change.
    pub(crate) fn apply(
        self,
        state: Option<Deletable<T>>,
        text: fn(&mut T) -> &mut String,
    ) -> Deletable<T> {
        match (self, state) {
            (Self::Create(content), _) => Deletable {
                content,
                is_deleted: false,
            },
            (Self::Update(new), Some(mut state)) => {
                *text(&mut state.content) = new;
                state
            }
            (Self::Delete, Some(state)) => Deletable {
                is_deleted: true,
                ..state
            },
            (_, None) => unreachable!("decide requires an existing entity"),
        }
    }
}
