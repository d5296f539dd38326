//! Number of cases that a property test runs.

use proptest::test_runner::Config;

/// Environment variable that overrides the number of cases.
const CASES_VARIABLE: &str = "PROPTEST_CASES";

/// Returns a configuration with `count` cases, unless the environment sets the number. Every
/// property test must use it: a number set in the test itself would ignore the variable.
#[must_use]
pub fn cases(count: u32) -> Config {
    choose(count, std::env::var_os(CASES_VARIABLE).is_some())
}

fn choose(count: u32, is_overridden: bool) -> Config {
    match is_overridden {
        // The default configuration reads the variable.
        true => Config::default(),
        false => Config::with_cases(count),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use super::*;

    #[test]
    fn the_environment_variable_is_respected() {
        assert_eq!(choose(7, false).cases, 7);
        assert_eq!(choose(7, true).cases, Config::default().cases);
    }

    /// Collects all Rust files below a folder.
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            match path.is_dir() {
                true => sources(&path, found),
                false if path.extension().is_some_and(|ending| ending == "rs") => found.push(path),
                false => {}
            }
        }
    }

    #[test]
    fn no_property_test_sets_its_own_number_of_cases() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..");
        let mut files = Vec::new();
        for folder in ["crates", "tests", "examples", "benches"] {
            sources(&root.join(folder), &mut files);
        }
        let (mut users, mut own) = (0, Vec::new());
        for file in files.iter().filter(|file| !file.ends_with("src/cases.rs")) {
            let text = fs::read_to_string(file).expect("a file");
            users += usize::from(text.contains("proptest_config(cases("));
            if text.contains("ProptestConfig") || text.contains("with_cases") {
                own.push(file);
            }
        }
        assert!(own.is_empty(), "{own:?}");
        assert!(users > 5, "{users} of {} files", files.len());
    }
}
