//! Where feeds are, for whoever is to follow them.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ports::{FeedSource, StoreError};

type Open = Arc<dyn Fn() -> Arc<dyn FeedSource> + Send + Sync>;

/// Feeds by their domains' names. Each follower has one of its own, since each is at
/// another place.
#[derive(Clone, Default)]
pub struct Feeds(HashMap<String, Open>);

impl Feeds {
    /// And this one.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        open: impl Fn() -> Arc<dyn FeedSource> + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(name.to_owned(), Arc::new(open));
        self
    }

    /// Whether this one is among them.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The feed of this name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] when nobody has said where it is.
    pub(super) fn open(&self, name: &str) -> Result<Arc<dyn FeedSource>, StoreError> {
        let open = self.0.get(name).ok_or_else(|| {
            StoreError::Corrupt(format!("nobody has said where the feed {name:?} is"))
        })?;
        Ok(open())
    }
}
