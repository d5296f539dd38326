//! data-baker folds an entity from its latest snapshot, not from its first entry.

mod stages;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_engine::ports::{Checkpoint, Execution, Progress, SourceStore, StoreError};
use bakehouse_engine::{EntityRecord, Position};
use stages::Stages;

/// Source store that records the positions of the snapshots it returns.
struct RecordingSource {
    inner: Arc<dyn SourceStore>,
    returned: Arc<Mutex<Vec<Position>>>,
}

#[async_trait]
impl Progress for RecordingSource {
    async fn checkpoint(&self) -> Result<Checkpoint, StoreError> {
        self.inner.checkpoint().await
    }

    async fn snapshots(
        &self,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        let found = self.inner.snapshots(ids, up_to).await?;
        let positions = found.values().map(|record| record.position);
        self.returned.lock().expect("no panic").extend(positions);
        Ok(found)
    }
}

#[async_trait]
impl SourceStore for RecordingSource {
    async fn load(&self, ids: &[&str]) -> Result<HashMap<String, EntityRecord>, StoreError> {
        self.inner.load(ids).await
    }

    async fn commit(&self, execution: &Execution) -> Result<(), StoreError> {
        self.inner.commit(execution).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_baker_that_is_behind_begins_with_the_latest_snapshot() {
    let mut stages = Stages::new();
    let returned = Arc::<Mutex<Vec<Position>>>::default();
    stages.source = Arc::new(RecordingSource {
        inner: stages.source.clone(),
        returned: returned.clone(),
    });
    stages.manage();
    stages.add("a", 11).await;
    stages.executed().await;
    // Bakes in batches of three; the source state is at the end already.
    stages.bake(3);
    stages.baked().await;
    let returned = returned.lock().expect("no panic").clone();
    // For the batches after 6 and 9; the first snapshot is that of the fourth change.
    assert_eq!(returned, [4, 8]);
}
