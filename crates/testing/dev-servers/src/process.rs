//! Server processes: each in its own process group, with its pid in a file for a later cleanup.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

use crate::files;

const PID_FILE: &str = "pid";

/// Process with all processes that it started.
pub(crate) struct Process {
    child: Child,
    group: Pid,
    pid_file: PathBuf,
}

impl Process {
    /// Starts the process in its own group; its output goes to `output.log` in `folder`.
    pub(crate) fn spawn(mut command: Command, folder: &Path) -> Result<Self> {
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("output.log"))?;
        let program = command.get_program().to_owned();
        let child = command
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let group = Pid::from_raw(i32::try_from(child.id())?);
        let pid_file = folder.join(PID_FILE);
        fs::write(&pid_file, identity(group))?;
        Ok(Self {
            child,
            group,
            pid_file,
        })
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // Fails if the process has ended already.
        let _ = killpg(self.group, signal);
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.pid_file);
    }

    /// Leaves the process running after this program; [`sweep`] of the folder ends it.
    pub(crate) fn leave(self) {}
}

/// Kills every process whose pid file is under `folder`.
pub(crate) fn sweep(folder: &Path) {
    for pid_file in files::find(folder, PID_FILE) {
        kill_by_pid_file(&pid_file);
        let _ = fs::remove_file(pid_file);
    }
}

/// Kills the process of a pid file, unless its pid belongs to another process by now.
fn kill_by_pid_file(pid_file: &Path) {
    let recorded = fs::read_to_string(pid_file).unwrap_or_default();
    let pid = recorded
        .split(' ')
        .next()
        .and_then(|pid| pid.parse().ok())
        .map(Pid::from_raw);
    if let Some(pid) = pid.filter(|pid| identity(*pid) == recorded) {
        let _ = killpg(pid, Signal::SIGKILL);
    }
}

/// Returns the pid and the start time of its process in kernel ticks, which together identify a
/// process; the pid alone on systems without `/proc`.
fn identity(pid: Pid) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name, which may contain any character; the start time is
    // the twentieth field after it (proc(5)).
    let after_name = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    let started = after_name.split_whitespace().nth(19).unwrap_or_default();
    format!("{pid} {started}")
}

/// Checks whether all threads of a process are stopped, as after SIGSTOP.
#[must_use]
pub fn has_stopped(pid: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task"));
    let mut threads = threads.into_iter().flatten().flatten().peekable();
    threads.peek().is_some()
        && threads.all(|thread| {
            let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
            // The name, in brackets, may contain any characters. A thread may have ended.
            let state = stat.rsplit_once(") ").map(|(_, after)| after);
            state.is_none_or(|state| state.starts_with('T'))
        })
}
