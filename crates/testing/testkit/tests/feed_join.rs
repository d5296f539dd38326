//! Joining the feed with a position that the store has and this process does not have yet: the
//! answer is `Unavailable`, not `Ahead`.

mod stages;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bakehouse_engine::feed::{Feed, FeedError, FeedSettings};
use bakehouse_engine::ports::{
    DocumentKey, Head, ListQuery, PresentationReader, StoreError, StoredDocument,
};
use bakehouse_engine::{Frame, Position};
use bakehouse_memory::MemoryPresentation;
use stages::Stages;

/// Presentation that returns its head, but no frames.
struct WithoutFrames(MemoryPresentation);

#[async_trait]
impl PresentationReader for WithoutFrames {
    async fn document(&self, id: &str) -> Result<Option<StoredDocument>, StoreError> {
        self.0.document(id).await
    }

    async fn list(&self, query: &ListQuery) -> Result<Vec<StoredDocument>, StoreError> {
        self.0.list(query).await
    }

    async fn list_keys(&self, query: &ListQuery) -> Result<Vec<DocumentKey>, StoreError> {
        self.0.list_keys(query).await
    }

    async fn documents(&self, numbers: &[u64]) -> Result<Vec<StoredDocument>, StoreError> {
        self.0.documents(numbers).await
    }

    async fn frames(&self, _: Position, _: usize) -> Result<Vec<Frame>, StoreError> {
        Err(StoreError::unavailable("not now"))
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.0.head().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_ahead_of_this_process_only_may_come_back() {
    let stages = Stages::new();
    let feed = Feed::new(
        Arc::new(WithoutFrames(stages.presentation.clone())),
        Arc::new(stages.log.clone()),
        FeedSettings {
            ring: 8,
            poll_interval: Duration::from_millis(50),
        },
    );
    // Separate from the baker's notices, which carry frames.
    let notices = Arc::new(bakehouse_memory::InProcessNotices::default());
    tokio::spawn(feed.clone().run(notices, stages.shutdown.clone()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(feed.epoch().is_some());
    stages.manage();
    stages.bake(10);
    stages.add("a", 3).await;
    stages.baked().await;
    assert_eq!(feed.head_position(), 0);
    for known in 1..=3 {
        let joined = feed.join(Some(known), None).await;
        assert!(matches!(joined, Err(FeedError::Unavailable)), "{known}");
    }
    let joined = feed.join(Some(4), None).await;
    assert!(matches!(joined, Err(FeedError::Ahead { head: 0 })));
    assert!(feed.join(Some(0), None).await.is_ok());
}
