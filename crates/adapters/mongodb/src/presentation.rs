//! Presentation: documents, history of the feed, and data-baker's checkpoint.
//!
//! A document is stored as readers get it, field for field, plus `_id` and `_meta` (number,
//! position, version, owner, listed and so on), which are removed when it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bakehouse_engine::ports::{
    Baking, DocumentKey, DocumentWrite, Head, ListQuery, PresentationReader, PresentationStore,
    Slot, StoreError, StoredDocument,
};
use bakehouse_engine::{Facet, Frame, Json, Position};
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::FindOptions;

use crate::checkpoints::{self, bind_to_log};
use crate::connection::Connection;
use crate::convert::{Fields, date, from_bson, integer, to_document};
use crate::list::{self, Edge, Page};
use crate::rebuilds::{RebuildableStore, StageOutput, generation};
use crate::transaction::{Transaction, Transactor};

/// Name of the checkpoint.
const NAME: &str = "data-baker";
const FEED: &str = "feed";

pub(crate) struct MongoPresentation {
    connection: Connection,
    transactions: Arc<Transactor>,
    documents: String,
    facets: &'static [Facet],
    /// Slot that is written; reads always go to the live one.
    slot: Slot,
    /// Generation of the checkpoint when the store was opened.
    generation: AtomicU64,
}

impl MongoPresentation {
    pub(crate) fn new(connection: Connection, documents: &str, facets: &'static [Facet]) -> Self {
        Self {
            transactions: Arc::new(Transactor::new(connection.clone(), NAME)),
            connection,
            documents: documents.to_owned(),
            facets,
            slot: Slot::Live,
            generation: AtomicU64::default(),
        }
    }

    /// Returns the name of the collection of the documents.
    pub(crate) fn documents(&self) -> &str {
        &self.documents
    }

    pub(crate) async fn create_indexes(&self) -> Result<(), StoreError> {
        let documents = self.slot.name(&self.documents);
        let documents = self.connection.collection(&documents);
        let create = documents.create_indexes(list::indexes(self.facets));
        self.connection.bounded(create).await.map(|_| ())
    }

    async fn find(&self, page: Page) -> Result<Vec<StoredDocument>, StoreError> {
        let options = FindOptions::builder()
            .sort(page.sort)
            .limit(page.limit)
            .build();
        let found = self.connection.find(&self.documents, page.filter, options);
        let rows = found.await?;
        rows.into_iter().map(document).collect()
    }

    /// Returns the query for a page; `None` if the page is empty in any case.
    async fn page(&self, query: &ListQuery) -> Result<Option<Page>, StoreError> {
        if query.limit == 0 {
            return Ok(None);
        }
        let mut page = Page::of(query);
        for edge in list::edges(query) {
            let Some(number) = self.number(edge.clone()).await? else {
                return Ok(None);
            };
            page.limit_to(edge.side, number);
        }
        Ok(Some(page))
    }

    /// Returns the number at one end of a time range; `None` if the range is empty.
    async fn number(&self, edge: Edge) -> Result<Option<Position>, StoreError> {
        let options = FindOptions::builder()
            .sort(edge.sort)
            .projection(doc! { "_meta.number": 1 })
            .limit(1)
            .build();
        let found = self.connection.find(&self.documents, edge.filter, options);
        let Some(row) = found.await?.pop() else {
            return Ok(None);
        };
        Fields(meta(&row)?).position("number").map(Some)
    }

    async fn write_documents(
        &self,
        transaction: &mut Transaction<'_>,
        writes: &[DocumentWrite],
    ) -> Result<(), StoreError> {
        let mut new = Vec::new();
        let mut changed = Vec::new();
        for write in writes {
            let row = row(write)?;
            if write.created {
                new.push(row);
            } else {
                let older = doc! { "$lt": integer(write.position) };
                changed.push(doc! { "q": { "_id": &write.id, "_meta.position": older }, "u": row });
            }
        }
        let documents = self.slot.name(&self.documents);
        transaction.write(&documents, new, changed).await
    }
}

#[async_trait]
impl PresentationStore for MongoPresentation {
    async fn open(&self, epoch: &str) -> Result<Position, StoreError> {
        let bound = bind_to_log(&self.connection, &self.slot.name(NAME), epoch, 0).await?;
        self.generation.store(bound.generation, Ordering::Release);
        Ok(bound.position)
    }

    async fn commit(&self, baking: &Baking) -> Result<(), StoreError> {
        self.transactions
            .transact(async |transaction| {
                let name = self.slot.name(NAME);
                let from = integer(baking.from);
                let generation = generation(self.generation.load(Ordering::Acquire));
                let before = doc! { "_id": name, "position": from, "replacing": null,
                "generation": generation };
                let after = doc! { "position": integer(baking.to) };
                transaction.move_checkpoint(before, after).await?;
                self.write_documents(transaction, &baking.documents).await?;
                let frames = baking.frames.iter().map(frame_row).collect();
                transaction.insert(&self.slot.name(FEED), frames).await
            })
            .await
    }
}

