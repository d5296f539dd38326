//! Error texts of invalid settings, without the terms of the libraries that read them.

use figment::error::{Actual, Kind};

use super::names::{RENAMED, variable};

/// Formats all errors of the settings, each with its key and its source. `sections` are those of
/// the domain.
pub(super) fn error_text(error: figment::Error, sections: &[&str]) -> String {
    let describe = |error: figment::Error| {
        let key = error.path.join(".").to_lowercase();
        let is_variable = error
            .metadata
            .as_ref()
            .is_some_and(|source| source.name.contains("environment"));
        let source = match &error.metadata {
            _ if is_variable && !key.is_empty() => format!(" ({})", variable(&key)),
            Some(metadata) => metadata
                .source
                .as_ref()
                .map(|source| format!(" ({source})"))
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
        format!("{key}{source}: {}", reason(&error.kind, &section, sections))
    };
    error
        .into_iter()
        .map(describe)
        .collect::<Vec<_>>()
        .join("; ")
}

/// Text of one error, without its key. `section` is the section of the setting; `sections` are
/// those of the domain.
fn reason(kind: &Kind, section: &str, sections: &[&str]) -> String {
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
            format!("no such setting; expected one of {}", any(&known))
        }
        Kind::DuplicateField(name) => {
            format!("set twice, by its current and by its former name; keep only `{name}`")
        }
        Kind::MissingField(name) => format!("`{name}` is required"),
        Kind::UnknownVariant(found, known) if is_harmless(found) => {
            format!("found `{found}`, expected one of {}", any(known))
        }
        Kind::UnknownVariant(_, known) => format!("expected one of {}", any(known)),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected)
            if expected.starts_with("struct ") =>
        {
            "expected a section of settings".to_owned()
        }
        Kind::InvalidType(actual, expected) | Kind::InvalidValue(actual, expected) => {
            format!(
                "found {}, expected {}",
                found(actual),
                expectation(expected)
            )
        }
        other => other.to_string(),
    }
}

/// Text for a value that was found. A text that may hold a secret is not quoted.
fn found(actual: &Actual) -> String {
    match actual {
        Actual::Bool(value) => format!("`{value}`"),
        Actual::Unsigned(number) => format!("`{number}`"),
        Actual::Signed(number) => format!("`{number}`"),
        Actual::Float(number) => format!("`{number}`"),
        Actual::Char(letter) => format!("`{letter}`"),
        Actual::Str(text) if is_harmless(text) => format!("`{text}`"),
        Actual::Str(_) => "text".to_owned(),
        Actual::Seq => "a list".to_owned(),
        Actual::Map => "a section".to_owned(),
        _ => "another kind of value".to_owned(),
    }
}

/// Text for an expected value.
fn expectation(expected: &str) -> &str {
    match expected {
        "u8" => "a whole number from 0 to 255",
        "u16" => "a whole number from 0 to 65535",
        "u32" => "a whole number from 0 to 4294967295",
        "u64" | "usize" => "a whole number from 0 on",
        "a boolean" => "`true` or `false`",
        "a string" | "path string" => "text",
        "a sequence" => "a list",
        "a map" => "a section",
        other => other,
    }
}

/// Checks whether a text may be shown: one that looks like a URI may hold a secret.
fn is_harmless(text: &str) -> bool {
    !text.contains("://") && !text.contains('@')
}
