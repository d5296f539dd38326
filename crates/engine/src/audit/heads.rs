//! Checkpoints of the stages, and whether they can stand where they do.

use super::auditor::Auditor;
use super::diff::Difference;
use super::report::Place;
use super::{Audit, AuditDeps, Code};
use crate::ports::{Checkpoint, Head, StoreError};
use crate::{Domain, Position};

/// How far each stage is.
pub(super) struct Heads {
    pub(super) stored: Position,
    pub(super) checkpoint: Checkpoint,
    baked: Option<Head>,
    notified: Option<Head>,
}

impl Heads {
    /// Read from the last stage to the first: none can be ahead of the one before it.
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

    /// There must be a presentation as soon as there is anything that it could show.
    fn is_missing(&self) -> bool {
        self.baked.is_none() && self.checkpoint.position > 0
    }

    pub(super) fn is_in_order(&self) -> bool {
        !self.is_missing()
            && self.baked() <= self.checkpoint.position
            && self.checkpoint.position <= self.stored
            && self.notified() <= self.checkpoint.position
    }
}

impl<D: Domain> Auditor<D> {
    /// Tells whether the stages can stand where they do.
    pub(super) fn check_heads(&mut self, heads: &Heads) {
        let Audit {
            stored, executed, ..
        } = self.audit;
        for (stage, position, before, limit) in [
            ("orders-manager", executed, "the log ends", stored),
            ("data-baker", heads.baked(), "it is executed", executed),
            ("notifier", heads.notified(), "it is executed", executed),
        ] {
            if position > limit {
                let place = Place::at(limit);
                let what = format!("{stage} has come to {position}, but {before} at {limit}");
                let differs = Difference {
                    field: format!("checkpoints.{stage}.position"),
                    expected: format!("at most {limit}").into(),
                    found: position.into(),
                };
                self.find_in(Code::WrongCheckpoint, place, differs, Some(what));
            }
        }
        if heads.is_missing() {
            let what = format!("executed up to {executed}, but there is no presentation at all");
            self.find(Code::MissingPresentation, Place::default(), &what);
        }
        let made = [
            ("data-baker", heads.baked.as_ref()),
            ("notifier", heads.notified.as_ref()),
        ];
        for (stage, head) in made {
            let Some(head) = head.filter(|head| head.epoch != self.epoch) else {
                continue;
            };
            let what = format!("what {stage} has made belongs to another log");
            let differs = Difference {
                field: format!("checkpoints.{stage}.epoch"),
                expected: self.epoch.clone().into(),
                found: head.epoch.clone().into(),
            };
            self.find_in(Code::OtherLog, Place::default(), differs, Some(what));
        }
    }
}
