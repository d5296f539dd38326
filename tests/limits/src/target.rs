//! The server under attack.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakehouse_e2e::{Client, Kind, World};
use tokio::sync::Mutex;

/// A running system; clones are the same one.
#[derive(Clone)]
pub(crate) struct Target {
    /// `http://HOST:PORT` of its API.
    pub(crate) base: String,
    /// `HOST:PORT`, for raw sockets.
    pub(crate) address: String,
    /// Folder of its data, whose size is measured.
    pub(crate) data_dir: PathBuf,
    /// Process that serves the API, whose memory and descriptors are measured.
    pub(crate) pid: u32,
    world: Arc<Mutex<World>>,
}

impl Target {
    /// Starts it with these settings and waits until it is ready.
    pub(crate) async fn start(kind: Kind, settings: &[(&str, &str)]) -> Result<Self> {
        let settings: Vec<(&str, String)> = settings
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        let mut world = World::start_with(kind, &settings).await?;
        let program = world.names().first().copied().unwrap_or_default();
        let pid = world.process(program).pid().context("it does not run")?;
        let address = world.base.trim_start_matches("http://").to_owned();
        Ok(Self {
            base: world.base.clone(),
            address,
            data_dir: world.folder().join("data"),
            pid,
            world: Arc::new(Mutex::new(world)),
        })
    }

    /// A well-behaved client of it.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// Checks that it still runs, ends it in order, and checks that it could.
    pub(crate) async fn stop(&self) -> Result<()> {
        let mut world = self.world.lock().await;
        for name in world.names() {
            let ended = world.process(name).has_ended();
            ensure!(!ended, "{name} has ended: {}", world.logs());
        }
        world.ready(Duration::from_secs(10)).await?;
        world.stop_all()
    }
}
