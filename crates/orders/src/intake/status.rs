//! The body of a change of status.

use super::Faults;
use super::fault::Collector;
use super::json::Place;
use crate::{Command, Status};

/// Reads `{"status":"paid"}`.
///
/// # Errors
/// [`Faults`]: all of them.
pub fn set_status(body: &[u8]) -> Result<Command, Faults> {
    let root = Place::root(body).map_err(Faults::Syntax)?;
    let mut faults = Collector::default();
    let status = status(&root, &mut faults);
    faults.finish(status.map(|status| Command::SetStatus { status }))
}

fn status(root: &Place<'_>, faults: &mut Collector) -> Option<Status> {
    let mut members = root.members(faults)?;
    let status = members.require("status", faults).and_then(|at| {
        let parsed = at.string().unwrap_or_default().parse();
        let fault = |error: crate::UnknownStatus| faults.add(&at.pointer, error.to_string());
        parsed.map_err(fault).ok()
    });
    members.finish(&["status"], faults);
    status
}
