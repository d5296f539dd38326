//! The two servers that a whole test run shares, told to the tests by environment.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::provision::{self, say};
use crate::{Mongo, Rabbit, launch, process};

/// A MongoDB replica set: its connection string, without a database's name.
pub const MONGODB: &str = "BAKEHOUSE_TEST_MONGODB_URI";
/// A RabbitMQ node: its connection string.
pub const AMQP: &str = "BAKEHOUSE_TEST_AMQP_URI";
/// Where servers of one test's own keep their data.
const FOLDER: &str = "BAKEHOUSE_TEST_FOLDER";

/// Where a database of the shared MongoDB is.
///
/// # Panics
/// When nobody has started one.
#[must_use]
pub fn mongodb_uri(database: &str) -> String {
    let uri = env::var(MONGODB).unwrap_or_else(|_| missing(MONGODB));
    with_database(&uri, database)
}

/// A connection string without a database's name, with one.
#[must_use]
pub fn with_database(uri: &str, database: &str) -> String {
    let (hosts, options) = uri.split_once('?').unwrap_or((uri, ""));
    format!("{}/{database}?{options}", hosts.trim_end_matches('/'))
}

/// Where the shared RabbitMQ is.
///
/// # Panics
/// When nobody has started one.
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

/// A fresh folder for one server of a test's own.
pub(crate) fn folder(name: &str) -> Result<PathBuf> {
    let base = env::var_os(FOLDER).map_or_else(env::temp_dir, PathBuf::from);
    let folder = base.join(format!("{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    Ok(folder)
}

/// The servers of a test run, and the folder that everything of it is in.
pub struct Shared {
    folder: PathBuf,
    mongo: Option<Mongo>,
    rabbit: Option<Rabbit>,
    environment: Vec<(String, String)>,
}

impl Shared {
    /// Starts those that the environment does not name, in `folder`, which is
    /// emptied before.
    ///
    /// # Errors
    /// When one cannot be had or does not come up; what had been started is ended.
    pub async fn start(folder: &Path) -> Result<Self> {
        clean(folder);
        fs::create_dir_all(folder)?;
        let text = |path: &Path| path.display().to_string();
        let mut shared = Self {
            folder: folder.to_owned(),
            mongo: None,
            rabbit: None,
            environment: vec![(FOLDER.into(), text(folder))],
        };
        provision::prepare_servers()?;
        shared.start_mongo().await?;
        shared.start_rabbit()?;
        Ok(shared)
    }

    async fn start_mongo(&mut self) -> Result<()> {
        if env::var_os(MONGODB).is_some() {
            say("MongoDB as given");
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
            say("RabbitMQ as given");
            return Ok(());
        }
        say("starting RabbitMQ");
        let mut rabbit = Rabbit::at(crate::ports::free()?, &self.folder.join("rabbitmq"))?;
        rabbit.start_again()?;
        self.environment.push((AMQP.into(), rabbit.uri()));
        self.rabbit = Some(rabbit);
        Ok(())
    }

    /// What tests must be told.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Leaves the servers running after this program.
    pub fn leave(mut self) {
        if let Some(mongo) = self.mongo.take() {
            mongo.leave();
        }
        if let Some(rabbit) = self.rabbit.take() {
            rabbit.leave();
        }
    }

    /// Ends them, and every server that a test has left behind.
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

/// Ends every server that was started in `folder`, and removes it.
pub fn clean(folder: &Path) {
    process::sweep(folder);
    launch::remove_containers(folder);
    let _ = fs::remove_dir_all(folder);
}
