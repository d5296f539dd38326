//! Checks that the stages' checkpoints are possible and belong to this log.

use super::auditor::Auditor;
use super::diff::Difference;
use super::heads::Heads;
use super::location::Location;
use super::{Audit, Code};
use crate::Domain;

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
