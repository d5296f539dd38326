//! The feed of one's own domain, from the presentation.

use std::sync::Arc;

use async_trait::async_trait;

use crate::ports::{EventLog, Facts, PresentationReader, StoreError};
use crate::{Frame, Position};

/// The frames that data-baker has made.
pub struct OwnFeed {
    /// Which log it is.
    pub log: Arc<dyn EventLog>,
    /// Where the frames are.
    pub presentation: Arc<dyn PresentationReader>,
}

#[async_trait]
impl Facts for OwnFeed {
    async fn epoch(&self) -> Result<String, StoreError> {
        self.log.epoch().await
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        self.presentation.frames(after, limit).await
    }

    fn is_live(&self) -> bool {
        true
    }
}
