//! Causally consistent reads: a read is never older than a commit or read of this process.
//!
//! A majority read alone does not guarantee this. A new primary has every acknowledged write, but
//! does not know at once which of them the majority has, and answers without them until it does.
//! Therefore every read carries the latest operation time this process has seen (`horizon`).
//!
//! Cancelled reads do not delay later ones. The driver (3.9) keeps cancelled requests in its queue
//! for connections and drops one of them only when another request arrives, so after a burst of
//! cancelled reads every later read would wait behind them. Therefore a read first acquires a
//! permit, which is cancellable, and from then on runs to its end in a task of its own.

use std::time::Duration;

use bakehouse_engine::ports::StoreError;
use futures_util::TryStreamExt;
use mongodb::bson::{Document, Timestamp, doc};
use mongodb::options::FindOptions;

use crate::connection::Connection;
use crate::error::{code, store_error};

/// Error code for a read whose collection was dropped or renamed meanwhile.
const QUERY_PLAN_KILLED: i32 = 175;
/// Timeout for asking a server that has just failed a read for its newest entry.
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);
/// Attempts per read: a rebuild may replace several collections one after the other.
const MAX_ATTEMPTS: usize = 3;

/// Returns the time of the newest oplog entry of the server.
fn newest_entry(hello: &Document) -> Option<Timestamp> {
    let last_write = hello.get_document("lastWrite").ok()?;
    let entry = last_write.get_document("opTime").ok()?;
    entry.get_timestamp("ts").ok()
}

#[derive(Clone)]
enum Query {
    Find(Document, Box<FindOptions>),
    Aggregate(Vec<Document>),
}

impl Connection {
    /// Returns the documents that match the filter.
    pub(crate) async fn find(
        &self,
        collection: &str,
        filter: Document,
        options: FindOptions,
    ) -> Result<Vec<Document>, StoreError> {
        self.read(collection, &Query::Find(filter, Box::new(options)))
            .await
    }

    /// Returns the document with this id.
    pub(crate) async fn find_by_id(
        &self,
        collection: &str,
        id: &str,
    ) -> Result<Option<Document>, StoreError> {
        let filter = doc! { "_id": id };
        let options = FindOptions::builder().limit(1).build();
        Ok(self.find(collection, filter, options).await?.pop())
    }

    /// Returns the results of an aggregation pipeline.
    pub(crate) async fn aggregate(
        &self,
        collection: &str,
        pipeline: Vec<Document>,
    ) -> Result<Vec<Document>, StoreError> {
        self.read(collection, &Query::Aggregate(pipeline)).await
    }

