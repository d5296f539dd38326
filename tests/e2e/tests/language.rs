//! Rules of `docs/style.md` that a program can check: retired words, openings of doc comments,
//! names of constants, and links and length of the documentation.

use std::collections::BTreeSet;
use std::path::Path;

use bakehouse_e2e::repository::{files, root};

/// Words of earlier versions, and the words to use. `docs/style.md` has more of them, which are
/// too common in other senses to be refused here.
const RETIRED: &[(&str, &str)] = &[
    ("kitchen", "host"),
    ("menu", "API definition"),
    ("anew", "rebuild, or again"),
    ("twin", "shadow"),
    ("twofold", "rebuildable"),
    ("remedy", "resolution"),
    ("courier", "delivery worker"),
    ("announcer", "notification rules"),
    ("candidacy", "leader election"),
    ("tenure", "lease"),
    ("wishes", "subscribe request"),
    ("farewell", "close reason"),
    ("oven", "bake state"),
    ("workbench", "batch state"),
    ("footing", "execution context"),
    ("patience", "timeout, or retry policy"),
    ("goodbye", "close timeout"),
    ("whence", "from"),
    ("doors", "ports, dependencies or state"),
];

/// Openings that make a fragment of a doc comment.
const FRAGMENTS: &[&str] = &[
    "Of", "What", "Whatever", "Who", "Whoever", "Whom", "Whose", "Where", "Whether", "Why", "How",
    "So", "Nobody", "Somebody", "Anybody", "None is", "The same", "Those", "Likewise",
];

/// Endings that say the role of a constant of time.
const TIMES: &[&str] = &[
    "AGE",
    "AFTER",
    "BACKOFF",
    "BUDGET",
    "DEADLINE",
    "DELAY",
    "DURATION",
    "GRACE",
    "HOUR",
    "INTERVAL",
    "LATENCY",
    "LEEWAY",
    "LIFETIME",
    "LIMIT",
    "LIVE",
    "ALIVE",
    "OPERATION",
    "PAUSE",
    "PERIOD",
    "RESOLUTION",
    "RETENTION",
    "TICK",
    "TIME",
    "TIMEOUT",
    "TTL",
    "WINDOW",
];

const MAX_README_LINES: usize = 150;

/// Files that may name retired words, to say what to use instead.
const ABOUT_WORDS: &[&str] = &["docs/style.md", "tests/e2e/tests/language.rs"];

/// Words of a line in lower case; identifiers are split at underscores and capitals.
fn words(line: &str) -> BTreeSet<String> {
    let mut words = BTreeSet::new();
    let mut word = String::new();
    let mut was_lower = false;
    for letter in line.chars().chain([' ']) {
        let begins = letter.is_uppercase() && was_lower;
        if (!letter.is_alphabetic() || begins) && !word.is_empty() {
            words.insert(std::mem::take(&mut word));
        }
        if letter.is_alphabetic() {
            word.extend(letter.to_lowercase());
        }
        was_lower = letter.is_lowercase();
    }
    words
}

#[test]
fn retired_words_stay_retired() {
    let mut found = Vec::new();
    for (name, text) in files(&["rs", "md", "toml", "js", "ts", "html", "css", "yaml", "py"]) {
        if ABOUT_WORDS.contains(&name.as_str()) {
            continue;
        }
        for (number, line) in (1..).zip(text.lines()) {
            let words = words(line);
            for (retired, current) in RETIRED {
                if words.contains(*retired) {
                    found.push(format!("{name}:{number}: {retired}: write {current}"));
                }
            }
        }
    }
    assert!(found.is_empty(), "see docs/style.md\n{}", found.join("\n"));
}

