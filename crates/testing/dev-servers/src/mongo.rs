//! mongod as a replica set with one member.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use mongodb::bson::doc;
use mongodb::{Client, options::ClientOptions};

use crate::launch::{Launched, Recipe};
use crate::provision::{self, Source};
use crate::{files, ports};

const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Error code of `replSetInitiate` if the replica set has been initiated.
const ALREADY_INITIALIZED: i32 = 23;

/// mongod; killed when dropped.
pub struct Mongo {
    port: u16,
    server: Launched,
}

impl Mongo {
    /// Starts a server for a test and initiates its replica set.
    ///
    /// # Errors
    /// If mongod is not available, or does not start.
    pub async fn start(name: &str) -> Result<Self> {
        let mut server = Self::bare(name)?;
        server.start_again()?;
        server.initiate().await?;
        Ok(server)
    }

    /// Prepares a server for a test without starting it or initiating its replica set.
    ///
    /// # Errors
    /// If mongod is not available.
    pub fn bare(name: &str) -> Result<Self> {
        Self::at(ports::free()?, &files::folder(name)?)
    }

    /// Prepares a server with its data in the given folder, without starting it.
    ///
    /// # Errors
    /// If mongod is not available.
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

    /// Starts the server with its existing data.
    ///
    /// # Errors
    /// If it does not start.
    pub fn start_again(&mut self) -> Result<()> {
        self.server.start()?;
        ports::wait(self.port, START_TIMEOUT, || self.server.is_alive())
    }

    /// Initiates the replica set if necessary, and waits for a primary.
    ///
    /// # Errors
    /// If the server refuses, or there is no primary within a minute.
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
        wait_for_primary(&self.uri("admin")).await
    }

    /// Returns the connection string of a database.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        format!(
            "mongodb://127.0.0.1:{}/{database}?replicaSet=rs0",
            self.port
        )
    }

    /// Returns the port of the server.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Checks whether the server runs; it ends when its disk is full.
    pub fn is_alive(&mut self) -> bool {
        self.server.is_alive()
    }

    /// Returns the process id, if the server is a local process.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.server.pid()
    }

    /// Kills the server with SIGKILL.
    pub fn kill(&mut self) {
        self.server.kill();
    }

    /// Pauses the server: it accepts connections but does not answer.
    pub fn pause(&self) {
        self.server.pause();
    }

    /// Resumes a paused server.
    pub fn resume(&self) {
        self.server.resume();
    }

    /// Leaves the server running when this program ends.
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

/// Waits until the replica set at this address has a primary.
pub(crate) async fn wait_for_primary(uri: &str) -> Result<()> {
    let mut options = ClientOptions::parse(uri).await?;
    options.server_selection_timeout = Some(START_TIMEOUT);
    let admin = Client::with_options(options)?.database("admin");
    let ping = admin.run_command(doc! { "ping": 1 });
    ping.await.context("no primary").map(|_| ())
}
