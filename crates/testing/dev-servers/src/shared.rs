//! MongoDB and RabbitMQ that a test run shares; environment variables pass their addresses to the
//! tests.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::files::FOLDER_VARIABLE;
use crate::packages::say;
use crate::provision;
use crate::{Mongo, Rabbit, launch, process};

/// Environment variable with the connection string of the shared MongoDB, without a database name.
pub const MONGODB: &str = "BAKEHOUSE_TEST_MONGODB_URI";
/// Environment variable with the connection string of the shared RabbitMQ.
pub const AMQP: &str = "BAKEHOUSE_TEST_AMQP_URI";

/// Returns the connection string of a database of the shared MongoDB.
///
/// # Panics
/// If the environment names no MongoDB.
#[must_use]
pub fn mongodb_uri(database: &str) -> String {
    let uri = env::var(MONGODB).unwrap_or_else(|_| missing(MONGODB));
    with_database(&uri, database)
}

/// Adds a database name to a connection string without one.
#[must_use]
pub fn with_database(uri: &str, database: &str) -> String {
    let (hosts, options) = uri.split_once('?').unwrap_or((uri, ""));
    format!("{}/{database}?{options}", hosts.trim_end_matches('/'))
}

/// Returns the connection string of the shared RabbitMQ.
///
/// # Panics
/// If the environment names no RabbitMQ.
#[must_use]
pub fn amqp_uri() -> String {
    env::var(AMQP).unwrap_or_else(|_| missing(AMQP))
}

#[expect(
    clippy::panic,
    reason = "a test that needs a server must not pass without one"
)]
fn missing(variable: &str) -> String {
    panic!("{variable} is not set: run `cargo xtask test`, or see `cargo xtask services up`")
}

/// Shared servers of a test run, and the folder of all of its servers.
pub struct Shared {
    folder: PathBuf,
    mongo: Option<Mongo>,
    rabbit: Option<Rabbit>,
    environment: Vec<(String, String)>,
}

impl Shared {
    /// Starts the servers that the environment does not name, in `folder`, which is emptied first.
    ///
    /// # Errors
    /// If a server is not available or does not start; servers started before are stopped.
    pub async fn start(folder: &Path) -> Result<Self> {
        clean(folder);
        fs::create_dir_all(folder)?;
        let text = |path: &Path| path.display().to_string();
        let mut shared = Self {
            folder: folder.to_owned(),
            mongo: None,
            rabbit: None,
            environment: vec![(FOLDER_VARIABLE.into(), text(folder))],
        };
        provision::prepare_servers()?;
        shared.start_mongo().await?;
        shared.start_rabbit()?;
        Ok(shared)
    }

    async fn start_mongo(&mut self) -> Result<()> {
        if env::var_os(MONGODB).is_some() {
            say(&format!("using the MongoDB of {MONGODB}"));
            return Ok(());
        }
        say("starting MongoDB");
        let mut mongo = Mongo::at(crate::ports::free()?, &self.folder.join("mongodb"))?;
        mongo.start_again()?;
        mongo.initiate().await?;
        self.environment.push((MONGODB.into(), mongo.uri("")));
        self.mongo = Some(mongo);
        Ok(())
    }

    fn start_rabbit(&mut self) -> Result<()> {
        if env::var_os(AMQP).is_some() {
            say(&format!("using the RabbitMQ of {AMQP}"));
            return Ok(());
        }
        say("starting RabbitMQ");
        let mut rabbit = Rabbit::at(crate::ports::free()?, &self.folder.join("rabbitmq"))?;
        rabbit.start_again()?;
        self.environment.push((AMQP.into(), rabbit.uri()));
        self.rabbit = Some(rabbit);
        Ok(())
    }

    /// Returns the environment variables for the tests.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Leaves the servers running when this program ends.
    pub fn leave(mut self) {
        if let Some(mongo) = self.mongo.take() {
            mongo.leave();
        }
        if let Some(rabbit) = self.rabbit.take() {
            rabbit.leave();
        }
    }

    /// Stops the servers, and all servers that tests have left running.
    pub fn end(self) {
        let Self {
            folder,
            mongo,
            rabbit,
            ..
        } = self;
        drop((mongo, rabbit));
        clean(&folder);
    }
}

/// Stops every server that was started in `folder`, and removes the folder.
pub fn clean(folder: &Path) {
    process::sweep(folder);
    launch::remove_containers(folder);
    let _ = fs::remove_dir_all(folder);
}
