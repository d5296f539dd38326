//! Planted bugs of each deployment, and the findings that must reveal them.

use bakehouse_dev_servers::power_loss::Ignored;

/// A bug: its name, the filter of faults that are most likely to show it (empty: any fault), and
/// the kinds of findings of which one must appear. A missing recovery only counts for bugs that
/// violate that guarantee.
pub(crate) type PlantedBug = (&'static str, &'static str, &'static [&'static str]);

const GAPS: &[&str] = &["gap for a subscriber"];
const LOST: &[&str] = &["lost"];
const TWICE: &[&str] = &["doubled", "accepted under another identity"];
const NOT_NOTIFIED: &[&str] = &["not notified"];
const WRONG: &[&str] = &["wrong document", "wrong list", "document without order"];
const LOST_FILE: &[&str] = &["lost file"];
/// Findings after two leaders have written conflicting state: execution cannot continue, so events
/// stay without verdicts.
const CONFLICTING_STATE: &[&str] = &[
    "no verdict",
    "wrong verdict",
    "wrong frame",
    "wrong document",
];

/// Bugs of four services.
pub(crate) const SERVERS_BUGS: [PlantedBug; 13] = [
    ("ack-before-insert", "between two writes", LOST),
    ("silent-drop", "unbound", LOST),
    ("ignored-refusal", "", LOST),
    ("unconfirmed", "", LOST),
    ("requeue-at-the-end", "", &["reordered"]),
    (
        "no-fence",
        r#"Stop("orders-manager", "orders-manager.executed""#,
        CONFLICTING_STATE,
    ),
    ("two-leaders", "", CONFLICTING_STATE),
    ("checkpoint-before-documents", "", WRONG),
    ("since-off-by-one", "", GAPS),
    ("dedup-window", "", TWICE),
    ("clock-positions", "", &["gap in the log"]),
    ("lost-wake-up", "", &["not recovered", "no verdict"]),
    ("settled-before-sent", "", NOT_NOTIFIED),
];
/// Bugs of one process.
pub(crate) const ONE_PROCESS_BUGS: [PlantedBug; 11] = [
    ("ack-before-insert", "", LOST),
    ("ignored-refusal", "", LOST),
    ("unconfirmed", "", LOST),
    ("requeue-at-the-end", "", &["reordered"]),
    ("checkpoint-before-documents", "", WRONG),
    ("since-off-by-one", "", GAPS),
    ("dedup-window", "", TWICE),
    ("settled-before-sent", "", NOT_NOTIFIED),
    ("unsynced-store", "power lost", LOST),
    ("unsynced-files", "power lost", LOST_FILE),
    ("unsynced-folders", "power lost", LOST_FILE),
];

/// Returns the sync to ignore for a bug that is planted in the model of the disk. The programs
/// themselves do not change.
#[must_use]
pub fn ignored_sync(bug: &str) -> Option<Ignored> {
    match bug {
        "unsynced-store" => Some(Ignored::Files("bakehouse.db")),
        "unsynced-files" => Some(Ignored::Below("attachments")),
        "unsynced-folders" => Some(Ignored::Folders),
        _ => None,
    }
}
