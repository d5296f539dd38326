//! Single services of a domain, each a process of its own, on MongoDB and RabbitMQ.

use std::process::ExitCode;

use anyhow::Result;
use bakehouse_engine::stages::baker::{self, BakerDeps};
use bakehouse_engine::stages::manager::{self, ManagerDeps};
use bakehouse_engine::stages::notifier::NotifierDeps;
use bakehouse_engine::stages::writer::{self, WriterDeps};
use bakehouse_engine::{Domain, Shutdown};

use crate::app::open_api;
use crate::faults::plant;
use crate::serve::start_api;
use crate::settings::{Configuration, DomainSettings, InvalidSetting};
use crate::{ApiContext, App, DomainApi, Settings, Tasks, http_server, notifications, servers};

/// Prefixes of the settings that every service without an API reads.
const COMMON: [&str; 13] = [
    "instance",
    "http.allowed_hosts",
    "http.public_url",
    "http.trusted_proxies",
    "http.header_timeout",
    "health.bind",
    "log.format",
    "log.filter",
    "mongodb.source_uri",
    "mongodb.initiate_replica_set",
    "amqp.uri",
    "amqp.management_uri",
    "amqp.prefix",
];

/// Prefixes of the settings of every domain that api-server reads.
const API: [&str; 12] = [
    "instance",
    "data_dir",
    "http.",
    "auth.",
    "health.stall_timeout",
    "log.",
    "mongodb.",
    "amqp.uri",
    "amqp.management_uri",
    "amqp.prefix",
    "amqp.confirm_timeout",
    "feed.",
];

impl<D: Domain, S: DomainSettings> App<D, S> {
    /// Runs events-writer: the schedule queue into the log.
    pub fn run_writer(self) -> ExitCode {
        let app = self.reads(COMMON).reads(["amqp.prefetch", "writer."]);
        app.run_service(
            |configuration| source_and_broker(&configuration.host),
            async |configuration, shutdown| {
                let settings = &configuration.host;
                let source = servers::source::<D>(settings).await?;
                let broker = servers::broker::<D>(settings)?;
                let mut tasks = Tasks::new(&shutdown);
                // Kept to the end: policies are checked and logged also without readiness checks.
                let policies = broker.policy_probe();
                let probes = vec![broker.probe(), source.probe(), policies.clone()];
                http_server::health(settings, probes, &mut tasks, &shutdown)?;
                if source.prepare(&shutdown).await {
                    let deps = WriterDeps {
                        queue: broker.consumer(),
                        log: source.log(),
                        notices: broker.notices(),
                    };
                    tasks.run(writer::run(plant(deps), settings.for_writer(), shutdown));
                }
                tasks.ended().await
            },
        )
    }

    /// Runs orders-manager: the log into the source state.
    pub fn run_manager(self) -> ExitCode {
        let app = self.reads(COMMON).reads(["manager."]);
        app.run_service(
            |configuration| source_and_broker(&configuration.host),
            async |configuration, shutdown| {
                let settings = &configuration.host;
                let source = servers::source::<D>(settings).await?;
                let broker = servers::broker::<D>(settings)?;
                let mut tasks = Tasks::new(&shutdown);
                let probes = vec![broker.probe(), source.probe()];
                http_server::health(settings, probes, &mut tasks, &shutdown)?;
                if source.prepare(&shutdown).await {
                    let deps = ManagerDeps {
                        log: source.log(),
                        source: source.source(),
                        leases: source.leases(),
                        notices: broker.notices(),
                        rebuilds: Some(source.source_rebuilds()),
                    };
                    let settings = settings.for_manager();
                    tasks.run(manager::run::<D>(plant(deps), settings, shutdown));
                }
                tasks.ended().await
            },
        )
    }

