//! Audit reads in MongoDB.

use std::collections::{HashMap, HashSet};

use async_trait::async_trait;
use bakehouse_engine::handlers::Generation;
use bakehouse_engine::ports::{
    Damage, DocumentRecord, Head, Integrity, Page, PresentationInspector, RowInspector, RowRecord,
    SourceInspector, StoreError,
};
use bakehouse_engine::{EntityRecord, Notification, Position};
use futures_util::TryStreamExt;
use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::FindOptions;

use crate::checkpoints;
use crate::connection::Connection;
use crate::convert::{Fields, integer};
use crate::error::{code, store_error};
use crate::event_log::EVENTS;
use crate::notifications::{NAME as NOTIFIER, NOTIFICATIONS, notification};
use crate::presentation::{document, meta};
use crate::read_models::{collection, stored};
use crate::source::{SNAPSHOTS, record};

/// Error code of the server for a collection that does not exist.
const NAMESPACE_NOT_FOUND: i32 = 26;
/// Field of the log's unique index.
const OPERATION_ID: &str = "operation_id";

/// Audit reads of one database.
pub(crate) struct MongoInspector {
    pub(crate) connection: Connection,
    /// Collection of the entities (source database) or of the documents (presentation database).
    pub(crate) entities: String,
}

/// Reads each row on its own, so that an unreadable row does not affect the others.
fn page<T>(
    rows: Vec<Document>,
    key: impl Fn(&Document) -> Result<String, StoreError>,
    read: impl Fn(Document) -> Result<T, StoreError>,
) -> Result<Page<T>, StoreError> {
    let entries = rows.into_iter().map(|row| {
        let key = key(&row)?;
        Ok((key, read(row).map_err(|error| error.to_string())))
    });
    entries.collect()
}

fn id(row: &Document) -> Result<String, StoreError> {
    Fields(row).text("_id").map(str::to_owned)
}

impl MongoInspector {
    async fn after(
        &self,
        collection: &str,
        filter: Document,
        projection: Option<Document>,
        limit: usize,
    ) -> Result<Vec<Document>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let options = FindOptions::builder()
            .sort(doc! { "_id": 1 })
            .projection(projection)
            .limit(limit)
            .build();
        self.connection.find(collection, filter, options).await
    }
}

