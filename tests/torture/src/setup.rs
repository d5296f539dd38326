//! System under test: services, the servers that they use, and the proxies between them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Result;
use bakehouse_dev_servers::{Rabbit, ReplicaSet};
use bakehouse_e2e::world::Servers;
use bakehouse_e2e::{Kind, World};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::log::{self, Row};
use crate::proxy::Proxy;

/// Number of members of the replica set; the last one has its data on the small disk.
const MEMBERS: usize = 3;
/// Size of the disk that can be filled, in bytes.
const DISK_SIZE: u64 = 3 << 30;
/// Time within which all services must become ready.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

/// MongoDB and RabbitMQ, each behind proxies.
pub struct Backends {
    /// MongoDB.
    pub mongo: ReplicaSet,
    /// RabbitMQ.
    pub rabbit: Rabbit,
    /// Proxy of each member.
    pub mongo_proxies: Vec<Proxy>,
    /// Proxy of the broker.
    pub rabbit_proxy: Proxy,
}

/// A running system.
pub struct Setup {
    /// Deployment: four services, or one process.
    pub kind: Kind,
    /// Processes of the services.
    pub world: World,
    /// Names of all instances of all services.
    pub services: Vec<String>,
    /// Base URLs of the API servers.
    pub bases: Vec<String>,
    /// Servers; `None` with the embedded store.
    pub backends: Option<Backends>,
    /// Disk that can be filled; `None` without the permission to mount one.
    pub disk: Option<Disk>,
    /// Environment of every process that is started, such as a planted bug.
    pub environment: Vec<(String, String)>,
    folder: TempDir,
}

impl Setup {
    /// Starts the system: two instances of each service, or one process with all of them.
    ///
    /// # Errors
    /// When a server or service does not start or become ready.
    pub async fn start(
        kind: Kind,
        settings: &[(&str, String)],
        environment: Vec<(String, String)>,
    ) -> Result<Self> {
        let folder = TempDir::with_prefix("torture-")?;
        let disk = Disk::mount(&folder.path().join("disk"), DISK_SIZE);
        if let Err(error) = &disk {
            eprintln!("torture: faults of full disks are skipped: {error:#}");
        }
        let disk = disk.ok();
        let mut settings: Vec<(&str, String)> = settings.to_vec();
        let backends = match kind {
            Kind::Servers => Some(backends(folder.path(), disk.as_ref()).await?),
            Kind::Embedded => None,
        };
        if let (Kind::Embedded, Some(disk)) = (kind, &disk) {
            let data = disk.folder().join("data").display().to_string();
            settings.push(("BAKEHOUSE_DATA_DIR", data));
        }
        let borrowed: Vec<(&str, &str)> = settings
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        let servers = backends.as_ref().map(|backends| Servers {
            source: backends.mongo.uri("source"),
            presentation: backends.mongo.uri("presentation"),
            amqp: format!(
                "amqp://guest:guest@127.0.0.1:{}/%2f",
                backends.rabbit_proxy.port()
            ),
        });
        let world = World::prepare(kind, servers.map(|servers| ("", servers)), &borrowed)?;
        let mut programs = world.names().to_vec();
        if !programs.contains(&world.notifier()) {
            programs.push(world.notifier());
        }
        let mut setup = Self {
            kind,
            services: programs.iter().map(|name| (*name).to_owned()).collect(),
            bases: vec![world.base.clone()],
            world,
            backends,
            disk,
            environment,
            folder,
        };
        for name in setup.services.clone() {
            setup.start_service(&name, &[])?;
        }
        if kind == Kind::Servers {
            for program in programs {
                let name = format!("{program}-2");
                let base = setup.world.prepare_another(program, 2)?;
                if program == "api-server" {
                    setup.bases.push(base);
                }
                setup.services.push(name.clone());
                setup.start_service(&name, &[])?;
            }
        }
        setup.world.ready(READY_TIMEOUT).await?;
        Ok(setup)
    }

    /// Starts a service that does not run, with additional environment variables.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_service(&mut self, name: &str, more: &[(String, String)]) -> Result<()> {
        let environment = [&self.environment, more].concat();
        self.world.process(name).start_with(&environment)
    }

    /// Starts all services that do not run.
    ///
    /// # Errors
    /// When one cannot be started.
    pub fn start_all(&mut self) -> Result<()> {
        for name in self.services.clone() {
            let process = self.world.process(&name);
            process.has_ended();
            if !process.is_started() {
                self.start_service(&name, &[])?;
            }
        }
        Ok(())
    }

    /// Returns the folder of ledgers and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Reads the log from its store.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn log(&self) -> Result<Vec<Row>> {
        match self.kind {
            Kind::Embedded => log::of_file(&self.database()),
            Kind::Servers => {
                log::of_database(self.world.setting("BAKEHOUSE_MONGODB__SOURCE_URI")).await
            }
        }
    }

    /// Returns the file of the embedded store.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        match &self.disk {
            Some(disk) => disk.folder().join("data/bakehouse.db"),
            None => self.world.folder().join("data/bakehouse.db"),
        }
    }

    /// Returns the peak resident memory of every running service, in KiB.
    pub fn memory(&mut self) -> BTreeMap<String, u64> {
        let mut found = BTreeMap::new();
        for name in self.services.clone() {
            let pid = self.world.process(&name).pid();
            let status =
                pid.and_then(|pid| std::fs::read_to_string(format!("/proc/{pid}/status")).ok());
            let resident = status.as_deref().and_then(|status| {
                let line = status
                    .lines()
                    .find_map(|line| line.strip_prefix("VmHWM:"))?;
                line.split_whitespace().next()?.parse().ok()
            });
            if let Some(resident) = resident {
                found.insert(name, resident);
            }
        }
        found
    }
}

/// Starts the servers and their proxies. The last member of the replica set uses the small disk.
async fn backends(folder: &Path, disk: Option<&Disk>) -> Result<Backends> {
    let folder_of = |number: usize| folder.join(format!("mongo-{number}"));
    let mut folders: Vec<PathBuf> = (0..MEMBERS).map(folder_of).collect();
    if let (Some(disk), Some(last)) = (disk, folders.last_mut()) {
        *last = disk.folder().join("mongo");
    }
    let mut mongo_proxies = Vec::new();
    let mongo = ReplicaSet::start(&folders, async |port| {
        let proxy = Proxy::start(port).await?;
        let host = format!("127.0.0.1:{}", proxy.port());
        mongo_proxies.push(proxy);
        Ok(host)
    });
    let mongo = mongo.await?;
    let mut rabbit = Rabbit::bare_in(&folder.join("rabbit"))?;
    rabbit.start_again()?;
    let rabbit_proxy = Proxy::start(rabbit.port()).await?;
    Ok(Backends {
        mongo,
        rabbit,
        mongo_proxies,
        rabbit_proxy,
    })
}
