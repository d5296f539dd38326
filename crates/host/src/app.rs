//! Program of a domain, from its command line to its exit code: all services in one process, or a
//! single service on MongoDB and RabbitMQ.

use std::marker::PhantomData;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Result, anyhow, ensure};
use bakehouse_engine::feed::Feed;
use bakehouse_engine::handlers::{ProcessManager, ReadModel, process, read_model};
use bakehouse_engine::ports::{EventLog, PresentationReader, Probe};
use bakehouse_engine::{Domain, Shutdown, check, private_files};
use bakehouse_http::ApiDefinition;
use bakehouse_sqlite::{FILE_NAME, SqliteStore};

use crate::cli::Program;
use crate::commands::{ATTACHMENTS, BlobsOf, DomainStores, run_task};
use crate::notifications::Notifications;
use crate::settings::{Configuration, DomainSettings, Mode, NoSettings};
use crate::{Adapters, Handlers, Settings, Tasks, http_server, serve};

/// Program of a domain, its handlers, and what it adds to the host.
///
/// `S` are the settings of the domain. The simplest program is
/// `App::<D>::new("name", "what it does").serve(api)`.
pub struct App<D, S = NoSettings> {
    pub(crate) name: &'static str,
    about: &'static str,
    /// Prefixes of the settings that the program reads; empty: all.
    settings: Vec<&'static str>,
    is_in_namespace: bool,
    handlers: Handlers,
    pub(crate) notifications: fn(&Configuration<S>) -> Result<Option<Notifications>>,
    blobs: BlobsOf<S>,
    domain: PhantomData<fn() -> D>,
}

/// Dependencies of a domain's API.
pub struct ApiContext<'a> {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Documents and frames.
    pub presentation: Arc<dyn PresentationReader>,
    /// Hub of the feed.
    pub feed: Arc<Feed>,
    /// Tasks of the process: background tasks of the API run among them.
    pub tasks: &'a mut Tasks,
    /// Signal to end.
    pub shutdown: &'a Shutdown,
}

/// API of a domain.
pub struct DomainApi {
    /// Its routes and names.
    pub definition: ApiDefinition,
    /// Readiness checks of its own dependencies.
    pub probes: Vec<Arc<dyn Probe>>,
}

impl From<ApiDefinition> for DomainApi {
    fn from(definition: ApiDefinition) -> Self {
        let probes = Vec::new();
        Self { definition, probes }
    }
}

/// Runs the program of a domain without handlers: see [`App`].
pub fn main<D: Domain>(name: &'static str, about: &'static str, api: ApiDefinition) -> ExitCode {
    App::<D>::new(name, about).serve(api)
}

impl<D: Domain, S: DomainSettings> App<D, S> {
    /// Creates a program with this name and description, without handlers and notifications.
    #[must_use]
    pub fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            settings: Vec::new(),
            is_in_namespace: true,
            handlers: Handlers::default(),
            notifications: |_| Ok(None),
            blobs: |_| Ok(None),
            domain: PhantomData,
        }
    }

    /// Adds a read model.
    #[must_use]
    pub fn read_model<M: ReadModel>(mut self) -> Self {
        self.handlers.read_models.push(read_model::<M>());
        self
    }

    /// Adds a process manager.
    #[must_use]
    pub fn process<P: ProcessManager>(mut self) -> Self {
        self.handlers.processes.push(process::<P>());
        self
    }

    /// Sets rules and channels of notifications; `None` where none are configured.
    #[must_use]
    pub fn notifications(
        mut self,
        notifications: fn(&Configuration<S>) -> Result<Option<Notifications>>,
    ) -> Self {
        self.notifications = notifications;
        self
    }

    /// Sets the store of blobs, opened to be read, that `doctor` checks.
    #[must_use]
    pub fn blobs(mut self, blobs: BlobsOf<S>) -> Self {
        self.blobs = blobs;
        self
    }

    /// Uses folder and queues as the settings name them, not a folder and a prefix of the
    /// domain's own.
    #[must_use]
    pub fn without_namespace(mut self) -> Self {
        self.is_in_namespace = false;
        self
    }

    /// Adds prefixes of settings that the program reads, for `--help`.
    #[cfg(feature = "servers")]
    #[must_use]
    pub(crate) fn reads(mut self, prefixes: impl IntoIterator<Item = &'static str>) -> Self {
        self.settings.extend(prefixes);
        self
    }

    /// Runs all services in one process until shutdown: on the embedded store; or, where the
    /// settings name MongoDB and RabbitMQ (`mongodb.source_uri`, `mongodb.presentation_uri`,
    /// `amqp.uri`) and the program is built with them, on those.
    pub fn serve(self, api: ApiDefinition) -> ExitCode {
        self.serve_with(|_, _| Ok(api.into()))
    }

    /// Runs all services in one process, with an API that depends on settings and stores: see
    /// [`App::serve`].
    pub fn serve_with(
        self,
        api: impl FnOnce(&Configuration<S>, ApiContext<'_>) -> Result<DomainApi>,
    ) -> ExitCode {
        let mut program = self.program();
        program.commands = Some(self.commands());
        program.start(async |configuration, shutdown| {
            let name = self.name;
            check::<D>().map_err(|error| anyhow!("the domain {name}: {error}"))?;
            let settings = &configuration.host;
            let notifications = (self.notifications)(&configuration)?;
            let mut tasks = Tasks::new(&shutdown);
            let mut adapters = open::<D>(settings, &mut tasks, &shutdown).await?;
            let api = open_api(api, &configuration, &mut adapters, &mut tasks, &shutdown)?;
            let parts = serve::Parts {
                adapters,
                api,
                handlers: self.handlers,
                notifications,
            };
            serve::serve::<D>(parts, settings, &mut tasks, &shutdown).await?;
            tasks.ended().await
        })
    }

    /// The command line of this program, without commands for operators.
    pub(crate) fn program(&self) -> Program<S> {
        Program {
            name: self.name,
            about: self.about,
            settings: self.settings.clone(),
            health: http_server::http_address,
            namespace: self.is_in_namespace.then_some(D::NAME),
            check: Box::new(|_| Ok(())),
            commands: None,
        }
    }

    /// Runner of the commands for operators.
    pub(crate) fn commands(&self) -> crate::cli::RunTask<S> {
        let (handlers, blobs) = (self.handlers.clone(), self.blobs);
        Box::new(move |configuration, task| {
            let stores = DomainStores {
                blobs,
                has_processes: !handlers.processes.is_empty(),
                read_models: handlers.read_models.clone(),
            };
            run_task::<D, S>(configuration, task, stores)
        })
    }
}

