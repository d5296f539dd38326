//! Registry of feed sources by name.

use std::collections::HashMap;
use std::sync::Arc;

use crate::ports::{FeedSource, StoreError};

type OpenSource = Arc<dyn Fn() -> Arc<dyn FeedSource> + Send + Sync>;

/// Feed sources by their domains' names. Each runner opens its own source, because each reads at a
/// different position.
#[derive(Clone, Default)]
pub struct Feeds(HashMap<String, OpenSource>);

impl Feeds {
    /// Adds a source.
    #[must_use]
    pub fn with(
        mut self,
        name: &str,
        open: impl Fn() -> Arc<dyn FeedSource> + Send + Sync + 'static,
    ) -> Self {
        self.0.insert(name.to_owned(), Arc::new(open));
        self
    }

    /// Checks whether a source of this name is registered.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Opens the source of this name.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] if no source of this name is registered.
    pub(super) fn open(&self, name: &str) -> Result<Arc<dyn FeedSource>, StoreError> {
        let open = self.0.get(name).ok_or_else(|| {
            StoreError::Corrupt(format!("no source is configured for the feed {name:?}"))
        })?;
        Ok(open())
    }
}