#[async_trait]
impl RebuildableStore for MongoPresentation {
    type Store = dyn PresentationStore;

    fn output(&self) -> StageOutput {
        StageOutput {
            connection: self.connection.clone(),
            transactions: self.transactions.clone(),
            checkpoint: NAME,
            collections: vec![self.documents.clone(), FEED.to_owned()],
        }
    }

    async fn shadow(&self, rebuild_id: u64) -> Result<Arc<dyn PresentationStore>, StoreError> {
        let shadow = Self {
            connection: self.connection.clone(),
            transactions: self.transactions.clone(),
            documents: self.documents.clone(),
            facets: self.facets,
            slot: Slot::Shadow(rebuild_id),
            generation: AtomicU64::default(),
        };
        shadow.create_indexes().await?;
        let feed = shadow.slot.name(FEED);
        self.connection.create_collection(&feed).await?;
        Ok(Arc::new(shadow))
    }
}

#[async_trait]
impl PresentationReader for MongoPresentation {
    async fn document(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        Ok(self.find(Page::of_one(id)).await?.pop())
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<StoredDocument>, StoreError> {
        match self.page(query).await? {
            Some(page) => self.find(page).await,
            None => Ok(Vec::new()),
        }
    }

    async fn list_keys(&self, query: &ListQuery) -> Result<Vec<DocumentKey>, StoreError> {
        let Some(page) = self.page(query).await? else {
            return Ok(Vec::new());
        };
        let options = FindOptions::builder()
            .sort(page.sort)
            .limit(page.limit)
            .projection(doc! { "_meta.number": 1, "_meta.position": 1 })
            .build();
        let found = self.connection.find(&self.documents, page.filter, options);
        let rows = found.await?;
        rows.iter().map(key).collect()
    }

    async fn documents(&self, numbers: &[u64]) -> Result<Vec<StoredDocument>, StoreError> {
        self.find(Page::of_numbers(numbers)).await
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        // A limit too large for the server counts as none.
        let batch = i32::try_from(limit).ok().map(i32::unsigned_abs);
        let options = FindOptions::builder()
            .sort(doc! { "_id": 1 })
            .limit(batch.map(i64::from))
            .batch_size(batch)
            .build();
        let filter = doc! { "_id": { "$gt": integer(after) } };
        let rows = self.connection.find(FEED, filter, options).await?;
        rows.iter().map(frame).collect()
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let head = checkpoints::find(&self.connection, NAME).await?;
        head.ok_or_else(|| StoreError::NotYet("nothing has been baked yet".into()))
    }
}

fn row(write: &DocumentWrite) -> Result<Document, StoreError> {
    let mut row = doc! { "_id": &write.id };
    row.extend(to_document(&write.body)?);
    let meta = doc! {
        "number": integer(write.number),
        "position": integer(write.position),
        "version": integer(write.version),
        "created_at": date(write.created_at),
        "owner": write.owner.as_deref(),
        "listed": write.listed,
    };
    row.insert("_meta", meta);
    Ok(row)
}

pub(crate) fn meta(row: &Document) -> Result<&Document, StoreError> {
    Fields(row).document("_meta")
}

pub(crate) fn document(mut row: Document) -> Result<StoredDocument, StoreError> {
    let fields = Fields(meta(&row)?);
    let number = fields.position("number")?;
    let position = fields.position("position")?;
    let version = fields.position("version")?;
    let owner = fields.optional_text("owner").map(str::to_owned);
    row.remove("_id");
    row.remove("_meta");
    Ok(StoredDocument {
        number,
        position,
        version,
        owner,
        body: from_bson(&Bson::Document(row))?,
    })
}

fn key(row: &Document) -> Result<DocumentKey, StoreError> {
    let fields = Fields(meta(row)?);
    Ok(DocumentKey {
        number: fields.position("number")?,
        position: fields.position("position")?,
    })
}

fn frame_row(frame: &Frame) -> Document {
    let mut row = doc! {
        "_id": integer(frame.position),
        "type": &frame.kind,
        "entity_id": &frame.entity_id,
        "owner": frame.owner.as_deref(),
        "group": frame.group.as_deref(),
        // As text, since frames are passed on byte for byte.
        "frame": frame.body.get(),
    };
    if let Some(left) = &frame.left_group {
        row.insert("left_group", left);
    }
    row
}

fn frame(row: &Document) -> Result<Frame, StoreError> {
    let fields = Fields(row);
    let body = fields.text("frame")?.to_owned();
    let body =
        serde_json::value::RawValue::from_string(body).map_err(|_| fields.malformed("frame"))?;
    Ok(Frame {
        position: fields.position("_id")?,
        kind: fields.text("type")?.to_owned(),
        entity_id: fields.text("entity_id")?.to_owned(),
        owner: fields.optional_text("owner").map(str::to_owned),
        group: fields.optional_text("group").map(str::to_owned),
        left_group: fields.optional_text("left_group").map(str::to_owned),
        body: Json::from(body),
    })
}