/// Creates the API of a domain and the feed, and adds the API's readiness checks to the adapters'.
pub(crate) fn open_api<S>(
    api: impl FnOnce(&Configuration<S>, ApiContext<'_>) -> Result<DomainApi>,
    configuration: &Configuration<S>,
    adapters: &mut Adapters,
    tasks: &mut Tasks,
    shutdown: &Shutdown,
) -> Result<serve::Api> {
    let (log, presentation) = (adapters.log.clone(), adapters.reader.clone());
    let settings = configuration.host.for_feed();
    let feed = Feed::new(presentation.clone(), log.clone(), settings);
    let context = ApiContext {
        log,
        presentation,
        feed: feed.clone(),
        tasks,
        shutdown,
    };
    let DomainApi { definition, probes } = api(configuration, context)?;
    adapters.probes.extend(probes);
    Ok(serve::Api { feed, definition })
}

/// Opens the stores that the settings name.
async fn open<D: Domain>(
    settings: &Settings,
    tasks: &mut Tasks,
    shutdown: &Shutdown,
) -> Result<Adapters> {
    #[cfg(feature = "servers")]
    if settings.has_servers() {
        return crate::servers::open::<D>(settings, shutdown).await;
    }
    let store = open_store::<D>(settings)?;
    let interval = settings.health.integrity_interval;
    if !interval.is_zero() {
        // Damaged pages make the server not ready.
        tasks.run(store.watch(interval, shutdown.clone()));
    }
    Ok(Adapters::in_process(&store))
}

/// Opens the embedded store that the settings name.
///
/// # Errors
/// An error if the store cannot be opened, or MongoDB or RabbitMQ is configured.
fn open_store<D: Domain>(settings: &Settings) -> Result<SqliteStore> {
    ensure!(
        !settings.has_servers(),
        "this program supports only the embedded store: unset mongodb.source_uri, \
         mongodb.presentation_uri and amqp.uri, or run the services that use them"
    );
    if settings.mode == Mode::Memory {
        tracing::warn!("mode memory: all data is lost when this process ends");
        return Ok(SqliteStore::in_memory(D::FACETS)?);
    }
    let store = SqliteStore::open(&settings.data_dir, D::FACETS)?;
    restrict_permissions(&settings.data_dir);
    tracing::info!("data folder: {}", settings.data_dir.display());
    Ok(store)
}

/// Removes permissions of group and others from files of earlier versions. A folder that has
/// other files than ours keeps its permissions.
fn restrict_permissions(folder: &Path) {
    if let Err(error) = try_restrict_permissions(folder) {
        let folder = folder.display();
        tracing::warn!("cannot restrict permissions in {folder}, others may read it: {error}");
    }
}

fn try_restrict_permissions(folder: &Path) -> std::io::Result<()> {
    let mut is_ours = true;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == ATTACHMENTS {
            private_files::restrict_all(&entry.path())?;
        } else if name == "lock" || name.starts_with(FILE_NAME) {
            private_files::restrict(&entry.path())?;
        } else {
            is_ours = false;
        }
    }
    if is_ours {
        private_files::restrict(folder)?;
    }
    Ok(())
}
