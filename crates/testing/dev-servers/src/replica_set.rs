//! A replica set of several members.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;

use crate::Mongo;
use crate::mongo::has_primary;

/// What elections wait for; the default of ten seconds is for networks that are slow.
const ELECTION: Duration = Duration::from_millis(1_500);

/// Members that have elected a primary.
pub struct ReplicaSet {
    members: Vec<Mongo>,
    hosts: Vec<String>,
}

impl ReplicaSet {
    /// Starts members with their data in these folders. They know each other, and are
    /// known, by what `host_of` makes of a member's port: their own address, or that of
    /// something that stands before it.
    ///
    /// # Errors
    /// When there is no mongod, or no primary within a minute.
    pub async fn start(
        folders: &[PathBuf],
        mut host_of: impl AsyncFnMut(u16) -> Result<String>,
    ) -> Result<Self> {
        let mut members = Vec::new();
        let mut hosts = Vec::new();
        for folder in folders {
            let mut member = Mongo::bare_in(folder)?;
            member.start_again()?;
            hosts.push(host_of(member.port()).await?);
            members.push(member);
        }
        let set = Self { members, hosts };
        set.initiate().await?;
        Ok(set)
    }

    async fn initiate(&self) -> Result<()> {
        let one = |(id, host): (usize, &String)| doc! { "_id": id as i32, "host": host };
        let millis = |time: Duration| i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
        let configuration = doc! {
            "_id": "rs0",
            "members": self.hosts.iter().enumerate().map(one).collect::<Vec<_>>(),
            "settings": {
                "electionTimeoutMillis": millis(ELECTION),
                "heartbeatIntervalMillis": millis(ELECTION / 3),
            },
        };
        let first = self.direct(0).await?;
        let initiate = doc! { "replSetInitiate": configuration };
        let initiated = first.database("admin").run_command(initiate).await;
        initiated.context("the replica set cannot be initiated")?;
        has_primary(&self.uri("admin")).await
    }

    /// Where a database of it is.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        let hosts = self.hosts.join(",");
        format!("mongodb://{hosts}/{database}?replicaSet=rs0")
    }

    /// A member.
    ///
    /// # Panics
    /// When there is none of that number.
    pub fn member(&mut self, number: usize) -> &mut Mongo {
        &mut self.members[number]
    }

    /// How many there are.
    #[must_use]
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// A client of one member alone, past whatever stands before it.
    ///
    /// # Errors
    /// When the address cannot be used.
    pub async fn direct(&self, number: usize) -> Result<Client> {
        let port = self.members[number].port();
        let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
        let mut options = ClientOptions::parse(uri).await?;
        options.server_selection_timeout = Some(Duration::from_secs(3));
        Ok(Client::with_options(options)?)
    }

    /// Which member leads, if any says so.
    pub async fn primary(&self) -> Option<usize> {
        for number in 0..self.members.len() {
            if self.is_primary(number).await.unwrap_or(false) {
                return Some(number);
            }
        }
        None
    }

    async fn is_primary(&self, number: usize) -> Result<bool> {
        let admin = self.direct(number).await?.database("admin");
        let hello: Document = admin.run_command(doc! { "hello": 1 }).await?;
        Ok(hello.get_bool("isWritablePrimary").unwrap_or(false))
    }

    /// The primary gives way, and does not stand again for a while.
    ///
    /// # Errors
    /// When there is none, or it refuses.
    pub async fn step_down(&self) -> Result<()> {
        let primary = self.primary().await.context("no primary")?;
        let admin = self.direct(primary).await?.database("admin");
        let command = doc! { "replSetStepDown": 3, "secondaryCatchUpPeriodSecs": 1 };
        admin.run_command(command).await?;
        Ok(())
    }
}
