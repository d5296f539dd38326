//! Unit of work: one open transaction over the whole store.
//!
//! It is a single job of the writer thread ([`crate::database`]) that runs the jobs of the unit
//! and answers each at once, until the unit commits or is dropped. All other writes wait
//! meanwhile.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    EventLog, PresentationReader, PresentationStore, RowStore, SourceStore, StoreError, UnitOfWork,
    UnitsOfWork,
};
use tokio::sync::oneshot;

use crate::SqliteStore;
use crate::database::{Database, TransactionHandle};

#[async_trait]
impl UnitsOfWork for SqliteStore {
    async fn begin(&self) -> Result<Box<dyn UnitOfWork>, StoreError> {
        let (database, handle, outcome) = self.database.begin().await?;
        let store = Self {
            database: Arc::new(database),
            arrivals: Arc::default(),
            lock: None,
        };
        let unit = SqliteUnitOfWork {
            store,
            handle: Some(handle),
            outcome,
        };
        Ok(Box::new(unit))
    }
}

struct SqliteUnitOfWork {
    store: SqliteStore,
    handle: Option<TransactionHandle>,
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
        if let Some(handle) = self.handle.take() {
            handle.commit();
        }
        let outcome = (&mut self.outcome).await;
        outcome.unwrap_or_else(|_| Err(Database::closed()))
    }
}
