//! Whether the embedded store answers.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_pipeline::ports::Probe;

use crate::database::Database;

pub(crate) struct EmbeddedProbe(pub(crate) Arc<Database>);

#[async_trait]
impl Probe for EmbeddedProbe {
    fn name(&self) -> &str {
        "embedded store"
    }

    async fn check(&self) -> Result<(), String> {
        // A write, not a read: a full disk still reads well.
        let touch = self.0.write(|connection| {
            let statement = "UPDATE checkpoints SET entities = entities WHERE name = 'data-baker'";
            connection.prepare_cached(statement)?.execute([])?;
            Ok(())
        });
        touch.await.map_err(|error| error.to_string())
    }
}
