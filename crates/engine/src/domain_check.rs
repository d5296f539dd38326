//! Checks of a domain's names and constants.

use crate::Domain;
use crate::model::frame_kind::{DISCARDED, PARKED, REJECTED, RETRIED};

/// Names that stores, frames and queries use for other purposes.
const RESERVED_NAMES: [&str; 19] = [
    "at",
    "checkpoint",
    "code",
    "epoch",
    "event",
    "feed",
    "lease",
    "meta",
    "notification",
    "operation",
    "position",
    "read_model",
    "reason",
    "session",
    "settled",
    "since",
    "snapshot",
    "token",
    "type",
];

/// Checks whether a domain's names and constants are valid.
///
/// # Errors
/// The first invalid constant, with the reason.
pub fn check<D: Domain>() -> Result<(), String> {
    let is_word = |text: &str| {
        let letters = text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        letters && !text.is_empty()
    };
    if !is_word(D::NAME) || RESERVED_NAMES.contains(&D::NAME) {
        let name = D::NAME;
        return Err(format!(
            "NAME: expected a lower-case word that is not reserved, found {name:?}"
        ));
    }
    let reserved = [REJECTED, PARKED, RETRIED, DISCARDED];
    let is_change = |change: &&str| is_word(change) && !reserved.contains(change);
    if let Some(change) = D::CHANGES.iter().find(|change| !is_change(change)) {
        return Err(format!(
            "CHANGES: expected lower-case words other than {}, found {change:?}",
            reserved.join(", ")
        ));
    }
    if D::SNAPSHOT_INTERVAL == 0 {
        return Err("SNAPSHOT_EVERY: must be at least 1".into());
    }
    Ok(())
}
