//! Leases whose expiry is decided by the server's clock (`$$NOW`).

use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::ports::{Lease, Leases, StoreError};
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::ReturnDocument;

use crate::connection::Connection;
use crate::convert::{Fields, integer};

const LEASES: &str = "leases";

pub(crate) struct MongoLeases(pub(crate) Connection);

#[async_trait]
impl Leases for MongoLeases {
    async fn acquire(
        &self,
        name: &str,
        holder: &str,
        time_to_live: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        let is_expired = doc! { "$expr": { "$lte": ["$expires_at", "$$NOW"] } };
        let filter = doc! { "_id": name, "$or": [{ "holder": holder }, is_expired] };
        let is_ours = doc! { "$eq": ["$holder", { "$literal": holder }] };
        let next_epoch = doc! { "$add": ["$epoch", 1_i64] };
        let take = doc! { "$set": {
            "epoch": { "$cond": [is_ours, "$epoch", next_epoch] },
            "holder": { "$literal": holder },
            "expires_at": from_now(time_to_live),
        } };
        let take = vec![take];
        let mut taken = self.take(&filter, &take).await?;
        if taken.is_none() && self.create(name).await? {
            taken = self.take(&filter, &take).await?;
        }
        taken.as_ref().map(lease).transpose()
    }

    async fn renew(
        &self,
        name: &str,
        lease: &Lease,
        time_to_live: Duration,
    ) -> Result<bool, StoreError> {
        self.set_expiry(name, lease, time_to_live).await
    }

    async fn release(&self, name: &str, lease: &Lease) -> Result<(), StoreError> {
        self.set_expiry(name, lease, Duration::ZERO)
            .await
            .map(|_| ())
    }
}

impl MongoLeases {
    async fn take(
        &self,
        filter: &Document,
        take: &[Document],
    ) -> Result<Option<Document>, StoreError> {
        let leases = self.0.collection(LEASES);
        let taken = leases
            .find_one_and_update(filter.clone(), take.to_vec())
            .return_document(ReturnDocument::After);
        self.0.bounded(taken).await
    }

    /// Creates an expired lease without a holder, unless the lease exists: an upsert cannot use the
    /// server's time in its filter. Returns whether the lease was created.
    async fn create(&self, name: &str) -> Result<bool, StoreError> {
        let free = doc! { "epoch": 0_i64, "holder": "", "expires_at": DateTime::from_millis(0) };
        let leases = self.0.collection(LEASES);
        let create = leases
            .update_one(doc! { "_id": name }, doc! { "$setOnInsert": free })
            .upsert(true);
        let created = self.0.bounded(create).await?;
        Ok(created.upserted_id.is_some())
    }

    /// Sets the time to live of a lease, counted from now. Returns `false` if another instance
    /// holds it.
    async fn set_expiry(
        &self,
        name: &str,
        lease: &Lease,
        time_to_live: Duration,
    ) -> Result<bool, StoreError> {
        let ours = doc! {
            "_id": name, "holder": &lease.holder, "epoch": integer(lease.epoch),
        };
        let leases = self.0.collection(LEASES);
        let set = doc! { "$set": { "expires_at": from_now(time_to_live) } };
        let update = leases.update_one(ours, vec![set]);
        let updated = self.0.bounded(update).await?;
        Ok(updated.matched_count == 1)
    }
}

fn from_now(time: Duration) -> Document {
    let millis = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    doc! { "$add": ["$$NOW", millis] }
}

fn lease(row: &Document) -> Result<Lease, StoreError> {
    let fields = Fields(row);
    Ok(Lease {
        holder: fields.text("holder")?.to_owned(),
        epoch: fields.position("epoch")?,
    })
}
