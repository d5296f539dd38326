//! Server processes: each in a group of its own, with its pid in a file, so that
//! whoever cleans up later knows what to end.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

const PID_FILE: &str = "pid";

/// A process and everything that it started.
pub(crate) struct Process {
    child: Child,
    group: Pid,
    pid_file: PathBuf,
}

impl Process {
    /// Starts it in a group of its own; what it says goes to `output.log` in `folder`.
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
        fs::write(&pid_file, mark(group))?;
        Ok(Self {
            child,
            group,
            pid_file,
        })
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    pub(crate) fn signal(&self, signal: Signal) {
        // It may have ended already, which is what a signal is for.
        let _ = killpg(self.group, signal);
    }

    /// SIGTERM, and SIGKILL for what has not ended after `patience`.
    pub(crate) fn stop(&mut self, patience: Duration) {
        self.signal(Signal::SIGTERM);
        let until = Instant::now() + patience;
        while self.is_alive() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.kill();
    }

    pub(crate) fn kill(&mut self) {
        self.signal(Signal::SIGKILL);
        let _ = self.child.wait();
        let _ = fs::remove_file(&self.pid_file);
    }

    /// Leaves it running after this program: whoever [`sweep`]s the folder ends it.
    pub(crate) fn leave(self) {}
}

/// Ends every process whose pid file is somewhere under `folder`, and says how
/// many there were.
pub fn sweep(folder: &Path) -> usize {
    let mut ended = 0;
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            ended += sweep(&path);
        } else if entry.file_name() == PID_FILE {
            ended += usize::from(end(&path));
            let _ = fs::remove_file(path);
        }
    }
    ended
}

/// Ends the process of a pid file, unless its pid has been given to another
/// process since.
fn end(pid_file: &Path) -> bool {
    let noted = fs::read_to_string(pid_file).unwrap_or_default();
    let pid = noted
        .split(' ')
        .next()
        .and_then(|pid| pid.parse().ok())
        .map(Pid::from_raw);
    pid.is_some_and(|pid| mark(pid) == noted && killpg(pid, Signal::SIGKILL).is_ok())
}

/// A pid and when its process was started, in the kernel's ticks: together they
/// mean one process only. Where there is no `/proc`, the pid alone.
fn mark(pid: Pid) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The second field is the program's name, which may hold anything; the
    // start is the twentieth after it (proc(5)).
    let after_name = stat
        .rsplit_once(')')
        .map(|(_, rest)| rest)
        .unwrap_or_default();
    let started = after_name.split_whitespace().nth(19).unwrap_or_default();
    format!("{pid} {started}")
}
