//! Body of a change of status.

use bakehouse_validation::{ErrorCollector, Faults, JsonNode, read};

use crate::{Command, Status};

/// Parses a body such as `{"status":"paid"}`.
///
/// # Errors
/// [`Faults`] with all errors of the body.
pub fn set_status(body: &[u8]) -> Result<Command, Faults> {
    read(body, &["status"], |members, faults| {
        let node = members.require("status", faults)?;
        Some(Command::SetStatus {
            status: read_status(&node, faults)?,
        })
    })
}

fn read_status(node: &JsonNode<'_>, faults: &mut ErrorCollector) -> Option<Status> {
    let parsed = node.string().unwrap_or_default().parse();
    let fault = |error: crate::UnknownStatus| faults.add(&node.pointer, error.to_string());
    parsed.map_err(fault).ok()
}
