//! SMTP server for a single test: aiosmtpd, which stores mail in a Maildir.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;
use crate::secured::{PASSWORD, USER};
use crate::tls::Authority;
use crate::{ports, python};

const START_TIMEOUT: Duration = Duration::from_secs(20);
const HANDLER: &str = include_str!("mail_server.py");

/// Mail server that a test can start and kill; killed when dropped.
pub struct MailServer {
    /// Port of the server.
    pub port: u16,
    folder: TempDir,
    process: Option<Process>,
}

impl MailServer {
    /// Prepares a server without starting it.
    ///
    /// # Errors
    /// If no port is free, or its folder cannot be written.
    pub fn prepare() -> Result<Self> {
        let folder = TempDir::with_prefix("bakehouse-mail-")?;
        fs::write(folder.path().join("mail_server.py"), HANDLER)?;
        Ok(Self {
            port: ports::free()?,
            folder,
            process: None,
        })
    }

    /// Starts the server and waits until it listens. It rejects addresses that start with
    /// `unknown`.
    ///
    /// # Errors
    /// If aiosmtpd cannot be downloaded, or does not start.
    pub fn start(&mut self) -> Result<()> {
        let mut command = python::aiosmtpd(self.folder.path())?;
        command
            .args(["-n", "-l", &format!("127.0.0.1:{}", self.port)])
            .args(["-c", "mail_server.MailHandler"])
            .arg(self.mailbox());
        let mut process = Process::spawn(command, self.folder.path())?;
        let listens = ports::wait(self.port, START_TIMEOUT, || process.is_alive());
        self.process = Some(process);
        listens
    }

    /// Starts a server that accepts mail of one user only, and only over TLS: from the first byte
    /// if `is_implicit`, otherwise after STARTTLS.
    ///
    /// # Errors
    /// If aiosmtpd cannot be downloaded, or does not start.
    pub fn start_secured(&mut self, authority: &Authority, is_implicit: bool) -> Result<()> {
        let mut command = python::script(self.folder.path(), "mail_server")?;
        command
            .args([&authority.certificate, &authority.key])
            .arg(self.port.to_string())
            .arg(if is_implicit { "implicit" } else { "starttls" })
            .args([USER, PASSWORD])
            .arg(self.mailbox());
        let mut process = Process::spawn(command, self.folder.path())?;
        let listens = ports::wait(self.port, START_TIMEOUT, || process.is_alive());
        self.process = Some(process);
        listens
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Returns the mails that were accepted, as raw text.
    #[must_use]
    pub fn mails(&self) -> Vec<String> {
        let new = fs::read_dir(self.mailbox().join("new"));
        let files = new.into_iter().flatten().flatten();
        files
            .filter_map(|file| fs::read_to_string(file.path()).ok())
            .collect()
    }

    fn mailbox(&self) -> PathBuf {
        self.folder.path().join("mail")
    }
}

impl Drop for MailServer {
    fn drop(&mut self) {
        self.kill();
    }
}
