//! Skipped tests: those whose tool is missing are reported by name at the end of `cargo xtask
//! test`, and fail on a build server.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::thread;

use crate::packages::say;

/// Environment variable with the path of the report, which has one line per skipped test.
const REPORT_VARIABLE: &str = "BAKEHOUSE_TEST_SKIPPED";
/// Environment variable that build servers set; every test must run there.
const BUILD_SERVER_VARIABLE: &str = "CI";

/// Reports that the calling test is skipped because `tool` is missing. Must be called on the thread
/// of the test, whose name is the test's name.
///
/// # Panics
/// On a build server, where every test must run.
#[expect(clippy::panic, reason = "a test that must run must not pass without")]
pub fn skip(tool: &str) {
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    if env::var_os(BUILD_SERVER_VARIABLE).is_some_and(|value| !value.is_empty()) {
        panic!("{test} cannot run: {tool} is missing, and {BUILD_SERVER_VARIABLE} is set");
    }
    say(&format!("skipped {test}: {tool} is missing"));
    let Some(report) = env::var_os(REPORT_VARIABLE) else {
        return;
    };
    // A single short write, so that lines of several processes do not interleave.
    let line = format!("{test} (no {tool})\n");
    let file = OpenOptions::new().append(true).create(true).open(report);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        say(&format!("cannot report that {test} was skipped: {error}"));
    }
}

/// Report of the skipped tests of a test run.
pub struct Report<'a>(&'a Path);

impl<'a> Report<'a> {
    /// Starts an empty report in this file.
    #[must_use]
    pub fn begin(file: &'a Path) -> Self {
        let _ = fs::remove_file(file);
        Self(file)
    }

    /// Returns the environment variable that passes the report to tests.
    #[must_use]
    pub fn variable(&self) -> (&'static str, &'a Path) {
        (REPORT_VARIABLE, self.0)
    }

    /// Returns the closing lines of a test run.
    #[must_use]
    pub fn summary(&self) -> String {
        let text = fs::read_to_string(self.0).unwrap_or_default();
        let mut skipped: Vec<&str> = text.lines().collect();
        skipped.sort_unstable();
        skipped.dedup();
        match skipped.len() {
            0 => "skipped: none".to_owned(),
            count => format!("skipped: {count}\n  {}", skipped.join("\n  ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_each_test_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("skipped");
        fs::write(&file, "left over\n").expect("written");
        let report = Report::begin(&file);
        assert_eq!(report.summary(), "skipped: none");
        fs::write(&file, "b (no npm)\na (no npm)\nb (no npm)\n").expect("written");
        assert_eq!(report.summary(), "skipped: 2\n  a (no npm)\n  b (no npm)");
    }
}
