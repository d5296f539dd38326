//! Licences, sources and versions of dependencies: every package of the lock file that this
//! machine builds is checked against `deny.toml`. Unlike `cargo deny check` these tests need no
//! network, and do not check advisories.

use std::process::Command;

use bakehouse_e2e::repository::root;
use serde_json::Value;
use spdx::{Expression, ParseMode};

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Returns the metadata of all packages: the workspace's and their dependencies, dev included.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let version = Command::new("rustc").arg("-vV").output().expect("rustc");
    let version = String::from_utf8_lossy(&version.stdout).into_owned();
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    let output = Command::new(cargo)
        .args(["metadata", "--format-version=1", "--locked"])
        .args(["--filter-platform", host.expect("a host")])
        .current_dir(root())
        .output()
        .expect("cargo");
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

fn allowed() -> Vec<String> {
    let text = std::fs::read_to_string(root().join("deny.toml")).expect("deny.toml");
    let deny: toml::Table = text.parse().expect("TOML");
    let allowed = deny["licenses"]["allow"].as_array().expect("a list");
    let text = |value: &toml::Value| value.as_str().expect("text").to_owned();
    allowed.iter().map(text).collect()
}

#[test]
fn every_licence_is_allowed() {
    let allowed = allowed();
    let packages = packages();
    assert!(packages.len() > 100, "{} packages", packages.len());
    for package in &packages {
        let (name, version) = (&package["name"], &package["version"]);
        let stated = package["license"].as_str();
        let stated = stated.unwrap_or_else(|| panic!("{name} {version} states no licence"));
        let expression = Expression::parse_mode(stated, ParseMode::LAX);
        let expression = expression.unwrap_or_else(|error| panic!("{name} {version}: {error}"));
        let is_allowed = expression.evaluate(|needed| allowed.contains(&needed.to_string()));
        assert!(is_allowed, "{name} {version} is under {stated}");
    }
}

#[test]
fn every_package_comes_from_the_registry_or_the_workspace() {
    for package in packages() {
        let source = package["source"].as_str();
        let is_known = source.is_none_or(|source| source == REGISTRY);
        assert!(is_known, "{} comes from {source:?}", package["name"]);
    }
}

/// Checks that no dependency of the workspace has the version requirement `*`.
#[test]
fn every_dependency_has_a_version() {
    for package in packages()
        .iter()
        .filter(|package| package["source"].is_null())
    {
        for dependency in package["dependencies"].as_array().expect("a list") {
            let is_ours = !dependency["path"].is_null();
            let is_chosen = dependency["req"] != "*";
            assert!(
                is_ours || is_chosen,
                "{}: {}",
                package["name"],
                dependency["name"]
            );
        }
    }
}
