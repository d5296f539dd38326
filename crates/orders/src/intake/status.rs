//! The body of a change of status.

use bakehouse_validation::{Collector, Faults, Place, read};

use crate::{Command, Status};

/// Reads `{"status":"paid"}`.
///
/// # Errors
/// [`Faults`]: all of them.
pub fn set_status(body: &[u8]) -> Result<Command, Faults> {
    read(body, &["status"], |members, faults| {
        let at = members.require("status", faults)?;
        Some(Command::SetStatus {
            status: status(&at, faults)?,
        })
    })
}

fn status(at: &Place<'_>, faults: &mut Collector) -> Option<Status> {
    let parsed = at.string().unwrap_or_default().parse();
    let fault = |error: crate::UnknownStatus| faults.add(&at.pointer, error.to_string());
    parsed.map_err(fault).ok()
}
