//! One transaction over the whole store, open for as long as it takes.
//!
//! It is a job of the writing thread like any other ([`crate::database`]): one that
//! takes jobs of its own, runs them, and answers them at once, until it is told to
//! keep what they did. All other writes wait meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    EventLog, PresentationReader, PresentationStore, RowStore, SourceStore, StoreError, UnitOfWork,
    UnitsOfWork,
};
use tokio::sync::oneshot;

use crate::SqliteStore;
use crate::database::{Database, End};

#[async_trait]
impl UnitsOfWork for SqliteStore {
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let (database, end, outcome) = self.database.begin().await?;
        let store = Self {
            database: Arc::new(database),
            queue: Arc::default(),
            lock: None,
        };
        let unit = SqliteUnitOfWork {
            store,
            end: Some(end),
            outcome,
        };
        Ok(Box::new(unit))
    }
}

struct SqliteUnitOfWork {
    store: SqliteStore,
    end: Option<End>,
    outcome: oneshot::Receiver<Result<(), StoreError>>,
}

#[async_trait]
impl UnitOfWork for SqliteUnitOfWork {
    fn log(&self) -> Arc<dyn EventLog> {
        self.store.log()
    }

    fn source(&self) -> Arc<dyn SourceStore> {
        self.store.source()
    }

    fn presentation(&self) -> Arc<dyn PresentationStore> {
        self.store.presentation()
    }

    fn reader(&self) -> Arc<dyn PresentationReader> {
        self.store.reader()
    }

    fn rows(&self) -> Arc<dyn RowStore> {
        self.store.rows()
    }

    async fn commit(mut self: Box<Self>) -> Result<(), StoreError> {
        if let Some(end) = self.end.take() {
            end.keep();
        }
        let outcome = (&mut self.outcome).await;
        outcome.unwrap_or_else(|_| Err(Database::closed()))
    }
}
