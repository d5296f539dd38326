//! Read models and process managers of a program.

use std::collections::BTreeSet;

use anyhow::{Result, bail, ensure};
use bakehouse_engine::handlers::{AnyHandler, Feeds};

/// Handlers of feeds.
#[derive(Clone, Default)]
pub(crate) struct Handlers {
    /// Read models.
    pub(crate) read_models: Vec<AnyHandler>,
    /// Process managers.
    pub(crate) processes: Vec<AnyHandler>,
}

impl Handlers {
    fn all(&self) -> impl Iterator<Item = &AnyHandler> {
        self.read_models.iter().chain(&self.processes)
    }

    /// Keeps only the handlers of this domain's own feed.
    pub(crate) fn of_own_feed(mut self, domain: &str) -> Self {
        let is_own = |handler: &AnyHandler| handler.feeds().iter().all(|feed| *feed == domain);
        self.read_models.retain(is_own);
        self.processes.retain(is_own);
        self
    }

    /// Checks names and feeds.
    ///
    /// # Errors
    /// An error if a name is invalid or used twice, or a feed is not configured.
    pub(crate) fn check(&self, feeds: &Feeds) -> Result<()> {
        let is_name = |name: &str| {
            let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte == b'-';
            !name.is_empty() && name.bytes().all(is_letter)
        };
        let mut names = BTreeSet::new();
        for handler in self.all() {
            let name = handler.name();
            ensure!(
                is_name(name),
                "NAME of a read model or process: expected a word in lower case, perhaps with \
                 hyphens, found {name:?}"
            );
            ensure!(
                names.insert(name),
                "two read models or processes are called {name:?}"
            );
            if let Some(feed) = handler.feeds().iter().find(|feed| !feeds.has(feed)) {
                bail!(
                    "follow.{feed} is not set (BAKEHOUSE_FOLLOW__{}): {name} expects the address \
                     of a feed, such as http://127.0.0.1:8081/{feed}s-events",
                    feed.to_uppercase()
                );
            }
        }
        Ok(())
    }
}
