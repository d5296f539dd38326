//! Reads that never miss what this process has seen before.
//!
//! A majority read by itself may. Whoever has just become primary has every write that was
//! acknowledged, but does not know of all of them that the majority has them, and answers
//! without them until it does. Therefore every read says what it must not be older than
//! (causal consistency): the latest commit of this process, and the latest read.
//!
//! And reads that nobody waits for any more hold up nobody. The driver's queue for its
//! connections (3.9) keeps the places of those who have given up, and passes over one of
//! them whenever somebody else comes; so whoever comes stands behind all of these for good,
//! and after a crowd that did not want to wait nobody is answered any more. Therefore reads
//! take turns before they get there, and go on to their end from there.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bakehouse_engine::ports::StoreError;
use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::{Document, Timestamp, doc};
use mongodb::options::FindOptions;

use crate::connection::Connection;
use crate::error::{code, store_error};

/// What it reads by was dropped, or has got another name.
const QUERY_PLAN_KILLED: i32 = 175;
/// Time in which a server that has just failed a read must say what its newest entry is.
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a read is begun: one collection after the other may be replaced meanwhile.
const READS: usize = 3;

/// The time of the latest that has been seen of a server; clones share it.
#[derive(Clone, Default)]
pub(crate) struct Horizon(Arc<Mutex<Option<Timestamp>>>);

impl Horizon {
    /// What the session has seen is not to be missed by others.
    pub(crate) fn reach(&self, session: &ClientSession) {
        let mut latest = self.latest();
        *latest = (*latest).max(session.operation_time());
    }

    fn hand_on(&self, session: &mut ClientSession) {
        if let Some(latest) = *self.latest() {
            session.advance_operation_time(latest);
        }
    }

    fn latest(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Time of the newest entry that the server has written.
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
    /// The documents that fit.
    pub(crate) async fn find(
        &self,
        collection: &str,
        filter: Document,
        options: FindOptions,
    ) -> Result<Vec<Document>, StoreError> {
        self.read(collection, &Query::Find(filter, Box::new(options)))
            .await
    }

    /// The document of an id.
    pub(crate) async fn find_by_id(
        &self,
        collection: &str,
        id: &str,
    ) -> Result<Option<Document>, StoreError> {
        let filter = doc! { "_id": id };
        let options = FindOptions::builder().limit(1).build();
        Ok(self.find(collection, filter, options).await?.pop())
    }

    /// What becomes of the documents.
    pub(crate) async fn aggregate(
        &self,
        collection: &str,
        pipeline: Vec<Document>,
    ) -> Result<Vec<Document>, StoreError> {
        self.read(collection, &Query::Aggregate(pipeline)).await
    }

    /// Once more from the start if what is read was replaced meanwhile by what had been
    /// made anew.
    async fn read(&self, collection: &str, query: &Query) -> Result<Vec<Document>, StoreError> {
        let mut reads = 1;
        loop {
            let answer = self.in_time(self.read_in_turn(collection, query)).await;
            let answer = match answer.and_then(|answer| answer) {
                Ok(answer) => answer,
                Err(_) if reads < READS && self.forget_lost_history().await => {
                    reads += 1;
                    continue;
                }
                Err(error) => return Err(error),
            };
            match answer {
                Err(error) if reads < READS && code(&error) == Some(QUERY_PLAN_KILLED) => {}
                Err(_) if reads < READS && self.forget_lost_history().await => {}
                answer => return answer.map_err(|error| store_error(self.name, &error)),
            }
            reads += 1;
        }
    }

    /// Forgets the horizon if the primary has no entry as new as that, which happens only
    /// after the replica set was restored to an earlier time. Says whether it did.
    ///
    /// Without this every read would wait for a time that belongs to the lost history, until
    /// the process is restarted. The check is safe: what the horizon is taken from was on the
    /// majority, and a primary elected by a majority has all of that.
    async fn forget_lost_history(&self) -> bool {
        let Some(horizon) = *self.horizon.latest() else {
            return false;
        };
        // Whoever reads has waited long enough if this was a server that does not answer.
        let Ok(Ok(hello)) = tokio::time::timeout(HELLO_TIMEOUT, self.hello()).await else {
            return false;
        };
        let is_primary = hello.get_bool("isWritablePrimary").unwrap_or(false);
        let Some(newest) = newest_entry(&hello).filter(|newest| is_primary && *newest < horizon)
        else {
            return false;
        };
        tracing::warn!(
            "{}: its newest entry ({}) is older than what was read before ({}): it was restored to \
             an earlier time; reading what is there now",
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

    /// Whoever waits for it may give up at any time; it has a limit of its own, for when
    /// nobody does.
    async fn read_in_turn(
        &self,
        collection: &str,
        query: &Query,
    ) -> Result<mongodb::error::Result<Vec<Document>>, StoreError> {
        // Nobody closes it.
        let turn = self.turns.clone().acquire_owned().await;
        let (connection, collection, query) = (self.clone(), collection.to_owned(), query.clone());
        let reading = tokio::spawn(async move {
            let _turn = turn;
            connection
                .in_time(connection.read_once(&collection, query))
                .await
        });
        let ended = reading.await;
        ended.unwrap_or_else(|error| Err(StoreError::unavailable(error.to_string())))
    }

    async fn read_once(
        &self,
        collection: &str,
        query: Query,
    ) -> mongodb::error::Result<Vec<Document>> {
        let collection = self.collection(collection);
        let mut session = self.client.start_session().await?;
        self.horizon.hand_on(&mut session);
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
            app_name: "reading".into(),
            initiate_replica_set: false,
        };
        let connected = Connection::new(&settings, "source database").await;
        connected.expect("a usable URI")
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
        // The set of one has no secondary: a read that may only go there finds no server.
        let found = connection.find("c", Document::new(), FindOptions::default());
        assert_eq!(found.await, Ok(Vec::new()));
    }

    #[tokio::test]
    async fn a_time_of_a_lost_history_does_not_block_reads() {
        let connection = connection("").await;
        connection.make("c").await.expect("made");
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
    async fn the_primary_is_asked_and_its_horizon_kept() {
        let connection = connection("").await;
        connection.make("c").await.expect("made");
        let read = connection.find("c", Document::new(), FindOptions::default());
        read.await.expect("read");
        let before = *connection.horizon.latest();
        assert!(before.is_some());
        assert!(!connection.forget_lost_history().await);
        assert_eq!(*connection.horizon.latest(), before);
        assert_eq!(connection.ask_primary().await, Ok(()));
    }
}
