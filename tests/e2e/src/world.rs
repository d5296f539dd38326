//! Complete running system (a world): one process with an embedded store, or four services over
//! MongoDB and RabbitMQ.

use std::collections::BTreeMap;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bakehouse_dev_servers::{ports, shared};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, Stderr};
use crate::{Client, Feed};

/// Kind of world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One process with an embedded store.
    Embedded,
    /// Four services over MongoDB and RabbitMQ.
    Servers,
}

/// Names of the four services.
pub const SERVICES: [&str; 4] = [
    "api-server",
    "events-writer",
    "orders-manager",
    "data-baker",
];
const ALL_IN_ONE: &str = "bakehouse";
/// Service that is added if a notification channel is configured.
const NOTIFIER: &str = "notifier";
/// Settings that configure notification channels.
const CHANNEL_SETTINGS: [&str; 3] = [
    "BAKEHOUSE_EMAIL__URI",
    "BAKEHOUSE_SMS__URL",
    "BAKEHOUSE_WEBHOOK__URLS",
];
/// Log line of the notifier once it has a start position.
const NOTIFIER_STARTED: &str = "notifications enabled for events after this position";

/// URIs of the servers that the four services need.
#[derive(Clone, Debug)]
pub struct Servers {
    /// URI of the source database.
    pub source: String,
    /// URI of the presentation database.
    pub presentation: String,
    /// URI of the broker.
    pub amqp: String,
}

impl Servers {
    /// Returns the shared servers, with databases named after `name`.
    #[must_use]
    pub fn shared(name: &str) -> Self {
        Self {
            source: shared::mongodb_uri(&format!("{name}-source")),
            presentation: shared::mongodb_uri(&format!("{name}-presentation")),
            amqp: shared::amqp_uri(),
        }
    }
}

/// Running system.
pub struct World {
    /// Kind of the world.
    pub kind: Kind,
    /// Base URL of its api-server.
    pub base: String,
    programs: &'static [&'static str],
    feed: &'static str,
    /// Processes by name; a second instance is called `NAME-2`.
    processes: BTreeMap<String, Process>,
    environment: Vec<(String, String)>,
    stderr: Stderr,
    folder: TempDir,
}

impl World {
    /// Starts a world, on the shared servers if it needs them, and waits until it is ready.
    pub async fn start(kind: Kind) -> Result<Self> {
        Self::start_with(kind, &[]).await
    }

    /// Starts a world with additional settings, and waits until it is ready.
    pub async fn start_with(kind: Kind, settings: &[(&str, String)]) -> Result<Self> {
        let settings: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let name = format!("e{}", uuid::Uuid::now_v7().simple());
        let mut world = match kind {
            Kind::Embedded => Self::prepare(kind, None, &settings)?,
            Kind::Servers => Self::prepare(kind, Some((&name, Servers::shared(&name))), &settings)?,
        };
        world.start_all()?;
        world.ready(Duration::from_secs(30)).await?;
        Ok(world)
    }

