//! A RabbitMQ node of its own, with its own ports, data, and port mapper.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Result;

use crate::launch::{Launched, Recipe};
use crate::provision::{self, RabbitPrograms, Source};
use crate::{ports, shared};

const PATIENCE: Duration = Duration::from_secs(90);

/// A RabbitMQ node. Killed when dropped.
pub struct Rabbit {
    port: u16,
    folder: PathBuf,
    /// `rabbitmqctl` as it must be called for this node.
    control: Box<dyn Fn() -> Command + Send + Sync>,
    server: Launched,
    /// Erlang's port mapper. Ours, so that nothing is left behind.
    epmd: Option<Launched>,
}

impl Rabbit {
    /// Starts one for a test.
    ///
    /// # Errors
    /// When there is no RabbitMQ, or it does not come up.
    pub fn start(name: &str) -> Result<Self> {
        let mut server = Self::bare(name)?;
        server.start_again()?;
        Ok(server)
    }

    /// One for a test that has not been started.
    ///
    /// # Errors
    /// When there is no RabbitMQ.
    pub fn bare(name: &str) -> Result<Self> {
        Self::at(ports::free()?, &shared::folder(name)?)
    }

    /// One whose data is in a folder of one's choice.
    ///
    /// # Errors
    /// When there is no RabbitMQ.
    pub fn bare_in(folder: &Path) -> Result<Self> {
        Self::at(ports::free()?, folder)
    }

    pub(crate) fn at(port: u16, folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let (distribution, mapper) = (ports::free()?, ports::free()?);
        let environment = environment(port, distribution, mapper);
        let mut control = Path::new("rabbitmqctl").to_owned();
        let (recipe, epmd) = match provision::rabbitmq()? {
            Source::Local(programs) => {
                write_configuration(folder)?;
                control = programs.server.with_file_name("rabbitmqctl");
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
            control: Box::new(move || {
                let mut command = Command::new(&control);
                command
                    .env("HOME", &home)
                    .env("ERL_EPMD_PORT", mapper.to_string());
                command
            }),
            server: Launched::new(recipe, folder)?,
            epmd,
        })
    }

    /// Starts it, after it was killed, with the data it had.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        if let Some(epmd) = &mut self.epmd
            && !epmd.is_alive()
        {
            epmd.start()?;
        }
        self.server.start()?;
        ports::wait(self.port, PATIENCE, || self.server.is_alive())
    }

    /// Where it is.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@127.0.0.1:{}/%2f", self.port)
    }

    /// Whether it runs.
    pub fn is_alive(&mut self) -> bool {
        self.server.is_alive()
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// As by SIGKILL.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// It accepts connections but does not answer.
    pub fn pause(&self) {
        self.server.pause();
    }

    /// It answers again.
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Sets off the memory alarm, or ends it: while it is on, nobody who
    /// publishes is read from.
    ///
    /// # Errors
    /// When the node cannot be told.
    pub fn alarm(&self, is_on: bool) -> Result<()> {
        let mark = if is_on { "0" } else { "0.6" };
        self.tell(&["set_vm_memory_high_watermark", mark])
    }

    /// Sets a policy on the queues whose names match a pattern.
    ///
    /// # Errors
    /// When the node cannot be told.
    pub fn set_policy(&self, name: &str, pattern: &str, definition: &str) -> Result<()> {
        self.tell(&["set_policy", name, pattern, definition])
    }

    /// Removes a policy, if there is one of the name.
    pub fn clear_policy(&self, name: &str) {
        let _ = self.tell(&["clear_policy", name]);
    }

    /// Runs a command of `rabbitmqctl`.
    fn tell(&self, command: &[&str]) -> Result<()> {
        let node = format!("bakehouse{}@localhost", self.port);
        let arguments = [&["-n", &node], command].concat();
        self.server.run_beside((self.control)(), &arguments)
    }

    /// Lines that a listing command of `rabbitmqctl` prints.
    ///
    /// # Errors
    /// When the node cannot be asked.
    pub fn list(&self, what: &[&str]) -> Result<Vec<String>> {
        let node = format!("bakehouse{}@localhost", self.port);
        let arguments = [&["--quiet", "-n", &node], what].concat();
        let output = self.server.output_beside((self.control)(), &arguments)?;
        Ok(output.lines().map(str::to_owned).collect())
    }

    /// Adds lines to the configuration of a node that has not been started.
    ///
    /// # Errors
    /// When they cannot be written.
    pub(crate) fn configure(&self, lines: &str) -> Result<()> {
        let mut configuration = std::fs::OpenOptions::new()
            .append(true)
            .open(self.folder.join("rabbitmq.conf"))?;
        Ok(configuration.write_all(lines.as_bytes())?)
    }

    /// Enables the management API of a node that has not been started; the result is its URI. The
    /// API hears of changes within a second, in place of five.
    ///
    /// # Errors
    /// When the configuration cannot be written.
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

    pub(crate) fn leave(self) {
        self.server.leave();
        if let Some(epmd) = self.epmd {
            epmd.leave();
        }
    }
}

fn environment(port: u16, distribution: u16, mapper: u16) -> Vec<(String, String)> {
    // Schedulers that spin while they wait would take the processor from the
    // very programs that are being measured.
    let quiet = "+sbwt none +sbwtdcpu none +sbwtdio none";
    [
        ("RABBITMQ_NODENAME", format!("bakehouse{port}@localhost")),
        ("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1".into()),
        ("RABBITMQ_NODE_PORT", port.to_string()),
        ("RABBITMQ_DIST_PORT", distribution.to_string()),
        ("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", quiet.into()),
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
            // Erlang keeps its cookie there.
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
