//! Rows of read models (in the presentation database) and state of process managers (in the source
//! database). Each generation has a collection of its own, so that an old one can be dropped as a
//! whole.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bakehouse_engine::Position;
use bakehouse_engine::handlers::{Generation, Needs};
use bakehouse_engine::ports::{
    Feed, HandlerCommit, Loaded, ModelState, Registration, RowPage, RowReader, RowStore, RowWrite,
    StoreError, StoredRow,
};
use futures_util::TryStreamExt;
use mongodb::IndexModel;
use mongodb::bson::{Bson, Document, doc};
use mongodb::options::FindOptions;

use crate::checkpoints::{CHECKPOINTS, bind_to_log};
use crate::connection::Connection;
use crate::convert::{Fields, from_bson, integer, to_bson};
use crate::notifications::{NOTIFICATIONS, insertion};
use crate::transaction::Transactor;

const READ_MODELS: &str = "read_models";

pub(crate) struct MongoRows {
    connection: Connection,
    /// One per handler, since handlers commit independently.
    transactors: Mutex<HashMap<String, Arc<Transactor>>>,
}

impl MongoRows {
    pub(crate) fn new(connection: Connection) -> Self {
        Self {
            connection,
            transactors: Mutex::default(),
        }
    }

    fn transactor(&self, generation: &Generation) -> Arc<Transactor> {
        let mut all = self
            .transactors
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let name = format!("rows.{}", generation.name);
        let create = || Arc::new(Transactor::new(self.connection.clone(), &name));
        all.entry(generation.name.clone())
            .or_insert_with(create)
            .clone()
    }

    async fn find(
        &self,
        generation: &Generation,
        filter: Document,
        limit: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let options = FindOptions::builder()
            .sort(doc! { "_id": 1 })
            .limit(limit)
            .build();
        let rows = collection(generation);
        let found = self.connection.find(&rows, filter, options).await?;
        found.iter().map(stored).collect()
    }

    /// Reads from the serving generation, and again if another one replaced it meanwhile.
    async fn read(
        &self,
        name: &str,
        filter: Document,
        limit: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let mut serving = self.serving(name).await?;
        loop {
            let found = self.find(&serving, filter.clone(), limit).await;
            if found.as_ref().is_ok_and(|rows| !rows.is_empty()) {
                return found;
            }
            let now = self.serving(name).await?;
            if now == serving {
                return found;
            }
            serving = now;
        }
    }

    async fn serving(&self, name: &str) -> Result<Generation, StoreError> {
        let found = self.registration(name).await?;
        let serving = found.and_then(|found| found.serving);
        serving.ok_or_else(|| StoreError::NotYet(format!("read model {name:?}: still being built")))
    }

    async fn registration(&self, name: &str) -> Result<Option<Registration>, StoreError> {
        let row = self.connection.find_by_id(READ_MODELS, name).await?;
        row.as_ref().map(registered).transpose()
    }

    async fn revision(&self, generation: &Generation) -> Result<u64, StoreError> {
        let name = collection(generation);
        match self.connection.find_by_id(CHECKPOINTS, &name).await? {
            Some(row) => Fields(&row).position("revision"),
            None => Ok(0),
        }
    }

    async fn positions(
        &self,
        generation: Option<&Generation>,
    ) -> Result<BTreeMap<String, Position>, StoreError> {
        let Some(generation) = generation else {
            return Ok(BTreeMap::new());
        };
        let all = doc! { "of": collection(generation) };
        let found = self
            .connection
            .find(CHECKPOINTS, all, FindOptions::default());
        let rows = found.await?;
        let positions = rows.iter().map(|row| {
            let fields = Fields(row);
            Ok((
                fields.text("feed")?.to_owned(),
                fields.position("position")?,
            ))
        });
        positions.collect()
    }

