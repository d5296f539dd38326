//! A client with time limits, and waiting for a server that is not there yet.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::Shutdown;
use bakehouse_engine::backoff::{Backoff, Reminder};
use bakehouse_engine::ports::StoreError;
use mongodb::bson::{Document, doc};
use mongodb::options::{
    Acknowledgment, ClientOptions, ReadConcern, ReadPreference, ReturnDocument, SelectionCriteria,
    WriteConcern,
};
use mongodb::{Client, Collection, Database};
use tokio::sync::Semaphore;

use crate::error::{code, store_error};
use crate::reading::Horizon;

/// The driver's own default of 30 s would have a request wait that long.
const SELECTION: Duration = Duration::from_secs(3);
const CONNECT: Duration = Duration::from_secs(2);
/// How soon a lost server is noticed, and one that is back.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Longer than any operation of ours takes, unless the server is stuck. The
/// operation may still happen; all of ours can be repeated.
const OPERATION: Duration = Duration::from_secs(15);
/// Connections that the driver opens at most, where the URI does not say (`maxPoolSize`);
/// its own default.
const POOL: u32 = 10;
const ALREADY_INITIALIZED: i32 = 23;
const NAMESPACE_EXISTS: i32 = 48;

/// Where a database is.
#[derive(Clone)]
pub struct Settings {
    /// Connection string with the database's name in its path. Holds a secret.
    pub uri: String,
    /// Shown in the server's logs.
    pub app_name: String,
    /// Whether to initiate the replica set that the URI names, with the URI's
    /// hosts as its members, where that has not been done.
    pub initiate_replica_set: bool,
}

/// Why a connection string cannot be used. Never repeats the string.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

/// The driver's reason, unless it repeats a part of the URI that may be a secret.
fn reason(error: &mongodb::error::Error, uri: &str) -> String {
    let text = error.to_string();
    let rest = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    let mut parts = rest.split(|letter: char| !letter.is_alphanumeric());
    if parts.any(|part| !part.is_empty() && text.contains(part)) {
        return "expected mongodb://USER:PASSWORD@HOST:PORT/DATABASE?replicaSet=NAME, with special \
                characters in USER and PASSWORD percent-encoded"
            .to_owned();
    }
    text
}

/// A database of a client.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) database: Database,
    pub(crate) horizon: Horizon,
    /// For reads: as many as there are connections.
    pub(crate) turns: Arc<Semaphore>,
    options: ClientOptions,
    initiate_replica_set: bool,
}

