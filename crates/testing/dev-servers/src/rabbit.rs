//! RabbitMQ node with its own ports, data folder and port mapper.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::launch::{Launched, Recipe};
use crate::provision::{self, RabbitPrograms, Source};
use crate::{files, ports};

const START_TIMEOUT: Duration = Duration::from_secs(90);

/// RabbitMQ node; killed when dropped.
pub struct Rabbit {
    port: u16,
    folder: PathBuf,
    /// Command `rabbitmqctl` with the environment of this node.
    rabbitmqctl: Box<dyn Fn() -> Command + Send + Sync>,
    server: Launched,
    /// Erlang's port mapper, one per node, so that it ends with the node.
    epmd: Option<Launched>,
}

impl Rabbit {
    /// Starts a node for a test.
    ///
    /// # Errors
    /// If RabbitMQ is not available, or the node does not start.
    pub fn start(name: &str) -> Result<Self> {
        let mut server = Self::bare(name)?;
        server.start_again()?;
        Ok(server)
    }

    /// Prepares a node for a test without starting it.
    ///
    /// # Errors
    /// If RabbitMQ is not available.
    pub fn bare(name: &str) -> Result<Self> {
        Self::at(ports::free()?, &files::folder(name)?)
    }

    /// Prepares a node with its data in the given folder, without starting it.
    ///
    /// # Errors
    /// If RabbitMQ is not available.
    pub fn bare_in(folder: &Path) -> Result<Self> {
        Self::at(ports::free()?, folder)
    }

    pub(crate) fn at(port: u16, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (distribution, mapper) = (ports::free()?, ports::free()?);
        let environment = environment(port, distribution, mapper);
        let mut program = Path::new("rabbitmqctl").to_owned();
        let (recipe, epmd) = match provision::rabbitmq()? {
            Source::Local(programs) => {
                write_configuration(folder)?;
                program = programs.server.with_file_name("rabbitmqctl");
                let epmd = epmd(&programs, mapper, &folder.join("epmd"))?;
                (local(programs, folder.to_owned(), environment), Some(epmd))
            }
            Source::Docker(image) => {
                let recipe = Recipe::Docker {
                    image,
                    environment,
                    arguments: Vec::new(),
                };
                (recipe, None)
            }
        };
        let home = folder.to_owned();
        Ok(Self {
            port,
            folder: folder.to_owned(),
            rabbitmqctl: Box::new(move || {
                let mut command = Command::new(&program);
                command
                    .env("HOME", &home)
                    .env("ERL_EPMD_PORT", mapper.to_string());
                command
            }),
            server: Launched::new(recipe, folder)?,
            epmd,
        })
    }

