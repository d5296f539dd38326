//! data-baker folds an entity from its latest snapshot, not from its first entry.

mod stages;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use bakehouse_engine::ports::{SourceStore, StoreError};
use bakehouse_engine::{EntityRecord, Position};
use bakehouse_faults::ports::{ProgressHooks, SourceStoreHooks};
use bakehouse_faults::{Intercepted, Interceptor};
use stages::Stages;

/// Positions of the snapshots that the source store returns.
#[derive(Clone, Default)]
struct Returned(Arc<Mutex<Vec<Position>>>);

impl Interceptor for Returned {}

#[async_trait]
impl ProgressHooks for Returned {
    async fn snapshots(
        &self,
        inner: &Arc<dyn SourceStore>,
        ids: &[&str],
        up_to: Position,
    ) -> Result<HashMap<String, EntityRecord>, StoreError> {
        let found = inner.snapshots(ids, up_to).await?;
        let positions = found.values().map(|record| record.position);
        self.0.lock().expect("no panic").extend(positions);
        Ok(found)
    }
}

impl SourceStoreHooks for Returned {}

#[tokio::test(start_paused = true)]
async fn a_baker_that_is_behind_begins_with_the_latest_snapshot() {
    let mut stages = Stages::new();
    let returned = Returned::default();
    stages.source = Intercepted::with(stages.source.clone(), returned.clone());
    stages.manage();
    stages.add("a", 11).await;
    stages.executed().await;
    // Bakes in batches of three; the source state is at the end already.
    stages.bake(3);
    stages.baked().await;
    let returned = returned.0.lock().expect("no panic").clone();
    // For the batches after 6 and 9; the first snapshot is that of the fourth change.
    assert_eq!(returned, [4, 8]);
}
