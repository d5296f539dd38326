//! Checkpoints of the stages, and checks that their positions are possible.

use super::auditor::Auditor;
use super::diff::Difference;
use super::report::Location;
use super::{Audit, AuditDeps, Code};
use crate::ports::{Checkpoint, Head, StoreError};
use crate::{Domain, Position};

/// Checkpoint of each stage.
pub(super) struct Heads {
    pub(super) stored: Position,
    pub(super) checkpoint: Checkpoint,
    baked: Option<Head>,
    notified: Option<Head>,
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

    fn notified(&self) -> Position {
        self.notified.as_ref().map_or(0, |head| head.position)
    }

    /// Checks whether operations were executed although no presentation exists.
    fn is_presentation_missing(&self) -> bool {
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

impl<D: Domain> Auditor<D> {
    /// Reports checkpoints with impossible positions or of another log.
    pub(super) fn check_heads(&mut self, heads: &Heads) {
        let Audit {
            stored, executed, ..
        } = self.audit;
        for (stage, position, before, limit) in [
            ("orders-manager", executed, "the log ends", stored),
            ("data-baker", heads.baked(), "execution is", executed),
            ("notifier", heads.notified(), "execution is", executed),
        ] {
            if position > limit {
                let location = Location::position(limit);
                let what = format!("{stage} is at {position}, but {before} at {limit}");
                let difference = Difference {
                    field: format!("checkpoints.{stage}.position"),
                    expected: format!("at most {limit}").into(),
                    found: position.into(),
                };
                self.report_field(Code::WrongCheckpoint, location, difference, Some(what));
            }
        }
        if heads.is_presentation_missing() {
            let what = format!("executed up to {executed}, but the presentation is missing");
            self.report(Code::MissingPresentation, Location::default(), &what);
        }
        let outputs = [
            ("data-baker", heads.baked.as_ref()),
            ("notifier", heads.notified.as_ref()),
        ];
        for (stage, head) in outputs {
            let Some(head) = head.filter(|head| head.epoch != self.epoch) else {
                continue;
            };
            let what = format!("the output of {stage} belongs to another log");
            let difference = Difference {
                field: format!("checkpoints.{stage}.epoch"),
                expected: self.epoch.clone().into(),
                found: head.epoch.clone().into(),
            };
            self.report_field(Code::OtherLog, Location::default(), difference, Some(what));
        }
    }
}
