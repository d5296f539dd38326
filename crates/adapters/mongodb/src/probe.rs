//! Readiness of a database: whether the majority takes a write onto its disks.

use async_trait::async_trait;
use bakehouse_engine::ports::Probe;
use mongodb::bson::doc;

use crate::connection::Connection;

/// Collection of the one document that is written.
const COLLECTION: &str = "readiness";

pub(crate) struct MongoProbe(pub(crate) Connection);

#[async_trait]
impl Probe for MongoProbe {
    fn name(&self) -> &str {
        self.0.name
    }

    async fn check(&self) -> Result<(), String> {
        let collection = self.0.collection(COLLECTION);
        let which = doc! { "_id": COLLECTION };
        let write = collection
            .update_one(which, doc! { "$inc": { "checks": 1_i64 } })
            .upsert(true);
        let answer = self.0.bounded(write).await;
        answer.map(|_| ()).map_err(|error| error.to_string())
    }
}