    /// Reads, and starts over if a rebuild replaced the collection meanwhile.
    async fn read(&self, collection: &str, query: &Query) -> Result<Vec<Document>, StoreError> {
        let mut attempt = 1;
        loop {
            let answer = self.in_time(self.read_with_permit(collection, query)).await;
            let answer = match answer.and_then(|answer| answer) {
                Ok(answer) => answer,
                Err(_) if attempt < MAX_ATTEMPTS && self.forget_lost_history().await => {
                    attempt += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match answer {
                Err(error) if attempt < MAX_ATTEMPTS && code(&error) == Some(QUERY_PLAN_KILLED) => {
                }
                Err(_) if attempt < MAX_ATTEMPTS && self.forget_lost_history().await => {}
                answer => return answer.map_err(|error| store_error(self.name, &error)),
            }
            attempt += 1;
        }
    }

    /// Resets the horizon if the primary's newest entry is older, which happens only after the
    /// replica set was restored to an earlier time. Returns whether it did.
    ///
    /// Otherwise every read would wait for a time of the lost history until the process restarts.
    /// The check is safe: every operation time in the horizon was on the majority, and a primary
    /// elected by a majority has all of those.
    async fn forget_lost_history(&self) -> bool {
        let Some(horizon) = *self.horizon.latest() else {
            return false;
        };
        // The caller has already waited for a full operation timeout if the server hangs.
        let Ok(Ok(hello)) = tokio::time::timeout(HELLO_TIMEOUT, self.hello()).await else {
            return false;
        };
        let is_primary = hello.get_bool("isWritablePrimary").unwrap_or(false);
        let Some(newest) = newest_entry(&hello).filter(|newest| is_primary && *newest < horizon)
        else {
            return false;
        };
        tracing::warn!(
            "{}: newest entry ({}) is older than earlier reads ({}): the replica set was restored \
             to an earlier time; reading its current data",
            self.name,
            newest.time,
            horizon.time
        );
        let mut latest = self.horizon.latest();
        if *latest == Some(horizon) {
            *latest = None;
        }
        true
    }

    /// Reads once, with a permit. The caller may drop the future at any time; the read itself goes
    /// on until it ends or times out.
    async fn read_with_permit(
        &self,
        collection: &str,
        query: &Query,
    ) -> Result<mongodb::error::Result<Vec<Document>>, StoreError> {
        // Never an error: the semaphore is never closed.
        let permit = self.read_permits.clone().acquire_owned().await;
        let (connection, collection, query) = (self.clone(), collection.to_owned(), query.clone());
        let task = tokio::spawn(async move {
            let _permit = permit;
            connection
                .in_time(connection.read_once(&collection, query))
                .await
        });
        let outcome = task.await;
        outcome.unwrap_or_else(|error| Err(StoreError::unavailable(error.to_string())))
    }

    async fn read_once(
        &self,
        collection: &str,
        query: Query,
    ) -> mongodb::error::Result<Vec<Document>> {
        let collection = self.collection(collection);
        let mut session = self.client.start_session().await?;
        self.horizon.apply_to(&mut session);
        let mut cursor = match query {
            Query::Find(filter, options) => {
                let find = collection.find(filter).with_options(*options);
                find.session(&mut session).await?
            }
            Query::Aggregate(pipeline) => {
                let aggregate = collection.aggregate(pipeline);
                aggregate.session(&mut session).await?
            }
        };
        let rows = cursor.stream(&mut session).try_collect().await?;
        self.horizon.reach(&session);
        Ok(rows)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bakehouse_dev_servers::shared::mongodb_uri;

    use mongodb::options::{ReadPreference, SelectionCriteria};

    use super::*;
    use crate::connection::Settings;

    async fn connection(options: &str) -> Connection {
        let uri = mongodb_uri(&format!("t-{}", bakehouse_engine::model::ids::fresh()));
        let separator = if options.is_empty() { "" } else { "&" };
        let settings = Settings {
            uri: format!("{uri}{separator}{options}"),
            app_name: "reads".into(),
            initiate_replica_set: false,
        };
        let connected = Connection::new(&settings, "source database").await;
        connected.expect("a valid URI")
    }

    #[tokio::test]
    async fn a_uri_cannot_weaken_reads_and_writes() {
        let weak = "readPreference=secondary&maxStalenessSeconds=120&w=1&journal=false\
                    &readConcernLevel=local";
        let connection = connection(weak).await;
        let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
        assert_eq!(connection.client.selection_criteria(), Some(&primary));
        let concern = connection.client.write_concern();
        assert_eq!(concern, Some(&crate::connection::durable()));
        let concern = connection.client.read_concern();
        assert_eq!(concern, Some(&mongodb::options::ReadConcern::majority()));
        // The set has one member: a read restricted to secondaries would find no server.
        let found = connection.find("c", Document::new(), FindOptions::default());
        assert_eq!(found.await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_time_of_a_lost_history_does_not_block_reads() {
        let connection = connection("").await;
        connection.create_collection("c").await.expect("created");
        let hello = connection.hello().await.expect("an answer");
        let newest = newest_entry(&hello).expect("a time");
        let future = Timestamp {
            time: newest.time + 3_600,
            increment: 1,
        };
        *connection.horizon.latest() = Some(future);
        let found = connection.find("c", Document::new(), FindOptions::default());
        let found = tokio::time::timeout(Duration::from_secs(50), found).await;
        assert_eq!(found.expect("in time"), Ok(Vec::new()));
        let now = *connection.horizon.latest();
        assert!(now < Some(future), "{now:?}");
    }

    #[tokio::test]
    async fn a_primary_with_current_entries_keeps_the_horizon() {
        let connection = connection("").await;
        connection.create_collection("c").await.expect("created");
        let read = connection.find("c", Document::new(), FindOptions::default());
        read.await.expect("read");
        let before = *connection.horizon.latest();
        assert!(before.is_some());
        assert!(!connection.forget_lost_history().await);
        assert_eq!(*connection.horizon.latest(), before);
        assert_eq!(connection.check_primary().await, Ok(()));
    }
}
