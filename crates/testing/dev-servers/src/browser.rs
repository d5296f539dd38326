//! Browser for tests: Debian's Chromium with its WebDriver.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::process::Process;
use crate::{ports, provision};

const START_TIMEOUT: Duration = Duration::from_secs(20);

/// Flags with which the browser runs without a display, as root, and without network requests of
/// its own.
const FLAGS: [&str; 9] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    "--hide-scrollbars",
];

/// WebDriver, which starts a browser for each session; killed when dropped.
pub struct WebDriver {
    port: u16,
    profile: TempDir,
    process: Process,
}

impl WebDriver {
    /// Starts the driver; `None` if it is not installed.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start() -> Result<Option<Self>> {
        let Some(program) = provision::chromedriver() else {
            return Ok(None);
        };
        let port = ports::free()?;
        let profile = TempDir::with_prefix("bakehouse-browser-")?;
        let mut command = Command::new(program);
        command.arg(format!("--port={port}"));
        let mut process = Process::spawn(command, profile.path())?;
        ports::wait(port, START_TIMEOUT, || process.is_alive())?;
        Ok(Some(Self {
            port,
            profile,
            process,
        }))
    }

    /// Returns the URL of the driver.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the command line flags of the browser.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let profile = format!("--user-data-dir={}", self.profile_folder().display());
        let flags = FLAGS.into_iter().map(str::to_owned);
        flags.chain([profile]).collect()
    }

    fn profile_folder(&self) -> std::path::PathBuf {
        self.profile.path().join("profile")
    }
}

impl Drop for WebDriver {
    fn drop(&mut self) {
        self.process.kill();
        // Browsers run in their own process groups and outlive a driver that is killed.
        kill_browsers_of(&self.profile_folder());
    }
}

fn kill_browsers_of(profile: &Path) {
    let flag = format!("--user-data-dir={}", profile.display());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().parse::<i32>();
        let command_line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let is_ours = command_line
            .split(|byte| *byte == 0)
            .any(|argument| argument == flag.as_bytes());
        if let (Ok(pid), true) = (pid, is_ours) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