#[test]
fn doc_comments_open_with_a_noun_phrase_or_a_verb() {
    let mut found = Vec::new();
    for (name, text) in files(&["rs"]) {
        let mut is_inside = false;
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim_start();
            let comment = line.strip_prefix("///").or(line.strip_prefix("//!"));
            let opening = comment.filter(|_| !is_inside).map(str::trim_start);
            is_inside = comment.is_some();
            let Some(opening) = opening else { continue };
            let is_fragment = |fragment: &&&str| {
                let rest = opening.strip_prefix(**fragment);
                rest.is_some_and(|rest| rest.starts_with([' ', ',', ':']))
            };
            if let Some(fragment) = FRAGMENTS.iter().find(is_fragment) {
                found.push(format!(
                    "{name}:{number}: opens with {fragment:?}: {opening}"
                ));
            }
        }
    }
    assert!(
        found.is_empty(),
        "open with a noun phrase or a third-person verb, as docs/style.md says\n{}",
        found.join("\n")
    );
}

#[test]
fn constants_of_time_say_their_role() {
    let mut found = Vec::new();
    for (name, text) in files(&["rs"]) {
        for (number, line) in (1..).zip(text.lines()) {
            let declared = line
                .trim_start()
                .rsplit_once("const ")
                .map(|(_, rest)| rest);
            let Some((constant, rest)) = declared.and_then(|rest| rest.split_once(": ")) else {
                continue;
            };
            let is_time = rest.starts_with("Duration") || rest.starts_with("std::time::Duration");
            let says = TIMES
                .iter()
                .any(|ending| constant == *ending || constant.ends_with(&format!("_{ending}")));
            if is_time && !says {
                found.push(format!("{name}:{number}: {constant}"));
            }
        }
    }
    assert!(
        found.is_empty(),
        "end with a role, such as _TIMEOUT or _INTERVAL\n{}",
        found.join("\n")
    );
}

#[test]
fn the_readme_is_short_and_links_lead_somewhere() {
    let readme = std::fs::read_to_string(root().join("README.md")).expect("a README");
    let lines = readme.lines().count();
    assert!(
        lines <= MAX_README_LINES,
        "README.md has {lines} lines, more than {MAX_README_LINES}: move details to docs/"
    );
    let mut broken = Vec::new();
    for (name, text) in files(&["md"]) {
        let folder = Path::new(&name)
            .parent()
            .unwrap_or(Path::new(""))
            .to_owned();
        for (number, line) in (1..).zip(text.lines()) {
            for target in line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split(')').next())
            {
                let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
                if target.contains("://") || target.starts_with("mailto:") {
                    continue;
                }
                let path = match file.is_empty() {
                    true => root().join(&name),
                    false => root().join(&folder).join(file),
                };
                let is_there = match anchor.is_empty() {
                    true => path.exists(),
                    false => anchors(&path).contains(anchor),
                };
                if !is_there {
                    broken.push(format!("{name}:{number}: {target}"));
                }
            }
        }
    }
    assert!(
        broken.is_empty(),
        "links lead nowhere\n{}",
        broken.join("\n")
    );
}

/// Anchors of the headings of a Markdown file, and those that it names itself.
fn anchors(file: &Path) -> BTreeSet<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let headings = text.lines().filter_map(|line| line.strip_prefix('#'));
    let mut anchors: BTreeSet<String> = headings
        .map(|heading| {
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = heading.chars().filter_map(|letter| match letter {
                ' ' => Some('-'),
                letter if letter.is_alphanumeric() || "-_".contains(letter) => Some(letter),
                _ => None,
            });
            kept.collect()
        })
        .collect();
    for attribute in ["id=\"", "name=\""] {
        let named = text.split(attribute).skip(1);
        anchors.extend(named.filter_map(|rest| rest.split('"').next().map(str::to_owned)));
    }
    anchors
}

#[test]
fn words_are_found_in_identifiers() {
    let words = words("let TwinStore = old_twin(MENU_ITEM); // Kitchens");
    for word in ["twin", "store", "menu", "kitchens", "old"] {
        assert!(words.contains(word), "{word}: {words:?}");
    }
    assert!(!words.contains("kitchen"), "{words:?}");
}
