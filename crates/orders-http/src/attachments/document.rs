//! Fields of an order's document that concern its files; the others are not parsed.

use bakehouse_engine::ports::StoredDocument;
use bakehouse_orders::File;
use serde::Deserialize;

/// Fields of an order's document that decide whether a file may be attached.
#[derive(Default, Deserialize)]
pub(super) struct DocumentFields {
    #[serde(default)]
    pub(super) attachments: Vec<File>,
    #[serde(default)]
    pub(super) timeline: Vec<TimelineEntry>,
}

/// Entry of the timeline.
#[derive(Deserialize)]
pub(super) struct TimelineEntry {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

pub(super) fn fields_of(document: &StoredDocument) -> DocumentFields {
    serde_json::from_str(document.body.get()).unwrap_or_default()
}

/// Returns the files in an order's document; its other fields are not parsed.
pub(super) fn files(document: &StoredDocument) -> Vec<File> {
    #[derive(Default, Deserialize)]
    struct Listed {
        #[serde(default)]
        attachments: Vec<File>,
    }
    let listed: Listed = serde_json::from_str(document.body.get()).unwrap_or_default();
    listed.attachments
}
