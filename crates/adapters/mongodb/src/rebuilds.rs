//! Online rebuild in MongoDB: replays into shadow collections, which are then renamed over the
//! live ones.
//!
//! A rename cannot be part of a transaction. Therefore a transaction first records that the
//! collections are to be replaced (`replacing` in the checkpoint, which blocks all commits), and
//! the next leader of the stage finishes the renames that are left. The collections to rename are
//! recorded by UUID: one that a late writer creates under the same name is not renamed, but
//! removed.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::Position;
use bakehouse_engine::fault_injection::failpoint;
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

/// Collection of the last rebuild of each stage, by checkpoint name.
const REBUILDS: &str = "rebuilds";
const NAMESPACE_NOT_FOUND: i32 = 26;

/// Checkpoint and collections that a stage writes.
#[derive(Clone)]
pub(crate) struct StageOutput {
    pub(crate) connection: Connection,
    pub(crate) transactions: Arc<Transactor>,
    /// Name of the checkpoint.
    pub(crate) checkpoint: &'static str,
    pub(crate) collections: Vec<String>,
}

/// Store that a shadow can be built of.
#[async_trait]
pub(crate) trait RebuildableStore: Send + Sync + 'static {
    /// Port that the store implements.
    type Store: ?Sized + Send + Sync;

    fn output(&self) -> StageOutput;

    /// Opens the shadow store of a rebuild, and creates its collections and indexes.
    async fn shadow(&self, rebuild_id: u64) -> Result<Arc<Self::Store>, StoreError>;
}

pub(crate) struct MongoRebuilds<T>(pub(crate) Arc<T>);

#[async_trait]
impl<T: RebuildableStore> Rebuilds for MongoRebuilds<T> {
    async fn request(&self) -> Result<Rebuild, StoreError> {
        self.0.output().request().await
    }

    async fn last(&self) -> Result<Rebuild, StoreError> {
        self.0.output().last().await
    }

    async fn abandon(&self, rebuild_id: u64, reason: &str) -> Result<(), StoreError> {
        self.0.output().abandon(rebuild_id, reason).await
    }

    async fn progress(&self, rebuild_id: u64) -> Result<(Position, Position), StoreError> {
        let output = self.0.output();
        let shadow = output.find_checkpoint(Slot::Shadow(rebuild_id)).await?;
        let live = output.find_checkpoint(Slot::Live).await?;
        let position = |row: Option<Document>| match row {
            Some(row) => Fields(&row).position("position"),
            None => Ok(0),
        };
        Ok((position(shadow)?, position(live)?))
    }
}

#[async_trait]
impl<T: RebuildableStore> ShadowStores<T::Store> for MongoRebuilds<T> {
    async fn shadow(&self, rebuild_id: u64) -> Result<Arc<T::Store>, StoreError> {
        if self.0.output().last().await?.in_progress() != Some(rebuild_id) {
            return Err(StoreError::Fenced);
        }
        self.0.shadow(rebuild_id).await
    }

    async fn swap(&self, rebuild_id: u64, at: Position) -> Result<(), StoreError> {
        let output = self.0.output();
        output.decide_replacement(rebuild_id, at).await?;
        failpoint("mongodb.replacing");
        output.remove_obsolete().await
    }

    async fn finish_swap(&self) -> Result<(), StoreError> {
        self.0.output().finish_swap().await
    }

    async fn remove_obsolete(&self) -> Result<bool, StoreError> {
        self.0.output().remove_obsolete().await?;
        Ok(false)
    }
}

/// Returns the filter value for the generation of a checkpoint: checkpoints that were never rebuilt
/// lack the field.
pub(crate) fn generation(rebuild_id: u64) -> Bson {
    match rebuild_id {
        0 => Bson::Null,
        rebuild_id => integer(rebuild_id).into(),
    }
}

impl StageOutput {
    async fn request(&self) -> Result<Rebuild, StoreError> {
        let under_way = RebuildState::InProgress.as_str();
        // A rebuild under way does not match, and the upsert then meets its `_id`.
        let begin = doc! {
            "q": { "_id": self.checkpoint, "state": { "$ne": under_way } },
            "u": { "$inc": { "round": 1_i64 }, "$set": { "state": under_way, "reason": null } },
            "upsert": true,
        };
        match update(&self.connection, REBUILDS, vec![begin]).await {
            Ok(()) | Err(StoreError::Fenced) => self.last().await,
            Err(error) => Err(error),
        }
    }

    async fn last(&self) -> Result<Rebuild, StoreError> {
        let found = self.connection.find_by_id(REBUILDS, self.checkpoint);
        let Some(row) = found.await? else {
            return Ok(Rebuild::default());
        };
        let fields = Fields(&row);
        Ok(Rebuild {
            rebuild_id: fields.position("round")?,
            state: RebuildState::parse(fields.text("state")?)?,
            reason: fields.optional_text("reason").map(str::to_owned),
        })
    }

    async fn abandon(&self, rebuild_id: u64, reason: &str) -> Result<(), StoreError> {
        let end = self.end_statement(rebuild_id, RebuildState::Abandoned, Some(reason));
        update(&self.connection, REBUILDS, vec![end]).await
    }

    /// Returns the statement that ends a rebuild, if it is under way.
    fn end_statement(
        &self,
        rebuild_id: u64,
        state: RebuildState,
        reason: Option<&str>,
    ) -> Document {
        let under_way = RebuildState::InProgress.as_str();
        doc! {
            "q": { "_id": self.checkpoint, "round": integer(rebuild_id), "state": under_way },
            "u": { "$set": { "state": state.as_str(), "reason": reason } },
        }
    }

