//! Child processes of the real programs.

use std::fs::File;
use std::io::PipeReader;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bakehouse_dev_servers::has_stopped;
use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Variable with the folder of the programs; by default that of the running test.
const BIN_DIR_VARIABLE: &str = "BAKEHOUSE_TEST_BIN_DIR";

/// Returns the path of a program of this workspace.
///
/// # Panics
/// When the program has not been built.
fn program(name: &str) -> PathBuf {
    let default_folder = || {
        let this = std::env::current_exe().ok()?;
        // target/PROFILE/deps/TEST, or target/PROFILE/PROGRAM
        let folder = this.parent()?;
        let is_deps = folder.file_name().is_some_and(|name| name == "deps");
        Some(if is_deps {
            folder.parent()?.to_owned()
        } else {
            folder.to_owned()
        })
    };
    let folder = std::env::var_os(BIN_DIR_VARIABLE)
        .map(PathBuf::from)
        .or_else(default_folder)
        .unwrap_or_default();
    let program = folder.join(name);
    let hint = "run `cargo xtask test`, or `cargo build --workspace` first";
    assert!(
        program.exists(),
        "{} has not been built: {hint}",
        program.display()
    );
    program
}

/// Prepares a command that runs a program of this workspace, without the `BAKEHOUSE_*` variables
/// of the test's own environment.
#[must_use]
pub fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    for (variable, _) in std::env::vars().filter(|(name, _)| name.starts_with("BAKEHOUSE")) {
        command.env_remove(variable);
    }
    command
}

/// Smallest capacity of a pipe, in bytes: one page.
const PIPE_SIZE: i32 = 4_096;

/// Destination of the standard error of a process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stderr {
    /// File that [`Process::log`] reads.
    #[default]
    File,
    /// Pipe without a reader.
    Closed,
    /// Device that is always full.
    Full,
    /// Small pipe that is never read.
    Unread,
    /// Small pipe that is never read, in non-blocking mode.
    UnreadNonBlocking,
}

/// Process of a service, running or not.
pub struct Process {
    name: String,
    environment: Vec<(String, String)>,
    log: PathBuf,
    stderr: Stderr,
    /// Reader's end of its standard error, if that is a pipe.
    reader: Option<PipeReader>,
    child: Option<Child>,
}

impl Process {
    /// Describes a process without starting it; it logs to `TAG.log` in `folder`.
    #[must_use]
    pub fn new(name: &str, environment: &[(String, String)], folder: &Path, tag: &str) -> Self {
        Self {
            name: name.to_owned(),
            environment: environment.to_vec(),
            log: folder.join(format!("{tag}.log")),
            stderr: Stderr::default(),
            reader: None,
            child: None,
        }
    }

    /// Sets the destination of its standard error, from its next start on.
    pub fn log_to(&mut self, stderr: Stderr) {
        self.stderr = stderr;
    }

    /// Returns whether [`Process::log`] can read its standard error.
    #[must_use]
    pub fn has_log(&self) -> bool {
        self.stderr == Stderr::File
    }

    /// Closes the reader's end of its standard error, if that is a pipe.
    pub fn close_stderr(&mut self) {
        self.reader = None;
    }

    /// Opens the standard error of the next start.
    fn stderr(&mut self) -> Result<Stdio> {
        self.reader = None;
        Ok(match self.stderr {
            Stderr::File => {
                let log = File::options().create(true).append(true).open(&self.log)?;
                log.into()
            }
            Stderr::Full => File::options().write(true).open("/dev/full")?.into(),
            Stderr::Closed => std::io::pipe()?.1.into(),
            Stderr::Unread | Stderr::UnreadNonBlocking => {
                let (reader, writer) = std::io::pipe()?;
                fcntl(&writer, FcntlArg::F_SETPIPE_SZ(PIPE_SIZE))?;
                if self.stderr == Stderr::UnreadNonBlocking {
                    fcntl(&writer, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
                }
                self.reader = Some(reader);
                writer.into()
            }
        })
    }

    /// Starts the process.
    pub fn start(&mut self) -> Result<()> {
        self.start_with(&[])
    }

    /// Starts the process with additional environment variables, for this start only.
    pub fn start_with(&mut self, more: &[(String, String)]) -> Result<()> {
        let stderr = self.stderr()?;
        let mut command = command(&self.name);
        command.envs(self.environment.iter().chain(more).cloned());
        let command = command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(stderr).spawn();
        self.child = Some(child.with_context(|| format!("cannot start {}", self.name))?);
        Ok(())
    }

    /// Returns its process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Returns whether it has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let ended = self.child.as_mut().map(Child::try_wait);
        let has_ended = matches!(ended, Some(Ok(Some(_))));
        if has_ended {
            self.child = None;
        }
        has_ended
    }

    /// Returns whether it is stopped, as after SIGSTOP.
    pub fn is_stopped(&mut self) -> bool {
        self.pid().is_some_and(has_stopped)
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        if let Some(child) = &self.child {
            let _ = kill(Pid::from_raw(child.id().cast_signed()), signal);
        }
    }

    /// Sends SIGTERM and waits for the end. Returns the exit status and the time it took.
    pub fn terminate(&mut self, limit: Duration) -> Result<(ExitStatus, Duration)> {
        self.signal(Signal::SIGTERM);
        let started = Instant::now();
        let status = self.ended(limit).context("after SIGTERM")?;
        Ok((status, started.elapsed()))
    }

    /// Waits until it has ended by itself, and returns its exit status. After `limit` it is killed.
    pub fn ended(&mut self, limit: Duration) -> Result<ExitStatus> {
        let until = Instant::now() + limit;
        let mut child = self.child.take().context("the process is not running")?;
        while Instant::now() < until {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = child.kill();
        let _ = child.wait();
        bail!("{} has not ended within {limit:?}", self.name)
    }

    /// Returns the text that it has logged; empty before its first start.
    #[must_use]
    pub fn log(&self) -> String {
        let bytes = std::fs::read(&self.log).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns whether it was started, and neither killed nor terminated since.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.child.is_some()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
