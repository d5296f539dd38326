//! The feed of one's own domain, from the presentation.

use std::sync::Arc;

use async_trait::async_trait;

use crate::ports::{EventLog, FeedSource, Head, PresentationReader, Progress, StoreError};
use crate::{Frame, Position};

/// The frames that data-baker has made.
pub struct OwnFeed {
    /// Which log it is.
    pub log: Arc<dyn EventLog>,
    /// How far it has been executed.
    pub progress: Arc<dyn Progress>,
    /// Where the frames are.
    pub presentation: Arc<dyn PresentationReader>,
}

#[async_trait]
impl FeedSource for OwnFeed {
    async fn head(&self) -> Result<Head, StoreError> {
        Ok(Head {
            epoch: self.log.epoch().await?,
            // Whatever has been executed is baked, or is about to be.
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