    /// Drops all generations older than this one. Newer ones are kept: a caller that has lost its
    /// lease must not drop the generation that the new leader is building.
    async fn drop_older(&self, generation: &Generation) -> Result<(), StoreError> {
        let is_older = |name: &str| {
            let found = version_and_rebuild(name, &generation.name);
            found.is_some_and(|found| found < (generation.version, generation.round))
        };
        let names = self.connection.database.list_collection_names();
        for name in self.connection.bounded(names).await? {
            if is_older(&name) {
                let old = self.connection.collection(&name);
                self.connection.bounded(old.drop()).await?;
            }
        }
        let model = doc! { "model": &generation.name };
        let found = self
            .connection
            .find(CHECKPOINTS, model, FindOptions::default());
        let rows = found.await?;
        let is_old = |row: &&Document| {
            let collection = row.get_str("of").or(row.get_str("_id"));
            collection.is_ok_and(is_older)
        };
        let old = rows.iter().filter(is_old).filter_map(|row| row.get("_id"));
        let old = doc! { "_id": { "$in": old.cloned().collect::<Vec<_>>() } };
        let checkpoints = self.connection.collection(CHECKPOINTS);
        let deleted = checkpoints.delete_many(old);
        self.connection.bounded(deleted).await.map(|_| ())
    }
}

#[async_trait]
impl RowStore for MongoRows {
    async fn open(
        &self,
        generation: &Generation,
        feed: &Feed<'_>,
        start: Position,
    ) -> Result<Position, StoreError> {
        let by_link = IndexModel::builder().keys(doc! { "links": 1, "_id": 1 });
        let rows = self.connection.collection(&collection(generation));
        let create = rows.create_index(by_link.build());
        self.connection.bounded(create).await?;
        let fresh = doc! { "model": &generation.name, "revision": 0_i64 };
        self.connection
            .find_or_create(CHECKPOINTS, &collection(generation), fresh)
            .await?;
        let checkpoint = checkpoint(generation, feed.name);
        let bound = bind_to_log(&self.connection, &checkpoint, feed.epoch, start).await?;
        let labels = doc! {
            "model": &generation.name, "of": collection(generation), "feed": feed.name,
        };
        let checkpoints = self.connection.collection(CHECKPOINTS);
        let labelled = checkpoints.update_one(doc! { "_id": checkpoint }, doc! { "$set": labels });
        self.connection.bounded(labelled).await?;
        Ok(bound.position)
    }

    async fn load(&self, generation: &Generation, needs: &Needs) -> Result<Loaded, StoreError> {
        let keys: Vec<&str> = needs.keys.iter().map(String::as_str).collect();
        let links: Vec<&str> = needs.links.iter().map(String::as_str).collect();
        let either = doc! { "$or": [
            { "_id": { "$in": keys } },
            { "links": { "$in": links } },
        ] };
        // Read before the rows, which may therefore be newer than the revision, but never older.
        let revision = self.revision(generation).await?;
        let rows = match needs.is_empty() {
            true => Vec::new(),
            false => self.find(generation, either, 0).await?,
        };
        Ok(Loaded { rows, revision })
    }

    async fn commit(&self, handling: &HandlerCommit) -> Result<(), StoreError> {
        let generation = &handling.generation;
        let (written, removed): (Vec<&RowWrite>, Vec<&RowWrite>) =
            handling.rows.iter().partition(|row| row.body.is_some());
        let written = written.into_iter().map(replacement);
        let written: Vec<Document> = written.collect::<Result<_, _>>()?;
        let removed: Vec<&str> = removed.iter().map(|row| row.key.as_str()).collect();
        let new = handling.notifications.iter().map(insertion);
        let new: Vec<Document> = new.collect::<Result<_, _>>()?;
        self.transactor(generation)
            .transact(async |transaction| {
                let revision = handling.revision;
                let before = doc! { "_id": collection(generation), "revision": integer(revision) };
                let after = doc! { "revision": integer(revision + 1) };
                transaction.move_checkpoint(before, after).await?;
                let checkpoint = checkpoint(generation, &handling.feed);
                let before = doc! { "_id": checkpoint, "position": integer(handling.from) };
                let after = doc! { "position": integer(handling.to) };
                transaction.move_checkpoint(before, after).await?;
                transaction.update(&collection(generation), written).await?;
                transaction
                    .remove(&collection(generation), &removed)
                    .await?;
                transaction.update(NOTIFICATIONS, new).await.map(|_| ())
            })
            .await
    }

    async fn register(&self, name: &str, version: u32) -> Result<Registration, StoreError> {
        let wanted = i64::from(version);
        if let Some(found) = self.registration(name).await?
            && found.wanted.version >= version
        {
            return Ok(found);
        }
        let fresh = doc! { "version": wanted, "round": 0_i64 };
        self.connection
            .find_or_create(READ_MODELS, name, fresh.clone())
            .await?;
        let models = self.connection.collection(READ_MODELS);
        let older = doc! { "_id": name, "version": { "$lt": wanted } };
        let raised = models.update_one(older, doc! { "$set": fresh });
        self.connection.bounded(raised).await?;
        let found = self.registration(name).await?;
        found.ok_or_else(|| StoreError::corrupt(format!("read model {name:?}: not registered")))
    }

