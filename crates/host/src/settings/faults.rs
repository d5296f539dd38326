//! Texts of the faults of settings, in words of ours.

use figment::error::{Actual, Kind};

use super::load::RENAMED;
use super::variable;

/// Text of all faults of the settings, each with its key and its source.
pub(super) fn sentence(error: figment::Error, sections: &[&str]) -> String {
    let fault = |error: figment::Error| {
        let key = error.path.join(".").to_lowercase();
        let is_variable = error
            .metadata
            .as_ref()
            .is_some_and(|source| source.name.contains("environment"));
        let place = match &error.metadata {
            _ if is_variable && !key.is_empty() => format!(" ({})", variable(&key)),
            Some(metadata) => metadata
                .source
                .as_ref()
                .map(|at| format!(" ({at})"))
                .unwrap_or_default(),
            None => String::new(),
        };
        let depth = error.path.len().saturating_sub(1);
        let section = error.path[..depth].join(".");
        let key = if key.is_empty() {
            "settings".to_owned()
        } else {
            key
        };
        format!(
            "{key}{place}: {}",
            expectation(&error.kind, &section, sections)
        )
    };
    error.into_iter().map(fault).collect::<Vec<_>>().join("; ")
}

/// Text of one fault, without the words of the libraries that read the settings. `section` is
/// where the setting stands; `sections` are those of the domain.
fn expectation(kind: &Kind, section: &str, sections: &[&str]) -> String {
    let any = |known: &[&str]| format!("`{}`", known.join("`, `"));
    match kind {
        Kind::UnknownField(_, known) => {
            let is_former = |name: &str| {
                let key = format!("{section}.{name}");
                RENAMED.iter().any(|(former, _)| *former == key)
            };
            let known = known.iter().copied().filter(|name| !is_former(name));
            let of_domain = sections.iter().copied().filter(|_| section.is_empty());
            let known: Vec<_> = known.chain(of_domain).collect();
            format!("there is no such setting; expected one of {}", any(&known))
        }
        Kind::DuplicateField(name) => {
            format!("set twice, by its current and by its former name; keep `{name}` alone")
        }
        Kind::UnknownVariant(found, known) if is_harmless(found) => {
            format!("found `{found}`, expected one of {}", any(known))
        }
        Kind::UnknownVariant(_, known) => format!("expected one of {}", any(known)),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected)
            if expected.starts_with("struct ") =>
        {
            "expected a section of settings".to_owned()
        }
        Kind::InvalidType(Actual::Str(found), expected)
        | Kind::InvalidValue(Actual::Str(found), expected)
            if !is_harmless(found) =>
        {
            format!("found a text, expected {expected}")
        }
        Kind::InvalidType(found, expected) | Kind::InvalidValue(found, expected) => {
            let expected = match expected.as_str() {
                "u8" | "u16" | "u32" | "u64" | "usize" => "a whole number from 0 on",
                "a boolean" => "`true` or `false`",
                other => other,
            };
            format!("found {found}, expected {expected}")
        }
        other => other.to_string(),
    }
}

/// True if a text may be shown: one that looks like a URI may hold a secret.
fn is_harmless(text: &str) -> bool {
    !text.contains("://") && !text.contains('@')
}
