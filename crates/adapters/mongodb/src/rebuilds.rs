//! Making anew in MongoDB: rounds on record, and a second set of collections, which are
//! renamed in place of the first.
//!
//! Renaming takes part in no transaction. Therefore a transaction says first that it is
//! to be done (`replacing` in the checkpoint, which no commit passes), and whoever looks
//! after the stage next does what is left of it. What is renamed is known by its own
//! identity: what somebody makes too late by the same name is left alone, and removed.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::Position;
use bakehouse_engine::fault_injection::point;
use bakehouse_engine::ports::{Rebuild, RebuildState, Rebuilds, ShadowStores, Slot, StoreError};
use futures_util::TryStreamExt;
use mongodb::bson::{Binary, Bson, Document, doc};
use mongodb::options::FindOptions;

use crate::checkpoints::CHECKPOINTS;
use crate::connection::Connection;
use crate::convert::{Fields, integer};
use crate::error::{code, store_error};
use crate::transaction::Transactor;
use crate::update::update;

/// The last round of each stage, by its checkpoint's name.
const REBUILDS: &str = "rebuilds";
const NAMESPACE_NOT_FOUND: i32 = 26;

/// What a stage writes.
#[derive(Clone)]
pub(crate) struct Part {
    pub(crate) connection: Connection,
    pub(crate) transactions: Arc<Transactor>,
    /// Of its checkpoint.
    pub(crate) name: &'static str,
    pub(crate) collections: Vec<String>,
}

/// A store that can be there twice.
#[async_trait]
pub(crate) trait Rebuilt: Send + Sync + 'static {
    type Door: ?Sized + Send + Sync;

    fn part(&self) -> Part;

    /// The other one, with all its indexes.
    async fn twin(&self, round: u64) -> Result<Arc<Self::Door>, StoreError>;
}

pub(crate) struct MongoRebuilds<T>(pub(crate) Arc<T>);

#[async_trait]
impl<T: Rebuilt> Rebuilds for MongoRebuilds<T> {
    async fn ask(&self) -> Result<Rebuild, StoreError> {
        self.0.part().ask().await
    }

    async fn last(&self) -> Result<Rebuild, StoreError> {
        self.0.part().last().await
    }

    async fn give_up(&self, round: u64, reason: &str) -> Result<(), StoreError> {
        self.0.part().give_up(round, reason).await
    }

    async fn progress(&self, round: u64) -> Result<(Position, Position), StoreError> {
        let part = self.0.part();
        let made = part.checkpoint(Slot::Shadow(round)).await?;
        let read = part.checkpoint(Slot::Live).await?;
        let position = |row: Option<Document>| match row {
            Some(row) => Fields(&row).position("position"),
            None => Ok(0),
        };
        Ok((position(made)?, position(read)?))
    }
}

#[async_trait]
impl<T: Rebuilt> ShadowStores<T::Door> for MongoRebuilds<T> {
    async fn beside(&self, round: u64) -> Result<Arc<T::Door>, StoreError> {
        if self.0.part().last().await?.under_way() != Some(round) {
            return Err(StoreError::Fenced);
        }
        self.0.twin(round).await
    }

    async fn replace(&self, round: u64, at: Position) -> Result<(), StoreError> {
        let part = self.0.part();
        part.resolve(round, at).await?;
        point("mongodb.replacing");
        part.tidy().await
    }

    async fn finish(&self) -> Result<(), StoreError> {
        self.0.part().finish().await
    }

    async fn tidy(&self) -> Result<bool, StoreError> {
        self.0.part().tidy().await?;
        Ok(false)
    }
}

/// The generation of a checkpoint, as it is looked for: those from before there were any
/// have none.
pub(crate) fn generation(round: u64) -> Bson {
    match round {
        0 => Bson::Null,
        round => integer(round).into(),
    }
}

impl Part {
    async fn ask(&self) -> Result<Rebuild, StoreError> {
        let under_way = RebuildState::UnderWay.as_str();
        // One that is under way is not matched, and cannot be made twice.
        let begin = doc! {
            "q": { "_id": self.name, "state": { "$ne": under_way } },
            "u": { "$inc": { "round": 1_i64 }, "$set": { "state": under_way, "reason": null } },
            "upsert": true,
        };
        match update(&self.connection, REBUILDS, vec![begin]).await {
            Ok(()) | Err(StoreError::Fenced) => self.last().await,
            Err(error) => Err(error),
        }
    }

    async fn last(&self) -> Result<Rebuild, StoreError> {
        let found = self.connection.find_by_id(REBUILDS, self.name);
        let Some(row) = found.await? else {
            return Ok(Rebuild::default());
        };
        let fields = Fields(&row);
        Ok(Rebuild {
            round: fields.position("round")?,
            state: RebuildState::named(fields.text("state")?)?,
            reason: fields.optional_text("reason").map(str::to_owned),
        })
    }

    async fn give_up(&self, round: u64, reason: &str) -> Result<(), StoreError> {
        let end = self.ended(round, RebuildState::GivenUp, Some(reason));
        update(&self.connection, REBUILDS, vec![end]).await
    }

    /// The statement that ends a round, if it is under way.
    fn ended(&self, round: u64, state: RebuildState, reason: Option<&str>) -> Document {
        let under_way = RebuildState::UnderWay.as_str();
        doc! {
            "q": { "_id": self.name, "round": integer(round), "state": under_way },
            "u": { "$set": { "state": state.as_str(), "reason": reason } },
        }
    }