    async fn find_checkpoint(&self, slot: Slot) -> Result<Option<Document>, StoreError> {
        let name = slot.name(self.checkpoint);
        self.connection.find_by_id(CHECKPOINTS, &name).await
    }

    /// Records, in a transaction, that the shadow collections replace the live ones. From then on
    /// the replacement is certain to happen.
    async fn decide_replacement(&self, rebuild_id: u64, at: Position) -> Result<(), StoreError> {
        let slot = Slot::Shadow(rebuild_id);
        let checkpoint = self.find_checkpoint(slot).await?;
        let mut after = checkpoint.ok_or(StoreError::Fenced)?;
        let by = self.shadow_identities(rebuild_id).await?;
        after.remove("_id");
        after.insert("generation", integer(rebuild_id));
        let replacing = doc! { "round": integer(rebuild_id), "by": by };
        after.insert("replacing", replacing);
        let shadow = slot.name(self.checkpoint);
        let transactions = &self.transactions;
        let decided = transactions.transact(async |transaction| {
            let at = integer(at);
            let before = doc! { "_id": self.checkpoint, "position": at, "replacing": null };
            transaction.move_checkpoint(before, after).await?;
            let is_there = doc! { "q": { "_id": &shadow, "position": at },
            "u": { "$set": { "replaces": true } } };
            transaction
                .write(CHECKPOINTS, Vec::new(), vec![is_there])
                .await?;
            transaction.remove(CHECKPOINTS, &[&shadow]).await?;
            let ended = self.end_statement(rebuild_id, RebuildState::Done, None);
            transaction.write(REBUILDS, Vec::new(), vec![ended]).await
        });
        decided.await
    }

    /// Returns the UUID of each shadow collection, by the name of its live collection. A collection
    /// that is created later under the same name has another UUID.
    async fn shadow_identities(&self, rebuild_id: u64) -> Result<Document, StoreError> {
        let mut identities = Document::new();
        for collection in &self.collections {
            let name = Slot::Shadow(rebuild_id).name(collection);
            let identity = self.identity(&name).await?.ok_or(StoreError::Fenced)?;
            identities.insert(collection, identity);
        }
        Ok(identities)
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

    /// Finishes a recorded replacement, and removes the leftovers of ended rebuilds.
    async fn remove_obsolete(&self) -> Result<(), StoreError> {
        // Read first: a rebuild that ends meanwhile must not count as one with leftovers.
        let rebuild = self.last().await?;
        self.finish_swap().await?;
        match rebuild.ended() {
            0 => Ok(()),
            ended => self.remove_leftovers(ended).await,
        }
    }

    /// Does the renames that are left of a recorded replacement, and unblocks commits.
    async fn finish_swap(&self) -> Result<(), StoreError> {
        let row = self.find_checkpoint(Slot::Live).await?.unwrap_or_default();
        let Ok(replacing) = row.get_document("replacing") else {
            return Ok(());
        };
        let rebuild_id = Fields(replacing).position("round")?;
        let by = Fields(replacing).document("by")?;
        for (collection, identity) in by {
            let shadow = Slot::Shadow(rebuild_id).name(collection);
            let found = self.identity(&shadow).await?.map(Bson::Binary);
            // Otherwise it is renamed already, and a late writer created this one.
            if found.as_ref() == Some(identity) {
                self.rename(&shadow, collection).await?;
                failpoint("mongodb.renamed");
            }
        }
        let done = doc! {
            "q": { "_id": self.checkpoint, "replacing.round": integer(rebuild_id) },
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
            // Not on the majority, so it may be rolled back: the next attempt checks again.
            Ok(answer) if answer.contains_key("writeConcernError") => {
                let name = self.connection.name;
                let text = format!("{name}: rename of {from} not replicated to a majority");
                Err(StoreError::unavailable(text))
            }
            Ok(_) => Ok(()),
            Err(error) if code(&error) == Some(NAMESPACE_NOT_FOUND) => Ok(()),
            Err(error) => Err(store_error(self.connection.name, &error)),
        }
    }

    /// Removes the leftovers of rebuilds up to `ended`, so that a late caller never removes the
    /// output of a later rebuild.
    async fn remove_leftovers(&self, ended: u64) -> Result<(), StoreError> {
        let database = &self.connection.database;
        let names = self
            .connection
            .bounded(database.list_collection_names())
            .await?;
        for collection in &self.collections {
            let is_leftover = |name: &&String| Slot::is_shadow_of(name, collection, ended);
            for name in names.iter().filter(is_leftover) {
                let leftover = self.connection.collection(name);
                self.connection.bounded(leftover.drop()).await?;
            }
        }
        let like = doc! { "_id": { "$regex": format!("^{}_r", self.checkpoint) } };
        let found = self
            .connection
            .find(CHECKPOINTS, like, FindOptions::default());
        let ids = found.await?.into_iter();
        let ids = ids.filter_map(|row| row.get_str("_id").ok().map(str::to_owned));
        let leftovers: Vec<String> = ids
            .filter(|id| Slot::is_shadow_of(id, self.checkpoint, ended))
            .collect();
        let checkpoints = self.connection.collection(CHECKPOINTS);
        let deleted = checkpoints.delete_many(doc! { "_id": { "$in": leftovers } });
        self.connection.bounded(deleted).await.map(|_| ())
    }
}
