//! A mongod of its own, as a replica set of one.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use mongodb::bson::doc;
use mongodb::{Client, options::ClientOptions};

use crate::launch::{Launched, Recipe};
use crate::provision::{self, Source};
use crate::{ports, shared};

const PATIENCE: Duration = Duration::from_secs(60);
const ALREADY_INITIALIZED: i32 = 23;

/// A mongod. Killed when dropped.
pub struct Mongo {
    port: u16,
    server: Launched,
}

impl Mongo {
    /// Starts one for a test, with the replica set initiated.
    ///
    /// # Errors
    /// When there is no mongod, or it does not come up.
    pub async fn start(name: &str) -> Result<Self> {
        let mut server = Self::bare(name)?;
        server.start_again()?;
        server.initiate().await?;
        Ok(server)
    }

    /// One for a test that has not been started, and whose replica set nobody
    /// has initiated.
    ///
    /// # Errors
    /// When there is no mongod.
    pub fn bare(name: &str) -> Result<Self> {
        Self::at(ports::free()?, &shared::folder(name)?)
    }

    /// One whose data is in a folder of one's choice.
    ///
    /// # Errors
    /// When there is no mongod.
    pub fn bare_in(folder: &Path) -> Result<Self> {
        Self::at(ports::free()?, folder)
    }

    pub(crate) fn at(port: u16, folder: &Path) -> Result<Self> {
        let recipe = match provision::mongod()? {
            Source::Local(program) => local(program, folder.to_owned(), port)?,
            Source::Docker(image) => Recipe::Docker {
                image,
                environment: Vec::new(),
                arguments: options(port).to_vec(),
            },
        };
        Ok(Self {
            port,
            server: Launched::new(recipe, folder)?,
        })
    }

    /// Starts it, after it was killed, with the data it had.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.server.start()?;
        ports::wait(self.port, PATIENCE, || self.server.is_alive())
    }

    /// Initiates the replica set, unless that has been done, and waits for a primary.
    ///
    /// # Errors
    /// When the server refuses, or there is no primary within a minute.
    pub async fn initiate(&self) -> Result<()> {
        let host = format!("127.0.0.1:{}", self.port);
        let direct = format!("mongodb://{host}/?directConnection=true");
        let admin = Client::with_uri_str(direct).await?.database("admin");
        let members = doc! { "_id": "rs0", "members": [{ "_id": 0, "host": host }] };
        let answer = admin.run_command(doc! { "replSetInitiate": members }).await;
        if let Err(error) = answer {
            let code = match error.kind.as_ref() {
                mongodb::error::ErrorKind::Command(error) => error.code,
                _ => 0,
            };
            if code != ALREADY_INITIALIZED {
                return Err(error).context("the replica set cannot be initiated");
            }
        }
        has_primary(&self.uri("admin")).await
    }

    /// Where a database of it is.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        format!(
            "mongodb://127.0.0.1:{}/{database}?replicaSet=rs0",
            self.port
        )
    }

    /// Where it listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it runs: a full disk ends it.
    pub fn is_alive(&mut self) -> bool {
        self.server.is_alive()
    }

    /// What its process is known by, if it runs on this machine.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
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

    pub(crate) fn leave(self) {
        self.server.leave();
    }
}

fn options(port: u16) -> [String; 9] {
    [
        "--replSet".into(),
        "rs0".into(),
        "--bind_ip".into(),
        "127.0.0.1".into(),
        "--port".into(),
        port.to_string(),
        // Enough for tests; the default is half of the machine's memory.
        "--wiredTigerCacheSizeGB".into(),
        "0.5".into(),
        "--nounixsocket".into(),
    ]
}

fn local(program: PathBuf, folder: PathBuf, port: u16) -> Result<Recipe> {
    let data = folder.join("data");
    std::fs::create_dir_all(&data)?;
    Ok(Recipe::Local(Box::new(move || {
        let mut command = Command::new(&program);
        command.args(options(port)).arg("--dbpath").arg(&data);
        command
    })))
}

/// Waits until the replica set at this address has somebody who leads.
pub(crate) async fn has_primary(uri: &str) -> Result<()> {
    let mut options = ClientOptions::parse(uri).await?;
    options.server_selection_timeout = Some(PATIENCE);
    let admin = Client::with_options(options)?.database("admin");
    let ping = admin.run_command(doc! { "ping": 1 });
    ping.await.context("no primary").map(|_| ())
}
