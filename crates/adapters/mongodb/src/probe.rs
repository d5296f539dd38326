//! Whether a database answers.

use async_trait::async_trait;
use bakehouse_pipeline::ports::Probe;
use mongodb::bson::doc;

use crate::connection::Connection;

pub(crate) struct MongoProbe(pub(crate) Connection);

#[async_trait]
impl Probe for MongoProbe {
    fn name(&self) -> &str {
        self.0.name
    }

    async fn check(&self) -> Result<(), String> {
        // The default selection is the primary: one that cannot write does not answer.
        let ping = self.0.database.run_command(doc! { "ping": 1 });
        let answer = self.0.bounded(ping).await;
        answer.map(|_| ()).map_err(|error| error.to_string())
    }
}
