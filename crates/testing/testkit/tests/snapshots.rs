//! data-baker folds an entity from its latest snapshot on, and not from its first event.

mod stages;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_engine::ports::{Checkpoint, Execution, Progress, SourceStore, StoreError};
use bakehouse_engine::{EntityRecord, Position};
use stages::Stages;

/// A source that remembers which snapshots it has given out.
struct Remembering {
    inner: Arc<dyn SourceStore>,
    given: Arc<Mutex<Vec<Position>>>,
}

#[async_trait]
impl Progress for Remembering {
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
        self.given.lock().expect("no panic").extend(positions);
        Ok(found)
    }
}

#[async_trait]
impl SourceStore for Remembering {
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
    let given = Arc::<Mutex<Vec<Position>>>::default();
    stages.source = Arc::new(Remembering {
        inner: stages.source.clone(),
        given: given.clone(),
    });
    stages.manage();
    stages.add("a", 11).await;
    stages.executed().await;
    // In batches of three while the source state is at the end.
    stages.bake(3);
    stages.baked().await;
    let given = given.lock().expect("no panic").clone();
    // For the batches after 6 and 9; nothing is kept before the fourth change.
    assert_eq!(given, [4, 8]);
}