    /// Starts the node with its existing data.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        if let Some(epmd) = &mut self.epmd
            && !epmd.is_alive()
        {
            epmd.start()?;
        }
        self.server.start()?;
        ports::wait(self.port, START_TIMEOUT, || self.server.is_alive())
    }

    /// Returns the connection URI.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Checks whether the node runs.
    pub fn is_alive(&mut self) -> bool {
        self.server.is_alive()
    }

    /// Returns the AMQP port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Kills the node with SIGKILL.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Pauses the node: it accepts connections but does not answer.
    pub fn pause(&self) {
        self.server.pause();
    }

    /// Resumes a paused node.
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Raises or clears the memory alarm; while it is on, the node does not read from publishers.
    ///
    /// # Errors
    /// If `rabbitmqctl` fails.
    pub fn alarm(&self, is_on: bool) -> Result<()> {
        let watermark = if is_on { "0" } else { "0.6" };
        self.run_command(&["set_vm_memory_high_watermark", watermark])
    }

    /// Sets a policy on the queues whose names match a pattern.
    ///
    /// # Errors
    /// If `rabbitmqctl` fails.
    pub fn set_policy(&self, name: &str, pattern: &str, definition: &str) -> Result<()> {
        self.run_command(&["set_policy", name, pattern, definition])
    }

    /// Removes the policy of this name, if it exists.
    pub fn clear_policy(&self, name: &str) {
        let _ = self.run_command(&["clear_policy", name]);
    }

    /// Runs a command of `rabbitmqctl` on the node.
    fn run_command(&self, command: &[&str]) -> Result<()> {
        let node = format!("bakehouse{}@localhost", self.port);
        let arguments = [&["-n", &node], command].concat();
        self.server.run_next_to((self.rabbitmqctl)(), &arguments)
    }

    /// Returns the lines that a list command of `rabbitmqctl` prints.
    ///
    /// # Errors
    /// If `rabbitmqctl` fails.
    pub fn list(&self, what: &[&str]) -> Result<Vec<String>> {
        let node = format!("bakehouse{}@localhost", self.port);
        let arguments = [&["--quiet", "-n", &node], what].concat();
        let output = self
            .server
            .output_next_to((self.rabbitmqctl)(), &arguments)?;
        Ok(output.lines().map(str::to_owned).collect())
    }

    /// Appends lines to the configuration of a node that has not been started.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(crate) fn configure(&self, lines: &str) -> Result<()> {
        let mut configuration = std::fs::OpenOptions::new()
            .append(true)
            .open(self.folder.join("rabbitmq.conf"))?;
        Ok(configuration.write_all(lines.as_bytes())?)
    }

    /// Enables the management API of a node that has not been started; returns its URI. The API
    /// shows changes within one second instead of five.
    ///
    /// # Errors
    /// If the configuration cannot be written.
    pub fn enable_management(&self) -> Result<String> {
        let port = ports::free()?;
        let plugins = self.folder.join("enabled_plugins");
        std::fs::write(plugins, "[rabbitmq_management].\n")?;
        self.configure(&format!(
            "management.tcp.ip = 127.0.0.1\nmanagement.tcp.port = {port}\n\
             collect_statistics_interval = 1000\n"
        ))?;
        Ok(format!("http://guest:guest@127.0.0.1:{port}"))
    }

    /// Leaves the node running when this program ends.
    pub(crate) fn leave(self) {
        self.server.leave();
        if let Some(epmd) = self.epmd {
            epmd.leave();
        }
    }
}

fn environment(port: u16, distribution: u16, mapper: u16) -> Vec<(String, String)> {
    // Without busy waiting, which would take processor time from the programs under test.
    let no_busy_wait = "+sbwt none +sbwtdcpu none +sbwtdio none";
    [
        ("RABBITMQ_NODENAME", format!("bakehouse{port}@localhost")),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODE_PORT", port.to_string()),
        ("RABBITMQ_DIST_PORT", distribution.to_string()),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", no_busy_wait.into()),
        ("ERL_EPMD_PORT", mapper.to_string()),
        ("ERL_EPMD_ADDRESS", "127.0.0.1".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

fn write_configuration(folder: &Path) -> Result<()> {
    std::fs::write(folder.join("enabled_plugins"), "[].\n")?;
    std::fs::write(
        folder.join("rabbitmq.conf"),
        "disk_free_limit.absolute = 100MB\n",
    )?;
    Ok(())
}

fn local(programs: RabbitPrograms, folder: PathBuf, environment: Vec<(String, String)>) -> Recipe {
    Recipe::Local(Box::new(move || {
        let mut command = Command::new(&programs.server);
        command
            .envs(environment.iter().cloned())
            // Erlang stores its cookie in HOME.
            .env("HOME", &folder)
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("rabbitmq.pid"))
            .env(
                "RABBITMQ_ENABLED_PLUGINS_FILE",
                folder.join("enabled_plugins"),
            )
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("rabbitmq-env.conf"));
        command
    }))
}

fn epmd(programs: &RabbitPrograms, port: u16, folder: &Path) -> Result<Launched> {
    let program = programs.epmd.clone();
    let recipe = Recipe::Local(Box::new(move || {
        let mut command = Command::new(&program);
        command.args(["-address", "127.0.0.1", "-port", &port.to_string()]);
        command
    }));
    Launched::new(recipe, folder)
}
