//! What is tortured: services, the servers that they stand on, and what is between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakehouse_dev_servers::{Rabbit, ReplicaSet};
use bakehouse_e2e::world::Servers;
use bakehouse_e2e::{Kind, World};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::log::{self, Row};
use crate::proxy::Proxy;

/// Members of the replica set, of which the last has its data on a small disk.
const MEMBERS: usize = 3;
/// Of the embedded store, and of one member.
const DISK: u64 = 3 << 30;
const READY: Duration = Duration::from_secs(60);

/// Both servers, each behind what lets through what it likes.
pub struct Backends {
    /// MongoDB.
    pub mongo: ReplicaSet,
    /// RabbitMQ.
    pub rabbit: Rabbit,
    /// Before each member.
    pub before_mongo: Vec<Proxy>,
    /// Before the broker.
    pub before_rabbit: Proxy,
}

/// All of it.
pub struct Scene {
    /// Which world.
    pub kind: Kind,
    /// The services.
    pub world: World,
    /// Their names, of all instances.
    pub services: Vec<String>,
    /// Where API and feed are.
    pub bases: Vec<String>,
    /// What services stand on, where that is no file.
    pub backends: Option<Backends>,
    /// A disk that can be filled.
    pub disk: Option<Disk>,
    /// Given to every process that is started, such as a bug.
    pub always: Vec<(String, String)>,
    folder: TempDir,
}

impl Scene {
    /// Starts everything: two instances of each service, or the one of all services.
    ///
    /// # Errors
    /// When anything does not come up.
    pub async fn start(
        kind: Kind,
        settings: &[(&str, String)],
        always: Vec<(String, String)>,
    ) -> Result<Self> {
        let folder = TempDir::with_prefix("torture-")?;
        // Without the right to mount one there is nothing to fill.
        let disk = Disk::mount(&folder.path().join("disk"), DISK);
        if let Err(error) = &disk {
            eprintln!("torture: no disk can be filled: {error:#}");
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
                backends.before_rabbit.port()
            ),
        });
        let world = World::prepare(kind, servers.map(|servers| ("", servers)), &borrowed)?;
        let mut programs = world.names().to_vec();
        if !programs.contains(&world.notifier()) {
            programs.push(world.notifier());
        }
        let mut scene = Self {
            kind,
            services: programs.iter().map(|name| (*name).to_owned()).collect(),
            bases: vec![world.base.clone()],
            world,
            backends,
            disk,
            always,
            folder,
        };
        for name in scene.services.clone() {
            scene.start_service(&name, &[])?;
        }
        if kind == Kind::Servers {
            for program in programs {
                let name = format!("{program}-2");
                let base = scene.world.prepare_another(program, 2)?;
                if program == "api-server" {
                    scene.bases.push(base);
                }
                scene.services.push(name.clone());
                scene.start_service(&name, &[])?;
            }
        }
        scene.world.ready(READY).await?;
        Ok(scene)
    }

    /// Starts a service that does not run.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_service(&mut self, name: &str, more: &[(String, String)]) -> Result<()> {
        let environment = [&self.always, more].concat();
        self.world.process(name).start_with(&environment)
    }

    /// Starts all services that do not run, as what has been killed or has ended.
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

    /// Where its files are: ledgers and logs.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The log, as the store has it.
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

    /// The file of the embedded store.
    #[must_use]
    pub fn database(&self) -> PathBuf {
        match &self.disk {
            Some(disk) => disk.folder().join("data/bakehouse.db"),
            None => self.world.folder().join("data/bakehouse.db"),
        }
    }

    /// Resident memory of every service that runs, in KiB: the most that it ever had.
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

async fn backends(folder: &Path, disk: Option<&Disk>) -> Result<Backends> {
    let own = |number: usize| folder.join(format!("mongo-{number}"));
    let mut folders: Vec<PathBuf> = (0..MEMBERS).map(own).collect();
    if let (Some(disk), Some(last)) = (disk, folders.last_mut()) {
        *last = disk.folder().join("mongo");
    }
    let mut before_mongo = Vec::new();
    let mongo = ReplicaSet::start(&folders, async |port| {
        let proxy = Proxy::before(port).await?;
        let host = format!("127.0.0.1:{}", proxy.port());
        before_mongo.push(proxy);
        Ok(host)
    });
    let mongo = mongo.await?;
    let mut rabbit = Rabbit::bare_in(&folder.join("rabbit"))?;
    rabbit.start_again()?;
    let before_rabbit = Proxy::before(rabbit.port()).await?;
    Ok(Backends {
        mongo,
        rabbit,
        before_mongo,
        before_rabbit,
    })
}

/// Runs a program to its end.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let output = Command::new(program).args(arguments).output();
    let output = output.with_context(|| format!("cannot start {program}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{program}: {}", said.trim());
    Ok(())
}