    /// Runs data-baker: the source state into documents and frames.
    pub fn run_baker(self) -> ExitCode {
        let app = self
            .reads(COMMON)
            .reads(["mongodb.presentation_uri", "baker."]);
        app.run_service(
            |configuration| all_servers(&configuration.host),
            async |configuration, shutdown| {
                let settings = &configuration.host;
                let source = servers::source::<D>(settings).await?;
                let presentation = servers::presentation::<D>(settings).await?;
                let broker = servers::broker::<D>(settings)?;
                let mut tasks = Tasks::new(&shutdown);
                let probes = vec![broker.probe(), source.probe(), presentation.probe()];
                http_server::health(settings, probes, &mut tasks, &shutdown)?;
                if source.prepare(&shutdown).await && presentation.prepare(&shutdown).await {
                    let deps = BakerDeps {
                        log: source.log(),
                        source: source.source(),
                        presentation: presentation.presentation(),
                        leases: presentation.leases(),
                        notices: broker.notices(),
                        rebuilds: Some(presentation.presentation_rebuilds()),
                    };
                    tasks.run(baker::run::<D>(plant(deps), settings.for_baker(), shutdown));
                }
                tasks.ended().await
            },
        )
    }

    /// Runs notifier: frames into notifications, and those to their recipients.
    pub fn run_notifier(self) -> ExitCode {
        let app = self
            .reads(COMMON)
            .reads(["mongodb.presentation_uri", "notify."])
            .reads(S::CHANNELS.iter().map(|key| section(key)));
        let configured = app.notifications;
        app.run_service(
            |configuration| {
                all_servers(&configuration.host)?;
                if configuration.domain.notifies() {
                    return Ok(());
                }
                let keys = S::CHANNELS.join(", ");
                Err(
                    InvalidSetting::new(&keys, "none is set, so notifications have no channel")
                        .into(),
                )
            },
            async |configuration, shutdown| {
                let settings = &configuration.host;
                let of_domain = configured(&configuration)?;
                let source = servers::source::<D>(settings).await?;
                let presentation = servers::presentation::<D>(settings).await?;
                let broker = servers::broker::<D>(settings)?;
                let mut tasks = Tasks::new(&shutdown);
                let probes = vec![broker.probe(), source.probe(), presentation.probe()];
                http_server::health(settings, probes, &mut tasks, &shutdown)?;
                let deps = NotifierDeps {
                    log: source.log(),
                    source: source.source(),
                    presentation: presentation.reader(),
                    notifications: source.notifications(),
                    leases: source.leases(),
                    notices: broker.notices(),
                };
                if let Some(of_domain) = of_domain
                    && source.prepare(&shutdown).await
                {
                    notifications::run(of_domain, deps, settings, &mut tasks, &shutdown).await;
                }
                tasks.ended().await
            },
        )
    }

    /// Runs api-server: the API, the feed, and commands for operators.
    pub fn run_api(
        self,
        api: impl FnOnce(&Configuration<S>, ApiContext<'_>) -> Result<DomainApi>,
    ) -> ExitCode {
        // Of channels it reads only whether they are on.
        let is_of_channel = |name: &str| S::CHANNELS.iter().any(|key| section(key) == name);
        let sections = S::SECTIONS.iter().filter(|name| !is_of_channel(name));
        let of_domain = sections.chain(S::CHANNELS).copied();
        let app = self.reads(API).reads(of_domain);
        let mut program = app.program();
        program.commands = Some(app.commands());
        program.check = Box::new(|configuration| all_servers(&configuration.host));
        program.start(async |configuration, shutdown| {
            let settings = &configuration.host;
            let mut tasks = Tasks::new(&shutdown);
            let mut adapters = servers::open::<D>(settings, &shutdown).await?;
            let api = open_api(api, &configuration, &mut adapters, &mut tasks, &shutdown)?;
            let notifies = configuration.domain.notifies();
            start_api::<D>(
                &adapters,
                api,
                Vec::new(),
                notifies,
                settings,
                &mut tasks,
                &shutdown,
            )?;
            tasks.ended().await
        })
    }

    /// Runs a service without an API.
    fn run_service(
        self,
        check: fn(&Configuration<S>) -> Result<()>,
        run: impl AsyncFnOnce(Configuration<S>, Shutdown) -> Result<()>,
    ) -> ExitCode {
        let mut program = self.program();
        program.health = http_server::health_address;
        program.check = Box::new(check);
        program.start(run)
    }
}

fn source_and_broker(settings: &Settings) -> Result<()> {
    settings.source_uri()?;
    settings.amqp_uri()?;
    Ok(())
}

fn all_servers(settings: &Settings) -> Result<()> {
    source_and_broker(settings)?;
    settings.presentation_uri()?;
    Ok(())
}

/// Section of a key.
fn section(key: &'static str) -> &'static str {
    key.split_once('.').map_or(key, |(section, _)| section)
}
