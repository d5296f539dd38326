//! Rules of the architecture: dependencies between crates, thin programs, a header in every file,
//! and small files. Each failure says how to mend it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use bakehouse_e2e::repository::{self, root};
use serde_json::Value;

/// Dependencies that each crate of the workspace may have on others, dev-dependencies aside.
const ALLOWED: &[(&str, &[&str])] = &[
    ("bakehouse-engine", &[]),
    ("bakehouse-validation", &["bakehouse-engine"]),
    (
        "bakehouse-orders",
        &["bakehouse-validation", "bakehouse-engine"],
    ),
    ("bakehouse-memory", &["bakehouse-engine"]),
    ("bakehouse-sqlite", &["bakehouse-engine"]),
    ("bakehouse-mongodb", &["bakehouse-engine"]),
    ("bakehouse-rabbitmq", &["bakehouse-engine"]),
    ("bakehouse-blob-store", &["bakehouse-engine"]),
    ("bakehouse-notification-channels", &["bakehouse-engine"]),
    (
        "bakehouse-http",
        &["bakehouse-validation", "bakehouse-engine"],
    ),
    (
        "bakehouse-orders-http",
        &["bakehouse-http", "bakehouse-orders", "bakehouse-engine"],
    ),
    ("bakehouse-faults", &["bakehouse-engine"]),
    ("bakehouse-testkit", &["bakehouse-engine"]),
    ("bakehouse-dev-servers", &[]),
    (
        "bakehouse-simulation",
        &[
            "bakehouse-engine",
            "bakehouse-faults",
            "bakehouse-memory",
            "bakehouse-testkit",
        ],
    ),
    (
        "bakehouse-host",
        &[
            "bakehouse-engine",
            // Only with the feature `fault-injection`.
            "bakehouse-faults",
            "bakehouse-http",
            "bakehouse-memory",
            "bakehouse-mongodb",
            "bakehouse-rabbitmq",
            "bakehouse-remote-feed",
            "bakehouse-sqlite",
            "bakehouse-validation",
        ],
    ),
    (
        "bakehouse-orders-app",
        &[
            "bakehouse-blob-store",
            "bakehouse-engine",
            "bakehouse-host",
            "bakehouse-notification-channels",
            "bakehouse-orders",
            "bakehouse-orders-http",
        ],
    ),
    ("api-server", PROGRAMS),
    ("events-writer", PROGRAMS),
    ("orders-manager", PROGRAMS),
    ("data-baker", PROGRAMS),
    ("notifier", PROGRAMS),
    ("bakehouse", PROGRAMS),
    ("bakehouse-remote-feed", &["bakehouse-engine"]),
    ("calculator", EXAMPLES),
    ("warehouse", EXAMPLES),
    ("bank-account", EXAMPLES),
    ("blog", EXAMPLES),
    ("todo", EXAMPLES),
    ("bakehouse-e2e", &["bakehouse-dev-servers"]),
    (
        "bakehouse-bench",
        &["bakehouse-e2e", "bakehouse-dev-servers"],
    ),
    ("bakehouse-limits", &["bakehouse-e2e"]),
    (
        "bakehouse-torture",
        // The host only for its feature: see `the_torture_uses_no_code_of_the_host`.
        &["bakehouse-e2e", "bakehouse-dev-servers", "bakehouse-host"],
    ),
    ("xtask", &[]),
    ("bakehouse-tasks", &["bakehouse-dev-servers"]),
];

/// Dependencies of examples: the host re-exports all that a domain needs.
const EXAMPLES: &[&str] = &["bakehouse-host"];

/// Dependencies of the programs of orders: each calls one function.
const PROGRAMS: &[&str] = &["bakehouse-orders-app"];

/// Crates for I/O and async that the pure crates must not depend on, directly or not.
const IMPURE: &[&str] = &[
    "tokio",
    "actix-web",
    "mongodb",
    "lapin",
    "rusqlite",
    "async-trait",
];

/// Largest file, in lines.
const MAX_FILE_LINES: usize = 500;
/// Largest example without its tests, in lines.
const MAX_EXAMPLE_LINES: usize = 200;
/// Lines at which the tests of a file begin.
const TESTS: &[&str] = &[
    "#[test]",
    "#[tokio::test]",
    "#[tokio::test(",
    "#[actix_web::test]",
    "#[cfg(test)]",
    "proptest! {",
];
/// Largest main, in lines.
const MAX_MAIN_LINES: usize = 100;

