//! The whole main of a domain of one's own.

use std::marker::PhantomData;
use std::path::Path;
use std::process::ExitCode;

use crate::settings::Mode;
use crate::{Service, Settings, Stages};
use anyhow::{Result, anyhow, ensure};
use bakehouse_engine::handlers::{ProcessManager, ReadModel, handler};
use bakehouse_engine::{Domain, Shutdown, check, private_files};
use bakehouse_http::ApiDefinition;
use bakehouse_sqlite::{FILE_NAME, SqliteStore};

use crate::commands::ATTACHMENTS;
use crate::{Adapters, Handlers, http_server, operate, serve};

/// A domain, and what follows it.
pub struct App<D> {
    name: &'static str,
    about: &'static str,
    handlers: Handlers,
    domain: PhantomData<fn() -> D>,
}

/// The main of a domain that nothing follows: see [`App`].
pub fn main<D: Domain>(name: &'static str, about: &'static str, api: ApiDefinition) -> ExitCode {
    App::<D>::new(name, about).serve(api)
}

impl<D: Domain> App<D> {
    /// Of a program of this name, and what it is about.
    #[must_use]
    pub fn new(name: &'static str, about: &'static str) -> Self {
        Self {
            name,
            about,
            handlers: Handlers::default(),
            domain: PhantomData,
        }
    }

    /// With this read model.
    #[must_use]
    pub fn read_model<M: ReadModel>(mut self) -> Self {
        self.handlers.read_models.push(handler::read_model::<M>());
        self
    }

    /// With this process manager.
    #[must_use]
    pub fn process<P: ProcessManager>(mut self) -> Self {
        self.handlers.processes.push(handler::process::<P>());
        self
    }

    /// Command line, settings, logs, all four services, and an orderly end. On the
    /// embedded store; or, where the settings name MongoDB and RabbitMQ
    /// (`mongodb.source_uri`, `mongodb.presentation_uri`, `amqp.uri`), on those.
    pub fn serve(self, api: ApiDefinition) -> ExitCode {
        let read_models = self.handlers.read_models.clone();
        // Leaked once: it lives as long as the program.
        let operating = move |settings, task| operate::<D>(settings, task, read_models.clone());
        let service = Service {
            name: self.name,
            about: self.about,
            health: http_server::http_address,
            domain: Some(D::NAME),
            operate: Some(Box::leak(Box::new(operating))),
        };
        crate::start(service, async |settings, shutdown| {
            let name = self.name;
            check::<D>().map_err(|fault| anyhow!("the domain {name}: {fault}"))?;
            let mut stages = Stages::new(&shutdown);
            let adapters = open::<D>(&settings, &mut stages, &shutdown).await?;
            let handlers = self.handlers;
            serve::<D>(adapters, api, handlers, &settings, &mut stages, &shutdown).await?;
            stages.ended().await
        })
    }
}

/// The world that the settings name.
async fn open<D: Domain>(
    settings: &Settings,
    stages: &mut Stages,
    shutdown: &Shutdown,
) -> Result<Adapters> {
    #[cfg(feature = "servers")]
    if settings.has_servers() {
        return crate::servers::open::<D>(settings, shutdown).await;
    }
    let store = embedded::<D>(settings)?;
    watch(&store, settings, stages, shutdown);
    Ok(Adapters::in_process(&store))
}

/// Looks for damaged pages of the embedded store's file as often as the settings say, so that
/// readiness tells of them.
pub fn watch(store: &SqliteStore, settings: &Settings, stages: &mut Stages, shutdown: &Shutdown) {
    let interval = settings.health.integrity_interval;
    if !interval.is_zero() {
        stages.run(store.watch(interval, shutdown.clone()));
    }
}

/// Takes what others may do with files of earlier versions away. The folder itself stays as it
/// is where it has files that are not ours.
fn tighten(folder: &Path) {
    if let Err(error) = tighten_files(folder) {
        let folder = folder.display();
        tracing::warn!("files in {folder} stay as they are, and others may read them: {error}");
    }
}

fn tighten_files(folder: &Path) -> std::io::Result<()> {
    let mut is_ours = true;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name == ATTACHMENTS {
            private_files::tighten_all(&entry.path())?;
        } else if name == "lock" || name.starts_with(FILE_NAME) {
            private_files::tighten(&entry.path())?;
        } else {
            is_ours = false;
        }
    }
    if is_ours {
        private_files::tighten(folder)?;
    }
    Ok(())
}

/// The embedded store that the settings name.
///
/// # Errors
/// When it cannot be opened.
pub fn embedded<D: Domain>(settings: &Settings) -> Result<SqliteStore> {
    ensure!(
        !settings.has_servers(),
        "this program keeps everything itself: unset mongodb.source_uri, mongodb.presentation_uri and \
         amqp.uri, or run the services that use them"
    );
    if settings.mode == Mode::Memory {
        tracing::warn!("keeping everything in memory: it ends with this process");
        return Ok(SqliteStore::in_memory(D::FACETS)?);
    }
    let store = SqliteStore::open(&settings.data_dir, D::FACETS)?;
    tighten(&settings.data_dir);
    tracing::info!("keeping everything in {}", settings.data_dir.display());
    Ok(store)
}
