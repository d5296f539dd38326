//! Source of the domain's own feed, read from the presentation.

use std::sync::Arc;

use async_trait::async_trait;

use crate::ports::{EventLog, FeedSource, Head, PresentationReader, Progress, StoreError};
use crate::{Frame, Position};

/// Feed source of the frames that data-baker has baked.
pub struct OwnFeed {
    /// Log, which has the epoch.
    pub log: Arc<dyn EventLog>,
    /// Position up to which the log is executed.
    pub progress: Arc<dyn Progress>,
    /// Store of the frames.
    pub presentation: Arc<dyn PresentationReader>,
}

#[async_trait]
impl FeedSource for OwnFeed {
    async fn head(&self) -> Result<Head, StoreError> {
        Ok(Head {
            epoch: self.log.epoch().await?,
            // Everything that is executed is baked or about to be baked.
            position: self.progress.checkpoint().await?.position,
        })
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        self.presentation.frames(after, limit).await
    }

    fn is_live(&self) -> bool {
        true
    }
}