    async fn promote(&self, generation: &Generation) -> Result<(), StoreError> {
        let served = doc! {
            "version": i64::from(generation.version), "round": integer(generation.round),
        };
        let mut wanted = served.clone();
        wanted.insert("_id", &generation.name);
        let models = self.connection.collection(READ_MODELS);
        let promoted = models.update_one(wanted, doc! { "$set": { "served": served } });
        if self.connection.bounded(promoted).await?.matched_count == 0 {
            return Ok(());
        }
        self.drop_older(generation).await
    }
}

#[async_trait]
impl RowReader for MongoRows {
    async fn row(&self, name: &str, key: &str) -> Result<Option<StoredRow>, StoreError> {
        Ok(self.read(name, doc! { "_id": key }, 1).await?.pop())
    }

    async fn rows(&self, name: &str, page: &RowPage<'_>) -> Result<Vec<StoredRow>, StoreError> {
        if page.limit == 0 {
            return self.serving(name).await.map(|_| Vec::new());
        }
        let mut filter = doc! { "links": page.link };
        if let Some(after) = page.after {
            filter.insert("_id", doc! { "$gt": after });
        }
        self.read(name, filter, page.limit).await
    }

    async fn states(&self) -> Result<Vec<ModelState>, StoreError> {
        let query = async {
            let models = self.connection.collection(READ_MODELS);
            let find = models.find(doc! {}).sort(doc! { "_id": 1 });
            find.await?.try_collect::<Vec<_>>().await
        };
        let mut states = Vec::new();
        for row in self.connection.bounded(query).await? {
            let registration = registered(&row)?;
            states.push(ModelState {
                served: self.positions(registration.serving.as_ref()).await?,
                building: self.positions(registration.building()).await?,
                registration,
            });
        }
        Ok(states)
    }

    async fn rebuild(&self, name: &str) -> Result<Option<Generation>, StoreError> {
        let models = self.connection.collection(READ_MODELS);
        let raised = models.update_one(doc! { "_id": name }, doc! { "$inc": { "round": 1_i64 } });
        self.connection.bounded(raised).await?;
        Ok(self.registration(name).await?.map(|found| found.wanted))
    }
}

pub(crate) fn collection(generation: &Generation) -> String {
    format!("rows.{generation}")
}

/// Returns the version and the rebuild id in the name of a model's collection.
fn version_and_rebuild(collection: &str, model: &str) -> Option<(u32, u64)> {
    let rest = collection.strip_prefix("rows.")?.strip_prefix(model)?;
    let (version, rebuild_id) = rest.strip_prefix('.')?.split_once('.')?;
    Some((version.parse().ok()?, rebuild_id.parse().ok()?))
}

fn checkpoint(generation: &Generation, feed: &str) -> String {
    format!("{}/{feed}", collection(generation))
}

fn replacement(row: &RowWrite) -> Result<Document, StoreError> {
    let body = row.body.as_ref().map(to_bson).transpose()?;
    Ok(doc! {
        "q": { "_id": &row.key },
        "u": { "_id": &row.key, "links": &row.links, "row": body },
        "upsert": true,
    })
}

pub(crate) fn stored(row: &Document) -> Result<StoredRow, StoreError> {
    let fields = Fields(row);
    Ok(StoredRow {
        key: fields.text("_id")?.to_owned(),
        body: from_bson(row.get("row").unwrap_or(&Bson::Null))?,
    })
}

fn registered(row: &Document) -> Result<Registration, StoreError> {
    let name = Fields(row).text("_id")?;
    let served = row.get_document("served").ok();
    Ok(Registration {
        wanted: generation(name, row)?,
        serving: served.map(|served| generation(name, served)).transpose()?,
    })
}

fn generation(name: &str, row: &Document) -> Result<Generation, StoreError> {
    let fields = Fields(row);
    Ok(Generation {
        name: name.to_owned(),
        version: fields.u32("version")?,
        round: fields.position("round")?,
    })
}