impl Connection {
    pub(crate) async fn new(settings: &Settings, name: &'static str) -> Result<Self, ConnectError> {
        let invalid = |error| {
            let error = reason(&error, &settings.uri);
            ConnectError(format!("{name}: its URI cannot be used: {error}"))
        };
        let mut options = ClientOptions::parse(&settings.uri).await.map_err(invalid)?;
        options.app_name.get_or_insert(settings.app_name.clone());
        options.server_selection_timeout.get_or_insert(SELECTION);
        options.connect_timeout.get_or_insert(CONNECT);
        options.heartbeat_freq.get_or_insert(HEARTBEAT);
        let pool = *options.max_pool_size.get_or_insert(POOL) as usize;
        // Whatever the URI says: promises rest on these three.
        options.read_concern = Some(ReadConcern::majority());
        options.write_concern = Some(durable());
        options.selection_criteria =
            Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        let missing = || {
            let text = "its URI names no database (mongodb://host:27017/NAME?replicaSet=rs0)";
            ConnectError(format!("{name}: {text}"))
        };
        let database = options.default_database.clone().ok_or_else(missing)?;
        let client = Client::with_options(options.clone()).map_err(invalid)?;
        Ok(Self {
            name,
            database: client.database(&database),
            horizon: Horizon::default(),
            turns: Arc::new(Semaphore::new(pool)),
            client,
            options,
            initiate_replica_set: settings.initiate_replica_set,
        })
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// Waits for an operation, but not for ever.
    pub(crate) async fn bounded<T>(
        &self,
        operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T, StoreError> {
        let result = self.in_time(operation).await?;
        result.map_err(|error| store_error(self.name, &error))
    }

    /// The same for whoever has to tell the driver's errors apart.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl IntoFuture<Output = T>,
    ) -> Result<T, StoreError> {
        let answer = tokio::time::timeout(OPERATION, work.into_future()).await;
        answer.map_err(|_| {
            let seconds = OPERATION.as_secs();
            StoreError::unavailable(format!("{}: no answer within {seconds} s", self.name))
        })
    }

    /// The document of an id; made of `fields` where there is none.
    pub(crate) async fn find_or_make(
        &self,
        collection: &str,
        id: &str,
        fields: Document,
    ) -> Result<Document, StoreError> {
        let collection = self.collection(collection);
        let made = collection
            .find_one_and_update(doc! { "_id": id }, doc! { "$setOnInsert": fields })
            .upsert(true)
            .return_document(ReturnDocument::After);
        let made = self.bounded(made).await?;
        made.ok_or_else(|| StoreError::corrupt(format!("{id} cannot be made")))
    }

    /// Makes a collection, unless it is there.
    pub(crate) async fn make(&self, collection: &str) -> Result<(), StoreError> {
        let made = self.database.create_collection(collection);
        match self.in_time(made).await? {
            Err(error) if code(&error) != Some(NAMESPACE_EXISTS) => {
                Err(store_error(self.name, &error))
            }
            _ => Ok(()),
        }
    }

    /// Tries until the server is there and `make` has made what was missing.
    /// `false`: shutdown came first.
    pub(crate) async fn prepare(
        &self,
        shutdown: &Shutdown,
        make: impl AsyncFn() -> Result<(), StoreError>,
    ) -> bool {
        let mut backoff = Backoff::default();
        let mut reminder = Reminder::default();
        while !shutdown.is_cancelled() {
            let error = match self.try_prepare(&make).await {
                Ok(()) => return true,
                Err(error) => error,
            };
            if reminder.is_due() {
                tracing::warn!("waiting for the {}: {error}", self.name);
            }
            backoff.wait(shutdown).await;
        }
        false
    }

    async fn try_prepare(
        &self,
        make: &impl AsyncFn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.initiate_replica_set {
            self.initiate().await?;
        }
        self.ask_primary().await?;
        make().await
    }

    /// Asks the primary whether it answers.
    ///
    /// With `directConnection=true` the driver reads from whatever server the URI names, also
    /// from a secondary; stages would read old data there.
    pub(crate) async fn ask_primary(&self) -> Result<(), StoreError> {
        let hello = self.hello().await?;
        if hello.get_bool("isWritablePrimary").unwrap_or(false) {
            return Ok(());
        }
        Err(StoreError::unavailable(format!(
            "{}: the server of its URI is not the primary; name all members and replicaSet=NAME, \
             without directConnection",
            self.name
        )))
    }

    /// State of the server in its replica set, as the server reports it.
    pub(crate) async fn hello(&self) -> Result<Document, StoreError> {
        self.bounded(self.database.run_command(doc! { "hello": 1 }))
            .await
    }

    /// Initiates the replica set, unless that has been done.
    async fn initiate(&self) -> Result<(), StoreError> {
        let Some(name) = &self.options.repl_set_name else {
            return Ok(());
        };
        let mut options = self.options.clone();
        options.direct_connection = Some(true);
        options.repl_set_name = None;
        options.hosts.truncate(1);
        let direct = Client::with_options(options)
            .map_err(|error| store_error(self.name, &error))?
            .database("admin");
        let hosts = self.options.hosts.iter().enumerate();
        let members: Vec<Document> = hosts
            .map(|(id, host)| doc! { "_id": id as i64, "host": host.to_string() })
            .collect();
        let command = doc! { "replSetInitiate": { "_id": name, "members": members } };
        match self.in_time(direct.run_command(command)).await? {
            Ok(_) => tracing::info!("initiated the replica set {name}"),
            Err(error) if code(&error) == Some(ALREADY_INITIALIZED) => {}
            Err(error) => return Err(store_error(self.name, &error)),
        }
        Ok(())
    }
}

/// On the majority's disks.
pub(crate) fn durable() -> WriteConcern {
    WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_wrong_with_a_uri_is_told_without_secrets() {
        for uri in [
            "mongodb://user:hunter2/x@host/db",
            "mongodb://user:hunter2@ho st/db",
            "mongodb://user:hunter2@host:port/db",
            "mongodb://user:hunter2",
            "mongodb://host:hunter2/db",
            "mongodb://user:hun%ter2@host/db",
            "mongodb://user:hunter2@host/db?authMechanism=hunter2",
            "mongodb://user:hunter2@host/db?readPreference=hunter2",
            "mongodb://host/db?authMechanism=MONGODB-X509&authMechanismProperties=hunter2",
            "mongo://user:hunter2@host/db",
            "hunter2",
            "mongodb://user:hunter2@host",
        ] {
            let settings = Settings {
                uri: uri.to_owned(),
                app_name: "test".into(),
                initiate_replica_set: false,
            };
            if let Err(error) = Connection::new(&settings, "source").await {
                assert!(!error.to_string().contains("hunter2"), "{uri}: {error}");
                assert!(
                    !format!("{error:?}").contains("hunter2"),
                    "{uri}: {error:?}"
                );
            }
        }
    }
}