    async fn checkpoint(&self, slot: Slot) -> Result<Option<Document>, StoreError> {
        let name = slot.name(self.name);
        self.connection.find_by_id(CHECKPOINTS, &name).await
    }

    /// From here on it is certain that what was made takes the place of what is read.
    async fn resolve(&self, round: u64, at: Position) -> Result<(), StoreError> {
        let made = self.checkpoint(Slot::Shadow(round)).await?;
        let mut after = made.ok_or(StoreError::Fenced)?;
        let by = self.made(round).await?;
        after.remove("_id");
        after.insert("generation", integer(round));
        after.insert("replacing", doc! { "round": integer(round), "by": by });
        let made = Slot::Shadow(round).name(self.name);
        let transactions = &self.transactions;
        let resolved = transactions.transact(async |transaction| {
            let at = integer(at);
            let before = doc! { "_id": self.name, "position": at, "replacing": null };
            transaction.move_checkpoint(before, after).await?;
            let is_there = doc! { "q": { "_id": &made, "position": at },
            "u": { "$set": { "replaces": true } } };
            transaction
                .write(CHECKPOINTS, Vec::new(), vec![is_there])
                .await?;
            transaction.remove(CHECKPOINTS, &[&made]).await?;
            let ended = self.ended(round, RebuildState::Done, None);
            transaction.write(REBUILDS, Vec::new(), vec![ended]).await
        });
        resolved.await
    }

    /// What a round has made: each collection's own identity, by its name. One that
    /// somebody makes later by the same name is another.
    async fn made(&self, round: u64) -> Result<Document, StoreError> {
        let mut made = Document::new();
        for collection in &self.collections {
            let name = Slot::Shadow(round).name(collection);
            let identity = self.identity(&name).await?.ok_or(StoreError::Fenced)?;
            made.insert(collection, identity);
        }
        Ok(made)
    }

    async fn identity(&self, collection: &str) -> Result<Option<Binary>, StoreError> {
        let database = &self.connection.database;
        let query = async {
            let all = database.list_collections();
            let named = all.filter(doc! { "name": collection });
            named.await?.try_collect::<Vec<_>>().await
        };
        let found = self.connection.bounded(query).await?.pop();
        Ok(found.and_then(|found| found.info.uuid))
    }

    /// Ends what has been resolved, and removes what nobody will ever read.
    async fn tidy(&self) -> Result<(), StoreError> {
        // In this order: what is resolved later is not taken for what was left.
        let rebuild = self.last().await?;
        self.finish().await?;
        match rebuild.ended() {
            0 => Ok(()),
            ended => self.remove(ended).await,
        }
    }

    /// Renames what is not yet renamed, and lets commits pass again.
    async fn finish(&self) -> Result<(), StoreError> {
        let row = self.checkpoint(Slot::Live).await?.unwrap_or_default();
        let Ok(replacing) = row.get_document("replacing") else {
            return Ok(());
        };
        let round = Fields(replacing).position("round")?;
        let by = replacing.get_document("by").map_err(StoreError::corrupt)?;
        for (collection, identity) in by {
            let made = Slot::Shadow(round).name(collection);
            let found = self.identity(&made).await?.map(Bson::Binary);
            // Else it has been renamed, and what is there now was made too late.
            if found.as_ref() == Some(identity) {
                self.rename(&made, collection).await?;
                point("mongodb.renamed");
            }
        }
        let done = doc! {
            "q": { "_id": self.name, "replacing.round": integer(round) },
            "u": { "$unset": { "replacing": "" } },
        };
        update(&self.connection, CHECKPOINTS, vec![done]).await
    }

    async fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let database = self.connection.database.name();
        let command = doc! {
            "renameCollection": format!("{database}.{from}"),
            "to": format!("{database}.{to}"),
            "dropTarget": true,
            "writeConcern": { "w": "majority", "j": true },
        };
        let admin = self.connection.client.database("admin");
        match self.connection.in_time(admin.run_command(command)).await? {
            // Done, but not on the majority: it may be undone yet, and is looked at again.
            Ok(answer) if answer.contains_key("writeConcernError") => Err(StoreError::unavailable(
                format!("renaming {from}: {answer}"),
            )),
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some(NAMESPACE_NOT_FOUND) => Ok(()),
            Err(error) => Err(store_error(self.connection.name, &error)),
        }
    }

    /// Removes what is left of rounds up to `ended`; whoever comes too late with that
    /// removes nothing that anybody makes.
    async fn remove(&self, ended: u64) -> Result<(), StoreError> {
        let database = &self.connection.database;
        let names = self
            .connection
            .bounded(database.list_collection_names())
            .await?;
        for collection in &self.collections {
            let is_left = |name: &&String| Slot::is_made_of(name, collection, ended);
            for name in names.iter().filter(is_left) {
                let left = self.connection.collection(name);
                self.connection.bounded(left.drop()).await?;
            }
        }
        let like = doc! { "_id": { "$regex": format!("^{}_r", self.name) } };
        let found = self
            .connection
            .find(CHECKPOINTS, like, FindOptions::default());
        let ids = found.await?.into_iter();
        let ids = ids.filter_map(|row| row.get_str("_id").ok().map(str::to_owned));
        let left: Vec<String> = ids
            .filter(|id| Slot::is_made_of(id, self.name, ended))
            .collect();
        let checkpoints = self.connection.collection(CHECKPOINTS);
        let deleted = checkpoints.delete_many(doc! { "_id": { "$in": left } });
        self.connection.bounded(deleted).await.map(|_| ())
    }
}
