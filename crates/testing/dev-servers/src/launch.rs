//! One server: a process of this machine, or a container.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::sys::signal::Signal;

use crate::files;
use crate::process::Process;

/// Holds a container's id.
const ID_FILE: &str = "container";

/// How a server is started; it can be started again with the same data.
pub(crate) enum Recipe {
    /// A program of this machine.
    Local(Box<dyn Fn() -> Command + Send>),
    /// A container with the host's network, so that ports and host names are
    /// the same as for a program.
    Docker {
        image: &'static str,
        environment: Vec<(String, String)>,
        arguments: Vec<String>,
    },
}

/// A server.
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

    /// As by SIGKILL.
    pub(crate) fn kill(&mut self) {
        match self.running.take() {
            Some(Running::Process(mut process)) => process.kill(),
            Some(Running::Container(name)) => {
                let _ = docker(&["kill", &name]);
            }
            None => {}
        }
    }

    /// As by SIGSTOP: the kernel still accepts connections, nobody answers.
    pub(crate) fn pause(&self) {
        self.freeze(Signal::SIGSTOP, "pause");
    }

    pub(crate) fn resume(&self) {
        self.freeze(Signal::SIGCONT, "unpause");
    }

    fn freeze(&self, signal: Signal, verb: &str) {
        match &self.running {
            Some(Running::Process(process)) => process.signal(signal),
            Some(Running::Container(name)) => {
                let _ = docker(&[verb, name]);
            }
            None => {}
        }
    }

    /// Runs a program beside it: in its container, or on this machine as `local` says.
    pub(crate) fn run_beside(&self, local: Command, arguments: &[&str]) -> Result<()> {
        self.output_beside(local, arguments).map(|_| ())
    }

    /// Runs a program beside the server and returns what it prints.
    pub(crate) fn output_beside(&self, local: Command, arguments: &[&str]) -> Result<String> {
        let mut command = match &self.running {
            Some(Running::Container(name)) => {
                let mut command = Command::new("docker");
                command.args(["exec", name]).arg(file_name(&local));
                command
            }
            _ => local,
        };
        let output = command.args(arguments).stdin(Stdio::null()).output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{}", said.trim());
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Leaves it running after this program.
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

/// Creates the container the first time, and starts the same one after that.
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
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "docker {}: {}",
        arguments[0],
        said.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Removes every container whose id is somewhere under `folder`.
pub(crate) fn remove_containers(folder: &Path) {
    for id_file in files::find(folder, ID_FILE) {
        if let Ok(id) = std::fs::read_to_string(&id_file) {
            let _ = docker(&["rm", "--force", "--volumes", id.trim()]);
        }
    }
}
