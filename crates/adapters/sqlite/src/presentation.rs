//! Presentation in SQLite.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{
    Baking, DocumentKey, Head, ListQuery, PresentationReader, PresentationStore, Slot, StoreError,
    StoredDocument,
};
use bakehouse_engine::{Frame, Position};
use rusqlite::{Connection, params};

use crate::checkpoints::{advance, bind_to_log, epoch_of, fence, position_of};
use crate::database::Database;
use crate::error::Outcome;
use crate::list::{list, list_keys};
use crate::rows::{DOCUMENT_COLUMNS, FRAME_COLUMNS, documents, frame, integer};

/// Name of the stage's checkpoint.
const NAME: &str = "data-baker";

pub(crate) struct SqlitePresentation {
    pub(crate) database: Arc<Database>,
    /// Slot that writes go to; reads always use the live one.
    pub(crate) slot: Slot,
}

impl SqlitePresentation {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        let slot = Slot::Live;
        Self { database, slot }
    }
}

#[async_trait]
impl PresentationStore for SqlitePresentation {
    async fn open(&self, epoch: &str) -> Result<Position, StoreError> {
        let epoch = epoch.to_owned();
        let name = self.slot.name(NAME);
        self.database
            .write(move |connection| bind_to_log(connection, &name, &epoch, 0))
            .await
    }

    async fn commit(&self, baking: &Baking) -> Result<(), StoreError> {
        let (baking, slot) = (baking.clone(), self.slot);
        self.database
            .write(move |connection| commit(connection, slot, &baking))
            .await
    }
}

#[async_trait]
impl PresentationReader for SqlitePresentation {
    async fn document(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        let id = id.to_owned();
        let query = format!("SELECT {DOCUMENT_COLUMNS} FROM documents WHERE id = ?1");
        let found = self
            .database
            .read(move |connection| documents(connection, &query, [id]));
        Ok(found.await?.pop())
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<StoredDocument>, StoreError> {
        let query = query.clone();
        self.database
            .read(move |connection| list(connection, &query))
            .await
    }

    async fn list_keys(&self, query: &ListQuery) -> Result<Vec<DocumentKey>, StoreError> {
        let query = query.clone();
        self.database
            .read(move |connection| list_keys(connection, &query))
            .await
    }

    async fn documents(&self, numbers: &[u64]) -> Result<Vec<StoredDocument>, StoreError> {
        let numbers = numbers.to_vec();
        let query =
            format!("SELECT {DOCUMENT_COLUMNS} FROM documents WHERE number = ?1 AND listed = 1");
        self.database
            .read(move |connection| {
                let mut found = Vec::new();
                for number in numbers {
                    found.extend(documents(connection, &query, [integer(number)])?);
                }
                Ok(found)
            })
            .await
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        let query = format!(
            "SELECT {FRAME_COLUMNS} FROM frames WHERE position > ?1 ORDER BY position LIMIT ?2"
        );
        self.database
            .read(move |connection| {
                let mut statement = connection.prepare_cached(&query)?;
                let mut rows = statement.query(params![integer(after), limit as i64])?;
                let mut frames = Vec::new();
                while let Some(row) = rows.next()? {
                    frames.push(frame(row)?);
                }
                Ok(frames)
            })
            .await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.database.read(head).await
    }
}

fn commit(connection: &Connection, slot: Slot, baking: &Baking) -> Outcome<()> {
    advance(connection, &slot.name(NAME), baking.from, baking.to)?;
    let documents = slot.name("documents");
    let put = format!(
        "INSERT INTO {documents} VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) \
         ON CONFLICT (number) DO UPDATE SET position = excluded.position, \
         version = excluded.version, listed = excluded.listed, body = excluded.body \
         WHERE excluded.position > position AND excluded.id = id"
    );
    let mut put = connection.prepare_cached(&put)?;
    for document in &baking.documents {
        let touched = put.execute(params![
            integer(document.number),
            document.id,
            integer(document.position),
            integer(document.version),
            document.created_at.millis(),
            document.owner,
            document.listed,
            document.body.get(),
        ])?;
        fence(touched)?;
    }
    let frames = slot.name("frames");
    let insert =
        format!("INSERT INTO {frames} ({FRAME_COLUMNS}) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
    let mut insert = connection.prepare_cached(&insert)?;
    for frame in &baking.frames {
        insert.execute(params![
            integer(frame.position),
            frame.kind,
            frame.entity_id,
            frame.owner,
            frame.group,
            frame.left_group,
            frame.body.get()
        ])?;
    }
    Ok(())
}

fn head(connection: &Connection) -> Outcome<Head> {
    let epoch = epoch_of(connection, NAME)?;
    if epoch.is_empty() {
        return Err(StoreError::NotYet("nothing has been baked yet".into()).into());
    }
    let position = position_of(connection, NAME)?;
    Ok(Head { epoch, position })
}
