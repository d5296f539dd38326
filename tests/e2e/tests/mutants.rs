//! Tables of `cargo xtask mutants` match the code: each mutant's `find` text occurs exactly once,
//! and the test that must fail exists.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use bakehouse_e2e::repository::root;

/// Returns all tables of mutants, each with its path.
fn tables() -> Vec<(PathBuf, toml::Table)> {
    let folder = root().join("tests/mutants");
    let files = std::fs::read_dir(folder).expect("tables");
    let read = |entry: std::fs::DirEntry| {
        let text = std::fs::read_to_string(entry.path()).expect("text");
        (entry.path(), text.parse().expect("TOML"))
    };
    files.flatten().map(read).collect()
}

/// Returns the text of all Rust files below a folder.
fn sources(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(std::fs::read_to_string(path).expect("text"));
        }
    }
    found
}

/// Returns the text of all tests that a package can run: its own and the test kit's suites.
fn tests_of(package: &str) -> String {
    let manifest = format!("name = \"{package}\"");
    let folders = [
        "crates",
        "crates/adapters",
        "crates/testing",
        "bins",
        "tests",
        "examples",
        "xtask",
    ];
    let folders = folders.iter().flat_map(|base| {
        let entries = std::fs::read_dir(root().join(base)).expect("a folder");
        entries.flatten().map(|entry| entry.path())
    });
    let own = folders.filter(|folder| {
        let text = std::fs::read_to_string(folder.join("Cargo.toml"));
        text.is_ok_and(|text| text.contains(&manifest))
    });
    let own: Vec<PathBuf> = own.collect();
    assert_eq!(own.len(), 1, "{package}: {own:?}");
    let suites = root().join("crates/testing/testkit/src/conformance");
    [sources(&own[0]), sources(&suites)].concat().concat()
}

#[test]
fn every_mutant_matches_once_and_has_its_test() {
    let mut names = BTreeSet::new();
    for (table, content) in tables() {
        let table = table.display();
        for mutant in content["mutant"].as_array().expect("mutations") {
            let text = |field: &str| {
                let value = mutant.get(field).and_then(toml::Value::as_str);
                value.unwrap_or_else(|| panic!("{table}: no {field} in {mutant}"))
            };
            let name = text("name");
            assert!(
                names.insert(name.to_owned()),
                "{table}: {name}: duplicate name"
            );
            let source = std::fs::read_to_string(root().join(text("file")));
            let source = source.unwrap_or_else(|error| panic!("{table}: {name}: {error}"));
            let count = source.matches(text("find")).count();
            assert_eq!(count, 1, "{table}: {name}: `find` must match once");
            assert_ne!(text("find"), text("replace"), "{table}: {name}");
            let test = text("test").rsplit("::").next().unwrap_or_default();
            assert!(
                tests_of(text("package")).contains(test),
                "{table}: {name}: {} has no test {test}",
                text("package")
            );
        }
    }
    assert!(names.len() > 3, "{names:?}");
}
