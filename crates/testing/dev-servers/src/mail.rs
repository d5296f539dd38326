//! An SMTP server of one test's own: aiosmtpd, which keeps mail in a Maildir.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;
use tempfile::TempDir;

use crate::process::Process;
use crate::secured::{PASSWORD, USER};
use crate::tls::Authority;
use crate::{ports, python};

const START: Duration = Duration::from_secs(20);
const HANDLER: &str = include_str!("mailroom.py");

/// A mail server that can be started and killed.
pub struct MailServer {
    /// Where it listens, or will.
    pub port: u16,
    folder: TempDir,
    process: Option<Process>,
}

impl MailServer {
    /// One that has not been started.
    ///
    /// # Errors
    /// When no port is free, or nothing can be written.
    pub fn prepare() -> Result<Self> {
        let folder = TempDir::with_prefix("bakehouse-mail-")?;
        fs::write(folder.path().join("mailroom.py"), HANDLER)?;
        Ok(Self {
            port: ports::free()?,
            folder,
            process: None,
        })
    }

    /// Starts it and waits until it listens. It refuses addresses that start
    /// with `unknown`.
    ///
    /// # Errors
    /// When it cannot be had, or does not start.
    pub fn start(&mut self) -> Result<()> {
        let mut command = python::aiosmtpd(self.folder.path())?;
        command
            .args(["-n", "-l", &format!("127.0.0.1:{}", self.port)])
            .args(["-c", "mailroom.Mailroom"])
            .arg(self.mailbox());
        let mut process = Process::spawn(command, self.folder.path())?;
        let listens = ports::wait(self.port, START, || process.is_alive());
        self.process = Some(process);
        listens
    }

    /// Starts a server that takes mail of one user only, and only over TLS: from the first byte,
    /// or after STARTTLS.
    ///
    /// # Errors
    /// When it cannot be had, or does not start.
    pub fn start_secured(&mut self, authority: &Authority, is_implicit: bool) -> Result<()> {
        let mut command = python::script(self.folder.path(), "mailroom")?;
        command
            .args([&authority.certificate, &authority.key])
            .arg(self.port.to_string())
            .arg(if is_implicit { "implicit" } else { "starttls" })
            .args([USER, PASSWORD])
            .arg(self.mailbox());
        let mut process = Process::spawn(command, self.folder.path())?;
        let listens = ports::wait(self.port, START, || process.is_alive());
        self.process = Some(process);
        listens
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// The mails that it has got, as they came.
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
