//! Client of one database: timeouts, concerns, and waiting for the server at the start.

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
use crate::horizon::Horizon;

/// Timeout for finding a primary; the driver's default of 30 s is too long for a request.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(3);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// Interval at which the driver checks whether a server is lost or back.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of one operation, longer than any takes unless the server hangs. A timed-out operation
/// may still take effect; every operation can be repeated.
const OPERATION_TIMEOUT: Duration = Duration::from_secs(15);
/// Connections that the driver opens at most, unless the URI sets `maxPoolSize`; equal to the
/// driver's own default.
const MAX_POOL_SIZE: u32 = 10;
const ALREADY_INITIALIZED: i32 = 23;
const NAMESPACE_EXISTS: i32 = 48;

/// Settings of the connection to one database.
#[derive(Clone)]
pub struct Settings {
    /// Connection string with the database's name in its path. Secret: it may contain a password.
    pub uri: String,
    /// Application name that the server shows in its logs.
    pub app_name: String,
    /// Initiates the replica set that the URI names, with the URI's hosts as members, unless it is
    /// initiated already.
    pub initiate_replica_set: bool,
}

/// Error for an invalid connection string. Never contains the string, which may hold a password.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ConnectError(String);

/// Returns the driver's reason, or a hint if the reason repeats a part of the URI, which may be
/// secret.
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

/// Client and database; clones share the client.
#[derive(Clone)]
pub(crate) struct Connection {
    pub(crate) name: &'static str,
    pub(crate) client: Client,
    pub(crate) database: Database,
    pub(crate) horizon: Horizon,
    /// Permits for concurrent reads: as many as there are connections.
    pub(crate) read_permits: Arc<Semaphore>,
    options: ClientOptions,
    initiate_replica_set: bool,
}

impl Connection {
    pub(crate) async fn new(settings: &Settings, name: &'static str) -> Result<Self, ConnectError> {
        let invalid = |error| {
            let error = reason(&error, &settings.uri);
            ConnectError(format!("{name}: invalid URI: {error}"))
        };
        let mut options = ClientOptions::parse(&settings.uri).await.map_err(invalid)?;
        options.app_name.get_or_insert(settings.app_name.clone());
        options
            .server_selection_timeout
            .get_or_insert(SERVER_SELECTION_TIMEOUT);
        options.connect_timeout.get_or_insert(CONNECT_TIMEOUT);
        options.heartbeat_freq.get_or_insert(HEARTBEAT_INTERVAL);
        let pool_size = *options.max_pool_size.get_or_insert(MAX_POOL_SIZE) as usize;
        // Not the URI's: durability and consistency depend on these three.
        options.read_concern = Some(ReadConcern::majority());
        options.write_concern = Some(durable());
        options.selection_criteria =
            Some(SelectionCriteria::ReadPreference(ReadPreference::Primary));
        let missing = || {
            let expected = "expected mongodb://HOST:PORT/DATABASE?replicaSet=NAME";
            ConnectError(format!("{name}: invalid URI: no database name; {expected}"))
        };
        let database = options.default_database.clone().ok_or_else(missing)?;
        let client = Client::with_options(options.clone()).map_err(invalid)?;
        Ok(Self {
            name,
            database: client.database(&database),
            horizon: Horizon::default(),
            read_permits: Arc::new(Semaphore::new(pool_size)),
            client,
            options,
            initiate_replica_set: settings.initiate_replica_set,
        })
    }

    pub(crate) fn collection(&self, name: &str) -> Collection<Document> {
        self.database.collection(name)
    }

    /// Runs an operation within the operation timeout.
    ///
    /// # Errors
    /// [`StoreError`] for a timeout or an error of the driver.
    pub(crate) async fn bounded<T>(
        &self,
        operation: impl IntoFuture<Output = mongodb::error::Result<T>>,
    ) -> Result<T, StoreError> {
        let result = self.in_time(operation).await?;
        result.map_err(|error| store_error(self.name, &error))
    }

    /// Awaits a future within the operation timeout, and leaves the driver's errors to the caller.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] for a timeout.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl IntoFuture<Output = T>,
    ) -> Result<T, StoreError> {
        let answer = tokio::time::timeout(OPERATION_TIMEOUT, work.into_future()).await;
        answer.map_err(|_| {
            let seconds = OPERATION_TIMEOUT.as_secs();
            StoreError::unavailable(format!("{}: no answer within {seconds} s", self.name))
        })
    }

    /// Returns the document with this id; creates it from `fields` if there is none.
    pub(crate) async fn find_or_create(
        &self,
        collection: &str,
        id: &str,
        fields: Document,
    ) -> Result<Document, StoreError> {
        let collection = self.collection(collection);
        let upsert = collection
            .find_one_and_update(doc! { "_id": id }, doc! { "$setOnInsert": fields })
            .upsert(true)
            .return_document(ReturnDocument::After);
        let document = self.bounded(upsert).await?;
        document.ok_or_else(|| {
            let text = format!("{}: document {id}: the upsert returned nothing", self.name);
            StoreError::corrupt(text)
        })
    }

    /// Creates a collection, unless it exists.
    pub(crate) async fn create_collection(&self, collection: &str) -> Result<(), StoreError> {
        let create = self.database.create_collection(collection);
        match self.in_time(create).await? {
            Err(error) if code(&error) != Some(NAMESPACE_EXISTS) => {
                Err(store_error(self.name, &error))
            }
            _ => Ok(()),
        }
    }

    /// Retries until the server answers and `create_missing` has succeeded. Returns `false` if
    /// shutdown began first.
    pub(crate) async fn prepare(
        &self,
        shutdown: &Shutdown,
        create_missing: impl AsyncFn() -> Result<(), StoreError>,
    ) -> bool {
        let mut backoff = Backoff::default();
        let mut reminder = Reminder::default();
        while !shutdown.is_cancelled() {
            let error = match self.try_prepare(&create_missing).await {
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
        create_missing: &impl AsyncFn() -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if self.initiate_replica_set {
            self.initiate().await?;
        }
        self.check_primary().await?;
        create_missing().await
    }

    /// Checks that the driver talks to the primary.
    ///
    /// With `directConnection=true` the driver reads from the server that the URI names, even if it
    /// is a secondary, whose data may be stale.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] if the server does not answer or is not the primary.
    pub(crate) async fn check_primary(&self) -> Result<(), StoreError> {
        let hello = self.hello().await?;
        if hello.get_bool("isWritablePrimary").unwrap_or(false) {
            return Ok(());
        }
        Err(StoreError::unavailable(format!(
            "{}: the server in the URI is not the primary; list all members and replicaSet=NAME in \
             the URI, and remove directConnection",
            self.name
        )))
    }

    /// Returns the server's answer to `hello`: its state in the replica set.
    pub(crate) async fn hello(&self) -> Result<Document, StoreError> {
        self.bounded(self.database.run_command(doc! { "hello": 1 }))
            .await
    }

    /// Initiates the replica set, unless it is initiated already.
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
            Ok(_) => tracing::info!("replica set {name} initiated"),
            Err(error) if code(&error) == Some(ALREADY_INITIALIZED) => {}
            Err(error) => return Err(store_error(self.name, &error)),
        }
        Ok(())
    }
}

/// Returns the write concern of all writes: journaled on the majority.
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
    async fn errors_about_a_uri_contain_no_secret() {
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