/// Crates of the workspace, as `cargo metadata` describes them.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let arguments = ["metadata", "--format-version=1", "--no-deps", "--offline"];
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(root())
        .output();
    let metadata: Value = serde_json::from_slice(&output.expect("cargo").stdout).expect("JSON");
    let packages = metadata["packages"].as_array();
    packages.expect("packages").clone()
}

/// Crates of the workspace with their dependencies, dev-dependencies aside.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let of = |package: &Value| {
        let all = package["dependencies"].as_array().expect("dependencies");
        let all = all.iter().filter(|dependency| dependency["kind"] != "dev");
        (name(package), all.map(name).collect())
    };
    packages().iter().map(of).collect()
}

/// Checks whether a line begins tests.
fn is_test(line: &str) -> bool {
    let line = line.trim();
    let begins = |start: &&str| line.starts_with(*start);
    TESTS.iter().any(begins)
}

#[test]
fn every_kind_of_test_is_known() {
    for line in [
        "    #[test]",
        "#[tokio::test]",
        "#[tokio::test(start_paused = true)]",
        "#[actix_web::test]",
        "#[cfg(test)]",
    ] {
        assert!(is_test(line), "{line}");
    }
    assert!(!is_test("// #[test]"));
}

/// A target with `test = false` in its manifest has no tests, which would never run.
#[test]
fn no_test_is_left_out() {
    let files = files();
    for package in packages() {
        for target in package["targets"].as_array().expect("targets") {
            let path = target["src_path"].as_str().expect("a path");
            let folder = Path::new(path).parent().expect("a folder");
            let folder = folder.strip_prefix(root()).expect("within");
            let is_there = |name: &str| Path::new(name).starts_with(folder);
            if target["test"] == false {
                for (name, text) in files.iter().filter(|(name, _)| is_there(name)) {
                    assert!(
                        !text.lines().any(is_test),
                        "{name}: its tests never run: remove `test = false` from the manifest"
                    );
                }
            }
        }
    }
    // The end-to-end tests are one program of many modules.
    let folder = "tests/e2e/tests/";
    let main = files
        .iter()
        .find(|(name, _)| name == "tests/e2e/tests/main.rs");
    let (_, main) = main.expect("the program of the end-to-end tests");
    for (name, _) in &files {
        let module = name
            .strip_prefix(folder)
            .and_then(|name| name.strip_suffix(".rs"));
        if let Some(module) = module.filter(|module| *module != "main") {
            let declared = format!("mod {module};");
            assert!(
                main.lines().any(|line| line == declared),
                "{name} never runs: add `{declared}` to main.rs"
            );
        }
    }
}

#[test]
fn crates_depend_only_on_what_they_may() {
    let dependencies = dependencies();
    let allowed: BTreeMap<_, _> = ALLOWED.iter().copied().collect();
    for (package, known) in &dependencies {
        let allowed = allowed.get(package.as_str());
        let allowed = allowed.unwrap_or_else(|| panic!("{package}: add it to ALLOWED"));
        for other in known.iter().filter(|name| dependencies.contains_key(*name)) {
            assert!(
                allowed.contains(&other.as_str()),
                "{package} must not depend on {other}: see the table ALLOWED"
            );
        }
    }
    assert_eq!(
        allowed.len(),
        dependencies.len(),
        "the table names crates that are gone"
    );
}

#[test]
fn the_domain_is_pure() {
    let orders = &dependencies()["bakehouse-orders"];
    for library in IMPURE {
        assert!(
            !orders.contains(&(*library).to_owned()),
            "orders must not use {library}"
        );
    }
}

/// Released programs are built without fault injection.
#[test]
fn releases_are_built_without_fault_injection() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let programs = ALLOWED.iter().filter(|(_, known)| known == &PROGRAMS);
    for (package, _) in programs {
        let arguments = [
            "tree",
            "--locked",
            "--edges=normal,features",
            "--package",
            package,
        ];
        let output = Command::new(&cargo)
            .args(arguments)
            .args(["--invert", "bakehouse-engine"])
            .current_dir(root())
            .output()
            .expect("cargo");
        let tree = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(tree.contains(&format!("{package} v")), "{tree}");
        assert!(!tree.contains("fault-injection"), "{package}: {tree}");
        assert!(!tree.contains("bakehouse-faults"), "{package}: {tree}");
    }
}

/// The torture enables a feature of the host; its checks share no code with it.
#[test]
fn the_torture_uses_no_code_of_the_host() {
    let files = files().into_iter();
    let mut torture = files.filter(|(name, _)| name.starts_with("tests/torture/"));
    let user = torture.find(|(_, text)| text.contains("bakehouse_host"));
    assert!(user.is_none(), "{user:?}");
}

