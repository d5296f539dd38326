//! Readiness of a database: checks that a majority accepts and journals a write.

use async_trait::async_trait;
use bakehouse_engine::ports::Probe;
use mongodb::bson::doc;

use crate::connection::Connection;

/// Collection of the only document that the probe writes, and that document's id.
const COLLECTION: &str = "readiness";

pub(crate) struct MongoProbe(pub(crate) Connection);

#[async_trait]
impl Probe for MongoProbe {
    fn name(&self) -> &str {
        self.0.name
    }

    async fn check(&self) -> Result<(), String> {
        let collection = self.0.collection(COLLECTION);
        let filter = doc! { "_id": COLLECTION };
        let write = collection
            .update_one(filter, doc! { "$inc": { "checks": 1_i64 } })
            .upsert(true);
        let answer = self.0.bounded(write).await;
        answer.map(|_| ()).map_err(|error| error.to_string())
    }
}
