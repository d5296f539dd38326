//! Tests that cannot run, because a tool is missing that only they need: reported by name at the
//! end of `cargo xtask test`, and failures on a build server.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::thread;

use crate::provision::say;

/// Path of the file that skipped tests are reported in, a line each.
const REPORT: &str = "BAKEHOUSE_TEST_SKIPPED";
/// Set by build servers: every test has to run there.
const BUILD_SERVER: &str = "CI";

/// Reports that the calling test is skipped for want of `tool`. Must be called on the thread of
/// the test, which bears its name.
///
/// # Panics
/// On a build server: a test that does not run there runs nowhere.
#[expect(clippy::panic, reason = "a test that must run must not pass without")]
pub fn skip(tool: &str) {
    let current = thread::current();
    let test = current.name().unwrap_or("a test");
    if env::var_os(BUILD_SERVER).is_some_and(|value| !value.is_empty()) {
        panic!("{test} cannot run: there is no {tool} here, and {BUILD_SERVER} is set");
    }
    say(&format!("skipped {test}: there is no {tool}"));
    let Some(report) = env::var_os(REPORT) else {
        return;
    };
    // One short write, so that lines of several processes do not mix.
    let line = format!("{test} (no {tool})\n");
    let file = OpenOptions::new().append(true).create(true).open(report);
    let written = file.and_then(|mut file| file.write_all(line.as_bytes()));
    if let Err(error) = written {
        say(&format!("cannot report that {test} was skipped: {error}"));
    }
}

/// Report of the tests that a test run skips.
pub struct Report<'a>(&'a Path);

impl<'a> Report<'a> {
    /// Begins an empty one in this file.
    #[must_use]
    pub fn begin(file: &'a Path) -> Self {
        let _ = fs::remove_file(file);
        Self(file)
    }

    /// Environment variable that names the report to tests.
    #[must_use]
    pub fn variable(&self) -> (&'static str, &'a Path) {
        (REPORT, self.0)
    }

    /// The closing line of a test run.
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
    fn the_closing_line_names_each_test_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("skipped");
        fs::write(&file, "left over\n").expect("written");
        let report = Report::begin(&file);
        assert_eq!(report.summary(), "skipped: none");
        fs::write(&file, "b (no npm)\na (no npm)\nb (no npm)\n").expect("written");
        assert_eq!(report.summary(), "skipped: 2\n  a (no npm)\n  b (no npm)");
    }
}
