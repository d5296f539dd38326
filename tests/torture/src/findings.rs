//! Violated guarantees, counted by kind.

use std::collections::BTreeMap;

/// Maximum number of findings of one kind that are described.
const MAX_SHOWN: usize = 3;
/// Maximum length of a description, in characters.
const MAX_CHARS: usize = 700;

/// Violated guarantees.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Number of findings by kind.
    pub counts: BTreeMap<&'static str, u64>,
    /// Descriptions of the first findings of each kind.
    pub shown: Vec<String>,
}

impl Findings {
    /// Adds a finding.
    pub fn note(&mut self, kind: &'static str, what: impl FnOnce() -> String) {
        let count = self.counts.entry(kind).or_default();
        *count += 1;
        if *count <= MAX_SHOWN as u64 {
            let description: String = what().chars().take(MAX_CHARS).collect();
            self.shown.push(format!("{kind}: {description}"));
        }
    }

    /// Adds a finding unless the condition holds.
    pub(crate) fn expect(
        &mut self,
        holds: bool,
        kind: &'static str,
        what: impl FnOnce() -> String,
    ) {
        if !holds {
            self.note(kind, what);
        }
    }
}
