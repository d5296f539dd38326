//! A real browser: Debian's Chromium behind its own WebDriver.

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

const START: Duration = Duration::from_secs(20);

/// What a browser needs to run without a screen, as root, and without asking
/// anybody for anything.
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

/// A WebDriver, which starts a browser for each session.
pub struct WebDriver {
    port: u16,
    profile: TempDir,
    process: Process,
}

impl WebDriver {
    /// Starts one; `None` on a machine where there is none, nor can be.
    ///
    /// # Errors
    /// When it does not start.
    pub fn start() -> Result<Option<Self>> {
        let Some(program) = provision::chromedriver() else {
            return Ok(None);
        };
        let port = ports::free()?;
        let profile = TempDir::with_prefix("bakehouse-browser-")?;
        let mut command = Command::new(program);
        command.arg(format!("--port={port}"));
        let mut process = Process::spawn(command, profile.path())?;
        ports::wait(port, START, || process.is_alive())?;
        Ok(Some(Self {
            port,
            profile,
            process,
        }))
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How the browser is to be started.
    #[must_use]
    pub fn flags(&self) -> Vec<String> {
        let profile = format!("--user-data-dir={}", self.data().display());
        let flags = FLAGS.into_iter().map(str::to_owned);
        flags.chain([profile]).collect()
    }

    fn data(&self) -> std::path::PathBuf {
        self.profile.path().join("profile")
    }
}

impl Drop for WebDriver {
    fn drop(&mut self) {
        self.process.kill();
        // Browsers are in process groups of their own, and outlive a driver that
        // was not told to end them.
        end_all_that_use(&self.data());
    }
}

fn end_all_that_use(profile: &Path) {
    let flag = format!("--user-data-dir={}", profile.display());
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let pid = entry.file_name().to_string_lossy().parse::<i32>();
        let called = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let is_ours = called
            .split(|byte| *byte == 0)
            .any(|argument| argument == flag.as_bytes());
        if let (Ok(pid), true) = (pid, is_ours) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
