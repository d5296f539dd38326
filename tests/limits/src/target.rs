//! The server under attack.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakehouse_e2e::issuer::bearer;
use bakehouse_e2e::{Client, Issuer, Kind, World};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::attack::Access;

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
    issuer: Option<Arc<Issuer>>,
    notes: Arc<Mutex<Vec<String>>>,
    world: Arc<Mutex<World>>,
}

impl Target {
    /// Starts it and waits until it is ready.
    pub(crate) async fn start(kind: Kind, access: Access) -> Result<Self> {
        let issuer = match access {
            Access::Open => None,
            Access::Tokens => Some(Arc::new(Issuer::new()?)),
        };
        let settings = issuer.as_ref().map(|issuer| {
            let keys = issuer.file().display().to_string();
            issuer.settings(&keys)
        });
        let settings = settings.unwrap_or_default();
        let mut world = World::start_with(kind, &settings).await?;
        let program = world.names().first().copied().unwrap_or_default();
        let pid = world.process(program).pid().context("it does not run")?;
        let address = world.base.trim_start_matches("http://").to_owned();
        Ok(Self {
            base: world.base.clone(),
            address,
            data_dir: world.folder().join("data"),
            pid,
            issuer,
            notes: Arc::default(),
            world: Arc::new(Mutex::new(world)),
        })
    }

    /// A well-behaved client of it.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// Value of the `Authorization` header of this subject, who may read and write its own;
    /// empty where nobody is asked.
    pub(crate) fn authorization(&self, subject: &str) -> Result<String> {
        let Some(issuer) = &self.issuer else {
            return Ok(String::new());
        };
        let token = issuer.token(subject, "orders:read orders:write")?;
        Ok(bearer(&token))
    }

    /// A token of these claims, by the issuer whom the server believes.
    pub(crate) fn token(&self, claims: &Value) -> Result<String> {
        self.issuer.as_ref().context("no issuer")?.sign(claims)
    }

    /// Leaves texts, such as ids of what was prepared, to the attack.
    pub(crate) async fn leave(&self, texts: Vec<String>) {
        *self.notes.lock().await = texts;
    }

    /// The texts that the preparation left.
    pub(crate) async fn left(&self) -> Vec<String> {
        self.notes.lock().await.clone()
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
