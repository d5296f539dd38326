//! Checkpoints of the stages.

use super::AuditDeps;
use crate::Position;
use crate::ports::{Checkpoint, Head, StoreError};

/// Checkpoint of each stage.
pub(super) struct Heads {
    pub(super) stored: Position,
    pub(super) checkpoint: Checkpoint,
    pub(super) baked: Option<Head>,
    pub(super) notified: Option<Head>,
}

impl Heads {
    /// Reads the checkpoints from the last stage to the first, so that no stage can appear to be
    /// ahead of the one before it.
    pub(super) async fn read(deps: &AuditDeps) -> Result<Self, StoreError> {
        let notified = deps.source_inspector.notified().await?;
        let baked = deps.presentation.head_if_any().await?;
        let checkpoint = deps.source.checkpoint().await?;
        let stored = deps.log.head().await?;
        Ok(Self {
            stored,
            checkpoint,
            baked,
            notified,
        })
    }

    pub(super) fn baked(&self) -> Position {
        self.baked.as_ref().map_or(0, |head| head.position)
    }

    pub(super) fn notified(&self) -> Position {
        self.notified.as_ref().map_or(0, |head| head.position)
    }

    /// Checks whether operations were executed although no presentation exists.
    pub(super) fn is_presentation_missing(&self) -> bool {
        self.baked.is_none() && self.checkpoint.position > 0
    }

    /// Checks whether no stage is ahead of the one before it and the presentation exists.
    pub(super) fn is_consistent(&self) -> bool {
        !self.is_presentation_missing()
            && self.baked() <= self.checkpoint.position
            && self.checkpoint.position <= self.stored
            && self.notified() <= self.checkpoint.position
    }
}
