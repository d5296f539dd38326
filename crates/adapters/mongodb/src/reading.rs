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

use bakehouse_pipeline::ports::StoreError;
use futures_util::TryStreamExt;
use mongodb::ClientSession;
use mongodb::bson::{Document, Timestamp, doc};
use mongodb::options::FindOptions;

use crate::connection::Connection;
use crate::error::{code, store_error};

/// What it reads by was dropped, or has got another name.
const QUERY_PLAN_KILLED: i32 = 175;
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
            match self.in_time(self.read_in_turn(collection, query)).await?? {
                Err(error) if reads < READS && code(&error) == Some(QUERY_PLAN_KILLED) => {}
                answer => return answer.map_err(|error| store_error(self.name, &error)),
            }
            reads += 1;
        }
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
