//! The server under attack.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bakehouse_e2e::issuer::bearer;
use bakehouse_e2e::{Client, Issuer, Kind, World};
use serde_json::Value;
use tokio::sync::Mutex;

/// Authentication mode of the attacked server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// No token is required.
    Open,
    /// A token of the target's issuer is required.
    Tokens,
}

/// A running system. Clones share it.
#[derive(Clone)]
pub(crate) struct Target {
    /// Base URL of its API, `http://HOST:PORT`.
    pub(crate) base: String,
    /// Address for raw sockets, `HOST:PORT`.
    pub(crate) address: String,
    /// Data folder, whose size is measured.
    pub(crate) data_dir: PathBuf,
    /// Process that serves the API, whose memory and descriptors are measured.
    pub(crate) pid: u32,
    issuer: Option<Arc<Issuer>>,
    notes: Arc<Mutex<Vec<String>>>,
    world: Arc<Mutex<World>>,
}

impl Target {
    /// Starts the system and waits until it is ready.
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
        let pid = world
            .process(program)
            .pid()
            .context("the program does not run")?;
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

    /// Returns an HTTP client.
    pub(crate) fn client(&self) -> Client {
        Client::new(&self.base)
    }

    /// Returns the `Authorization` header of a subject with the scopes to read and write; empty
    /// without authentication.
    pub(crate) fn authorization(&self, subject: &str) -> Result<String> {
        let Some(issuer) = &self.issuer else {
            return Ok(String::new());
        };
        let token = issuer.token(subject, "orders:read orders:write")?;
        Ok(bearer(&token))
    }

    /// Returns a token with these claims, signed by the issuer that the server trusts.
    pub(crate) fn token(&self, claims: &Value) -> Result<String> {
        self.issuer
            .as_ref()
            .context("the server requires no tokens")?
            .sign(claims)
    }

    /// Stores texts of the preparation for the attack, such as ids.
    pub(crate) async fn store_notes(&self, texts: Vec<String>) {
        *self.notes.lock().await = texts;
    }

    /// Returns the texts that the preparation has stored.
    pub(crate) async fn notes(&self) -> Vec<String> {
        self.notes.lock().await.clone()
    }

    /// Stops the system.
    ///
    /// # Errors
    /// When a process has ended before, is not ready, or cannot be stopped.
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