    /// Starts the programs of another domain, whose feed is at the path `feed`, and waits until
    /// they are ready.
    pub async fn start_domain(
        kind: Kind,
        programs: &'static [&'static str],
        feed: &'static str,
    ) -> Result<Self> {
        let mut world = Self::prepare_domain(kind, programs, feed)?;
        world.begin().await?;
        Ok(world)
    }

    /// Prepares the programs of another domain, whose feed is at the path `feed`, without starting
    /// them.
    pub fn prepare_domain(
        kind: Kind,
        programs: &'static [&'static str],
        feed: &'static str,
    ) -> Result<Self> {
        let name = format!("d{}", uuid::Uuid::now_v7().simple());
        let servers = (kind == Kind::Servers).then(|| (name.as_str(), Servers::shared(&name)));
        let mut world = Self::prepare_programs(kind, programs, servers, &[])?;
        world.feed = feed;
        Ok(world)
    }

    /// Sets a setting of all its processes, before they are started.
    pub fn set(&mut self, variable: &str, value: &str) {
        self.environment
            .push((variable.to_owned(), value.to_owned()));
        for name in self.names() {
            self.add(name, name, &[]);
        }
    }

    /// Sets a setting of one of its processes, before it is started.
    pub fn set_for(&mut self, name: &'static str, variable: &str, value: &str) {
        let more = [(variable.to_owned(), value.to_owned())];
        self.add(name, name, &more);
    }

    /// Sets the standard error of all its processes, from their next start on.
    pub fn log_to(&mut self, stderr: Stderr) {
        self.stderr = stderr;
        for process in self.processes.values_mut() {
            process.log_to(stderr);
        }
    }

    /// Starts all processes that do not run, and waits until the world is ready.
    pub async fn begin(&mut self) -> Result<()> {
        self.start_all()?;
        self.ready(Duration::from_secs(30)).await
    }

    /// Prepares a world without starting it.
    pub fn prepare(
        kind: Kind,
        servers: Option<(&str, Servers)>,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let programs: &[&str] = match kind {
            Kind::Embedded => &[ALL_IN_ONE],
            Kind::Servers => &SERVICES,
        };
        Self::prepare_programs(kind, programs, servers, settings)
    }

    fn prepare_programs(
        kind: Kind,
        programs: &'static [&'static str],
        servers: Option<(&str, Servers)>,
        settings: &[(&str, &str)],
    ) -> Result<Self> {
        let folder = TempDir::with_prefix("bakehouse-")?;
        let bind = format!("127.0.0.1:{}", ports::free()?);
        let mut environment = vec![
            ("BAKEHOUSE_HTTP__BIND".to_owned(), bind.clone()),
            (
                "BAKEHOUSE_DATA_DIR".into(),
                folder.path().join("data").display().to_string(),
            ),
        ];
        if let Some((name, servers)) = servers {
            environment.extend([
                ("BAKEHOUSE_MONGODB__SOURCE_URI".into(), servers.source),
                (
                    "BAKEHOUSE_MONGODB__PRESENTATION_URI".into(),
                    servers.presentation,
                ),
                ("BAKEHOUSE_AMQP__URI".into(), servers.amqp),
                ("BAKEHOUSE_AMQP__PREFIX".into(), format!("{name}.")),
            ]);
        }
        let owned = settings
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        environment.extend(owned);
        let mut world = Self {
            kind,
            base: format!("http://{bind}"),
            programs,
            feed: "/order-events",
            processes: BTreeMap::new(),
            environment,
            stderr: Stderr::default(),
            folder,
        };
        for name in world.names() {
            world.add(name, name, &[]);
        }
        let has_channel = settings
            .iter()
            .any(|(name, _)| CHANNEL_SETTINGS.contains(name));
        if kind == Kind::Servers && has_channel {
            world.add(NOTIFIER, NOTIFIER, &[]);
        }
        Ok(world)
    }

    /// Returns the names of the programs of this world.
    #[must_use]
    pub fn names(&self) -> &'static [&'static str] {
        self.programs
    }

    fn add(&mut self, program: &str, name: &str, more: &[(String, String)]) {
        let environment = [self.environment.as_slice(), more].concat();
        let mut process = Process::new(program, &environment, self.folder.path(), name);
        process.log_to(self.stderr);
        self.processes.insert(name.to_owned(), process);
    }

    /// Starts a second instance of a service. Returns the base URL of its API, if it has one.
    pub fn start_second(&mut self, program: &str) -> Result<String> {
        self.start_another(program, 2)
    }

    /// Starts another instance of a service, which is called `NAME-NUMBER`. Returns the base URL of
    /// its API, if it has one.
    pub fn start_another(&mut self, program: &str, number: usize) -> Result<String> {
        let base = self.prepare_another(program, number)?;
        self.process(&format!("{program}-{number}")).start()?;
        Ok(base)
    }

    /// Prepares another instance of a service without starting it. Returns the base URL of its API,
    /// if it has one.
    pub fn prepare_another(&mut self, program: &str, number: usize) -> Result<String> {
        let bind = format!("127.0.0.1:{}", ports::free()?);
        let name = format!("{program}-{number}");
        self.add(
            program,
            &name,
            &[("BAKEHOUSE_HTTP__BIND".into(), bind.clone())],
        );
        Ok(format!("http://{bind}"))
    }

    /// Runs another program on the same stores until it ends. Returns its exit code and its log.
    pub fn run_another(&mut self, program: &str, limit: Duration) -> Result<(Option<i32>, String)> {
        self.add(program, program, &[]);
        let process = self.process(program);
        process.start()?;
        let status = process.ended(limit)?;
        Ok((status.code(), process.log()))
    }

    /// Runs a command of the first program with this world's settings, and returns its output.
    pub fn operate(&self, arguments: &[&str]) -> Result<Output> {
        Ok(self.operator(arguments).output()?)
    }

    /// Prepares a command of the first program with this world's settings, without running it.
    #[must_use]
    pub fn operator(&self, arguments: &[&str]) -> Command {
        let mut command = crate::process::command(self.names()[0]);
        command.envs(self.environment.iter().cloned());
        command.args(arguments);
        command
    }

    /// Runs `doctor --json`. Returns the exit code and the report.
    pub fn doctor(&self) -> Result<(Option<i32>, Value)> {
        let output = self.operate(&["doctor", "--json"])?;
        let found = serde_json::from_slice(&output.stdout);
        let errors = || String::from_utf8_lossy(&output.stderr).into_owned();
        Ok((output.status.code(), found.with_context(errors)?))
    }

    /// Returns a process by its name.
    ///
    /// # Panics
    /// When there is no process of that name.
    pub fn process(&mut self, name: &str) -> &mut Process {
        self.processes
            .get_mut(name)
            .expect("a process of this world")
    }

    /// Starts all processes that do not run.
    pub fn start_all(&mut self) -> Result<()> {
        for process in self
            .processes
            .values_mut()
            .filter(|process| !process.is_started())
        {
            process.start()?;
        }
        Ok(())
    }

    /// Waits until api-server is ready, the feed is available and notifier has started.
    pub async fn ready(&self, limit: Duration) -> Result<()> {
        let client = self.client();
        wait(limit, "readiness", async || {
            let answer = client.get("/health/ready").await;
            answer.is_ok_and(|answer| answer.status.is_success())
                && self.has_feed().await
                && self.notifier_has_started()
        })
        .await
        .with_context(|| self.logs())
    }

    /// Returns whether the feed accepts subscriptions. If tokens are required, a 401 counts as
    /// available as well.
    async fn has_feed(&self) -> bool {
        match self.feed("").await {
            Ok(_) => true,
            Err(error) => error.to_string().contains("401"),
        }
    }

    /// Returns whether notifier, if there is one, has its start position.
    fn notifier_has_started(&self) -> bool {
        let notifier = self.processes.get(NOTIFIER);
        notifier
            .is_none_or(|process| !process.has_log() || process.log().contains(NOTIFIER_STARTED))
    }

    /// Returns the prefix of the names of its exchanges and queues.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.setting("BAKEHOUSE_AMQP__PREFIX")
    }

    /// Returns the value of a setting; empty if it is not set.
    #[must_use]
    pub fn setting(&self, variable: &str) -> &str {
        let found = self.environment.iter().find(|(name, _)| name == variable);
        found.map_or("", |(_, value)| value)
    }

    /// Returns the name of the program that sends notifications.
    #[must_use]
    pub fn notifier(&self) -> &'static str {
        match self.kind {
            Kind::Embedded => ALL_IN_ONE,
            Kind::Servers => NOTIFIER,
        }
    }

    /// Terminates all processes (SIGTERM) and checks that each exits successfully.
    pub fn stop_all(&mut self) -> Result<()> {
        let started = self.processes.iter_mut();
        for (name, process) in started.filter(|(_, process)| process.is_started()) {
            let (status, _) = process.terminate(Duration::from_secs(20))?;
            ensure!(status.success(), "{name}: {status}\n{}", process.log());
        }
        Ok(())
    }

    /// Returns the folder of its data and logs.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// Returns an HTTP client of its api-server.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// Subscribes to the feed of its api-server.
    pub async fn feed(&self, query: &str) -> Result<Feed> {
        Feed::open_at(&self.base, &format!("{}?{query}", self.feed), None).await
    }

    /// Terminates all processes and returns their complete logs. A process writes its log in a
    /// separate thread, so the log is complete only after an orderly exit.
    pub fn final_logs(&mut self) -> Result<String> {
        self.stop_all()?;
        Ok(self.logs_in_full())
    }

    /// Returns all logs, without lines that the processes have not written yet.
    #[must_use]
    pub fn logs_in_full(&self) -> String {
        self.processes.values().map(Process::log).collect()
    }

    /// Returns the last lines of all logs, for failure messages.
    #[must_use]
    pub fn logs(&self) -> String {
        let tail = |(name, process): (&String, &Process)| {
            let log = process.log();
            let lines: Vec<&str> = log.lines().rev().take(8).collect();
            let lines: Vec<&str> = lines.into_iter().rev().collect();
            format!("--- {name}\n{}\n", lines.join("\n"))
        };
        self.processes.iter().map(tail).collect()
    }
}

/// Waits until a condition holds.
///
/// # Errors
/// When it does not hold within `limit`; the message names `what` was expected.
pub async fn wait(limit: Duration, what: &str, condition: impl AsyncFn() -> bool) -> Result<()> {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        if condition().await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    bail!("no {what} within {limit:?}")
}