#[async_trait]
impl SourceInspector for MongoInspector {
    async fn entities(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError> {
        let filter = doc! { "_id": { "$gt": after } };
        let fields = Some(doc! { "position": 1 });
        let rows = self.after(&self.entities, filter, fields, limit).await?;
        page(rows, id, |row| Fields(&row).position("position"))
    }

    async fn without_entry(
        &self,
        entities: &[(&str, Position)],
    ) -> Result<Vec<String>, StoreError> {
        let positions = entities.iter().map(|(_, position)| integer(*position));
        let filter = doc! { "_id": { "$in": positions.collect::<Vec<_>>() } };
        let fields = Some(doc! { "entity_id": 1 });
        let rows = self.after(EVENTS, filter, fields, 0).await?;
        let mut known = HashSet::new();
        for row in &rows {
            let fields = Fields(row);
            known.insert((fields.text("entity_id")?, fields.position("_id")?));
        }
        let unfounded = entities.iter().filter(|entity| !known.contains(entity));
        Ok(unfounded.map(|(id, _)| (*id).to_owned()).collect())
    }

    async fn snapshots(
        &self,
        after: (&str, Position),
        limit: usize,
    ) -> Result<Page<EntityRecord>, StoreError> {
        let after = doc! { "id": after.0, "position": integer(after.1) };
        let filter = doc! { "_id": { "$gt": after } };
        let rows = self.after(SNAPSHOTS, filter, None, limit).await?;
        let key = |row: &Document| {
            let id = Fields(row).document("_id")?;
            Fields(id).text("id").map(str::to_owned)
        };
        let read = |row: Document| {
            let fields = Fields(&row);
            let at = Fields(fields.document("_id")?).position("position")?;
            let record = record(fields.document("record")?)?;
            match record.position == at {
                true => Ok(record),
                false => Err(StoreError::Corrupt(format!(
                    "field position: expected {at}, found {}",
                    record.position
                ))),
            }
        };
        page(rows, key, read)
    }

    async fn notifications(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Page<Notification>, StoreError> {
        let filter = doc! { "_id": { "$gt": after } };
        let rows = self.after(NOTIFICATIONS, filter, None, limit).await?;
        page(rows, id, |row| notification(&row))
    }

    async fn notified(&self) -> Result<Option<Head>, StoreError> {
        checkpoints::find(&self.connection, NOTIFIER).await
    }

    async fn inconsistent_fields(
        &self,
        after: Position,
        up_to: Position,
    ) -> Result<Vec<(Position, &'static str)>, StoreError> {
        let is_correlated = doc! { "$ne": ["$correlation_id", "$operation_id"] };
        let stored = doc! { "$ifNull": ["$is_correlated", false] };
        let mut found = Vec::new();
        for (field, differs) in [
            ("position", doc! { "$ne": ["$position", "$_id"] }),
            ("is_correlated", doc! { "$ne": [stored, is_correlated] }),
        ] {
            let filter = doc! {
                "_id": { "$gt": integer(after), "$lte": integer(up_to) }, "$expr": differs,
            };
            let which = Some(doc! { "_id": 1 });
            for row in &self.after(EVENTS, filter, which, 0).await? {
                found.push((Fields(row).position("_id")?, field));
            }
        }
        Ok(found)
    }
}

#[async_trait]
impl PresentationInspector for MongoInspector {
    async fn documents(
        &self,
        ids: &[&str],
    ) -> Result<HashMap<String, Result<DocumentRecord, String>>, StoreError> {
        let filter = doc! { "_id": { "$in": ids } };
        let rows = self.after(&self.entities, filter, None, ids.len()).await?;
        Ok(page(rows, id, document_record)?.into_iter().collect())
    }

    async fn document_ids(&self, after: &str, limit: usize) -> Result<Page<Position>, StoreError> {
        let filter = doc! { "_id": { "$gt": after } };
        let fields = Some(doc! { "_meta.position": 1 });
        let rows = self.after(&self.entities, filter, fields, limit).await?;
        page(rows, id, |row| Fields(meta(&row)?).position("position"))
    }
}

fn document_record(row: Document) -> Result<DocumentRecord, StoreError> {
    let fields = Fields(meta(&row)?);
    let created_at = fields.time("created_at")?;
    let malformed = |name: &str| StoreError::Corrupt(format!("field {name}: missing or invalid"));
    let listed = fields
        .0
        .get_bool("listed")
        .map_err(|_| malformed("listed"))?;
    if !matches!(
        fields.0.get("owner"),
        None | Some(Bson::Null | Bson::String(_))
    ) {
        return Err(malformed("owner"));
    }
    let document = document(row)?;
    Ok(DocumentRecord {
        number: document.number,
        position: document.position,
        version: document.version,
        created_at,
        owner: document.owner,
        listed,
        body: document.body,
    })
}

#[async_trait]
impl RowInspector for MongoInspector {
    async fn all_rows(
        &self,
        generation: &Generation,
        after: &str,
        limit: usize,
    ) -> Result<Page<RowRecord>, StoreError> {
        let filter = doc! { "_id": { "$gt": after } };
        let rows = self
            .after(&collection(generation), filter, None, limit)
            .await?;
        page(rows, id, |row| {
            let links = row.get_array("links");
            let links = links.map_err(|_| Fields(&row).malformed("links"))?;
            let text = |link: &Bson| link.as_str().map(str::to_owned);
            let links: Option<Vec<String>> = links.iter().map(text).collect();
            let mut links = links.ok_or_else(|| Fields(&row).malformed("links"))?;
            links.sort_unstable();
            let body = stored(&row)?.body;
            Ok(RowRecord { links, body })
        })
    }

    /// Returns nothing: links are part of their row.
    async fn dangling_links(
        &self,
        _: &Generation,
        _: usize,
    ) -> Result<Vec<(String, String)>, StoreError> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Integrity for MongoInspector {
    /// Checks whether the unique index exists that keeps an operation from being stored twice. The
    /// server's own files are not checked.
    async fn damages(&self) -> Result<Vec<Damage>, StoreError> {
        let events = self.connection.collection(EVENTS);
        let listed = async { events.list_indexes().await?.try_collect::<Vec<_>>().await };
        let indexes = match self.connection.in_time(listed).await? {
            Ok(indexes) => indexes,
            // The log has not been created yet.
            Err(error) if code(&error) == Some(NAMESPACE_NOT_FOUND) => return Ok(Vec::new()),
            Err(error) => return Err(store_error(self.connection.name, &error)),
        };
        let is_unique = |index: &IndexModel| {
            let options = index.options.as_ref();
            index.keys.contains_key(OPERATION_ID)
                && options.is_some_and(|options| options.unique == Some(true))
        };
        if indexes.is_empty() || indexes.iter().any(is_unique) {
            return Ok(Vec::new());
        }
        Ok(vec![Damage {
            part: Some(format!("{EVENTS}.{OPERATION_ID}")),
            is_index: true,
            what: "the unique index is missing".into(),
        }])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_with_an_owner_of_another_type_cannot_be_read() {
        let meta = doc! {
            "number": 1_i64, "position": 1_i64, "version": 1_i64, "listed": true,
            "created_at": mongodb::bson::DateTime::from_millis(1), "owner": 7_i64,
        };
        let row = doc! { "_id": "a", "id": "a", "_meta": meta };
        let error = document_record(row).expect_err("refused");
        assert!(error.to_string().contains("owner"), "{error}");
    }
}
