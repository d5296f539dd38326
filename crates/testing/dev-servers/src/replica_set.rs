//! MongoDB replica set of several members.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use mongodb::Client;
use mongodb::bson::{Document, doc};
use mongodb::options::ClientOptions;

use crate::Mongo;
use crate::mongo::wait_for_primary;

/// Election timeout; shorter than the default of ten seconds.
const ELECTION_TIMEOUT: Duration = Duration::from_millis(1_500);

/// Replica set with a primary; killed when dropped.
pub struct ReplicaSet {
    members: Vec<Mongo>,
    hosts: Vec<String>,
}

impl ReplicaSet {
    /// Starts members with their data in these folders. `host_of` maps a member's port to the
    /// address under which members and clients reach it: its own, or that of a proxy.
    ///
    /// # Errors
    /// If mongod is not available, or no primary is elected within a minute.
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
                "electionTimeoutMillis": millis(ELECTION_TIMEOUT),
                "heartbeatIntervalMillis": millis(ELECTION_TIMEOUT / 3),
            },
        };
        let first = self.direct(0).await?;
        let initiate = doc! { "replSetInitiate": configuration };
        let initiated = first.database("admin").run_command(initiate).await;
        initiated.context("the replica set cannot be initiated")?;
        wait_for_primary(&self.uri("admin")).await
    }

    /// Returns the connection string of a database.
    #[must_use]
    pub fn uri(&self, database: &str) -> String {
        let hosts = self.hosts.join(",");
        format!("mongodb://{hosts}/{database}?replicaSet=rs0")
    }

    /// Returns a member by its number.
    ///
    /// # Panics
    /// If there is no member with this number.
    pub fn member(&mut self, number: usize) -> &mut Mongo {
        &mut self.members[number]
    }

    /// Returns the number of members.
    #[must_use]
    pub fn size(&self) -> usize {
        self.members.len()
    }

    /// Returns a client of a single member, which bypasses a proxy.
    ///
    /// # Errors
    /// If the address is invalid.
    pub async fn direct(&self, number: usize) -> Result<Client> {
        let port = self.members[number].port();
        let uri = format!("mongodb://127.0.0.1:{port}/?directConnection=true");
        let mut options = ClientOptions::parse(uri).await?;
        options.server_selection_timeout = Some(Duration::from_secs(3));
        Ok(Client::with_options(options)?)
    }

    /// Returns the number of the primary, if any member reports that it is.
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

    /// Makes the primary step down; it is not a candidate again for 3 s.
    ///
    /// # Errors
    /// If there is no primary, or it refuses.
    pub async fn step_down(&self) -> Result<()> {
        let primary = self.primary().await.context("no primary")?;
        let admin = self.direct(primary).await?.database("admin");
        let command = doc! { "replSetStepDown": 3, "secondaryCatchUpPeriodSecs": 1 };
        admin.run_command(command).await?;
        Ok(())
    }
}
