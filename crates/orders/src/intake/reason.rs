//! The body of an operator's giving an operation up.

use super::fault::Collector;
use super::json::Place;
use super::{Faults, LONGEST_REASON, fields};

/// Reads `{"reason":"typed by mistake"}`.
///
/// # Errors
/// [`Faults`]: all of them.
pub fn reason(body: &[u8]) -> Result<String, Faults> {
    let root = Place::root(body).map_err(Faults::Syntax)?;
    let mut faults = Collector::default();
    let reason = member(&root, &mut faults);
    faults.finish(reason)
}

fn member(root: &Place<'_>, faults: &mut Collector) -> Option<String> {
    let mut members = root.members(faults)?;
    let reason = members
        .require("reason", faults)
        .and_then(|at| fields::text(&at, LONGEST_REASON, faults));
    members.finish(&["reason"], faults);
    reason.map(|reason| reason.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_text_and_all_there_is() {
        let typed = br#"{"reason":" typo "}"#;
        assert_eq!(reason(typed), Ok("typo".to_owned()));
        for body in [
            r#"{}"#,
            r#"{"reason":""}"#,
            r#"{"reason":7}"#,
            r#"{"reason":"a\u0000b"}"#,
            r#"{"reason":"x","more":1}"#,
            r#"{"reason":"x","reason":"y"}"#,
            "[]",
            "{",
        ] {
            assert!(reason(body.as_bytes()).is_err(), "{body}");
        }
        let long = format!(r#"{{"reason":"{}"}}"#, "x".repeat(LONGEST_REASON + 1));
        assert!(reason(long.as_bytes()).is_err());
    }
}