/// Rust files of the workspace, by their paths from its root.
fn files() -> Vec<(String, String)> {
    repository::files(&["rs"])
}

#[test]
fn files_have_a_header_and_are_small() {
    for (name, text) in files() {
        assert!(
            text.starts_with("//! "),
            "{name}: begin with a header, `//! …`"
        );
        let limit = if name.starts_with("bins/") {
            MAX_MAIN_LINES
        } else {
            MAX_FILE_LINES
        };
        let lines = text.lines().count();
        assert!(
            lines <= limit,
            "{name} has {lines} lines, more than {limit}: split it"
        );
    }
}

/// Words between quotation marks that begin with `pattern`, in a file or in all files of a folder.
fn quoted(place: &str, pattern: &str) -> Vec<String> {
    let files = files().into_iter();
    let text: String = files
        .filter(|(name, _)| name.starts_with(place))
        .map(|(_, text)| text)
        .collect();
    let parts = text.split('"').skip(1).step_by(2);
    let is_one = |part: &&str| {
        let letters = part.strip_prefix(pattern).unwrap_or_default();
        let is_word = |letter: char| letter.is_ascii_lowercase() || "-_".contains(letter);
        !letters.is_empty() && letters.chars().all(is_word)
    };
    parts.filter(is_one).map(str::to_owned).collect()
}

#[test]
fn every_metric_and_problem_is_documented() {
    for (place, pattern, document) in [
        (
            "crates/http/src/metrics/mod.rs",
            "bakehouse_",
            "docs/operating.md",
        ),
        ("crates/http/src/response/problem/", "", "docs/problems.md"),
    ] {
        let words = quoted(place, pattern);
        assert!(words.len() > 10, "{place}: {words:?}");
        let text = std::fs::read_to_string(root().join(document)).expect("a document");
        for word in words {
            assert!(
                text.contains(&format!("`{word}`")),
                "{word}: add it to {document}"
            );
        }
    }
}

#[test]
fn engine_and_domain_name_no_adapter() {
    for (name, text) in files() {
        if name.starts_with("crates/engine/src") || name.starts_with("crates/orders/src") {
            for word in ["mongo", "rabbit", "amqp", "sqlite", "actix"] {
                assert!(
                    !text.to_lowercase().contains(word),
                    "{name} names {word}: adapters belong to crates/adapters"
                );
            }
        }
        if name.starts_with("crates/engine/src") && name != "crates/engine/src/domain.rs" {
            assert!(
                !text.contains("Orders"),
                "{name} names a domain: the engine is generic"
            );
        }
    }
}

/// Code that only one example needs belongs into that example.
#[test]
fn the_engine_knows_no_example() {
    let examples = std::fs::read_dir(root().join("examples")).expect("a folder");
    let examples: Vec<_> = examples
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert!(!examples.is_empty());
    for (name, text) in files() {
        let is_engine = name.starts_with("crates/") || name.starts_with("bins/");
        for example in examples.iter().filter(|_| is_engine) {
            assert!(
                !text.to_lowercase().contains(example.as_str()),
                "{name} names the example {example}: move that code into it"
            );
        }
    }
}

#[test]
fn the_domains_of_examples_are_small() {
    let domains = files().into_iter();
    for (name, text) in
        domains.filter(|(name, _)| name.starts_with("examples/") && name.contains("domain"))
    {
        let rules = text.split("#[cfg(test)]").next().unwrap_or_default();
        let lines = rules.lines().count();
        assert!(
            lines <= MAX_EXAMPLE_LINES,
            "{name} has {lines} lines, more than {MAX_EXAMPLE_LINES}: keep examples small"
        );
    }
}

/// Overrides of the test runner name tests that exist.
#[test]
fn overrides_of_the_test_runner_match_tests() {
    let settings = std::fs::read_to_string(root().join(".config/nextest.toml")).expect("settings");
    let sources: String = files().into_iter().map(|(_, text)| text).collect();
    let mut count = 0;
    for patterns in settings.split("test(/").skip(1) {
        let patterns = patterns.split("/)").next().unwrap_or_default();
        for name in patterns.split('|') {
            let is_there = sources
                .lines()
                .any(|line| line.contains("fn ") && line.contains(name));
            assert!(
                is_there,
                "{name}: no test has this in its name; mend .config/nextest.toml"
            );
            count += 1;
        }
    }
    assert!(count > 3, "{count}");
}
