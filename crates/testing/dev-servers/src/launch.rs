//! Server as a local process or a container.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::files;
use crate::process::{Process, has_stopped};

/// Name of the file with a container's id.
const ID_FILE: &str = "container";
/// Time that all threads of a paused process may take to stop.
const PAUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Description of how a server is started; it can be restarted with the same data.
pub(crate) enum Recipe {
    /// Local program.
    Local(Box<dyn Fn() -> Command + Send>),
    /// Container with the host's network, so that ports and host names are the same as for a local
    /// program.
    Docker {
        image: &'static str,
        environment: Vec<(String, String)>,
        arguments: Vec<String>,
    },
}

/// Server that can be started and killed; killed when dropped.
pub(crate) struct Launched {
    recipe: Recipe,
    folder: PathBuf,
    running: Option<Running>,
}

enum Running {
    Process(Process),
    Container(String),
}

impl Launched {
    pub(crate) fn new(recipe: Recipe, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        Ok(Self {
            recipe,
            folder: folder.to_owned(),
            running: None,
        })
    }

    pub(crate) fn start(&mut self) -> Result<()> {
        let running = match &self.recipe {
            Recipe::Local(command) => Running::Process(Process::spawn(command(), &self.folder)?),
            Recipe::Docker {
                image,
                environment,
                arguments,
            } => Running::Container(container(&self.folder, image, environment, arguments)?),
        };
        self.running = Some(running);
        Ok(())
    }

    pub(crate) fn is_alive(&mut self) -> bool {
        match &mut self.running {
            Some(Running::Process(process)) => process.is_alive(),
            Some(Running::Container(_)) => true,
            None => false,
        }
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        match &self.running {
            Some(Running::Process(process)) => Some(process.pid()),
            _ => None,
        }
    }

    /// Kills the server with SIGKILL.
    pub(crate) fn kill(&mut self) {
        match self.running.take() {
            Some(Running::Process(mut process)) => process.kill(),
            Some(Running::Container(name)) => {
                let _ = docker(&["kill", &name]);
            }
            None => {}
        }
    }

    /// Pauses the server with SIGSTOP: the kernel accepts connections, but nothing answers. Returns
    /// once all of its threads have stopped.
    pub(crate) fn pause(&self) {
        self.signal(Signal::SIGSTOP, "pause");
        let Some(pid) = self.pid() else { return };
        let end = Instant::now() + PAUSE_TIMEOUT;
        while !has_stopped(pid) && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn resume(&self) {
        self.signal(Signal::SIGCONT, "unpause");
    }

    fn signal(&self, signal: Signal, verb: &str) {
        match &self.running {
            Some(Running::Process(process)) => process.signal(signal),
            Some(Running::Container(name)) => {
                let _ = docker(&[verb, name]);
            }
            None => {}
        }
    }

    /// Runs a program in the server's container, or locally by the command `local`.
    pub(crate) fn run_next_to(&self, local: Command, arguments: &[&str]) -> Result<()> {
        self.output_next_to(local, arguments).map(|_| ())
    }

    /// Runs a program like [`Self::run_next_to`]; returns its standard output.
    pub(crate) fn output_next_to(&self, local: Command, arguments: &[&str]) -> Result<String> {
        let mut command = match &self.running {
            Some(Running::Container(name)) => {
                let mut command = Command::new("docker");
                command.args(["exec", name]).arg(file_name(&local));
                command
            }
            _ => local,
        };
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        let errors = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", errors.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Leaves the server running when this program ends.
    pub(crate) fn leave(mut self) {
        if let Some(Running::Process(process)) = self.running.take() {
            process.leave();
        }
    }
}

fn file_name(command: &Command) -> &std::ffi::OsStr {
    Path::new(command.get_program())
        .file_name()
        .unwrap_or_default()
}

impl Drop for Launched {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Creates the container on the first call, and restarts the same one later.
fn container(
    folder: &Path,
    image: &str,
    environment: &[(String, String)],
    arguments: &[String],
) -> Result<String> {
    let id_file = folder.join(ID_FILE);
    if let Ok(id) = std::fs::read_to_string(&id_file) {
        docker(&["start", &id])?;
        return Ok(id);
    }
    let variables = environment
        .iter()
        .map(|(name, value)| format!("--env={name}={value}"));
    let mut all = vec!["run".to_owned(), "--detach".into(), "--network=host".into()];
    all.push("--label=bakehouse-test".into());
    all.extend(variables);
    all.push(image.to_owned());
    all.extend(arguments.iter().cloned());
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let id = docker(&all)?.trim().to_owned();
    std::fs::write(id_file, &id)?;
    Ok(id)
}

fn docker(arguments: &[&str]) -> Result<String> {
    let output = Command::new("docker")
        .args(arguments)
        .stdin(Stdio::null())
        .output();
    let output = output.context("cannot start docker")?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "docker {}: {}",
        arguments[0],
        errors.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Removes every container whose id file is under `folder`.
pub(crate) fn remove_containers(folder: &Path) {
    for id_file in files::find(folder, ID_FILE) {
        if let Ok(id) = std::fs::read_to_string(&id_file) {
            let _ = docker(&["rm", "--force", "--volumes", id.trim()]);
        }
    }
}
