//! The stores from outside, with drivers of their own: to break what nothing
//! but an accident would break, and to take away what can be made anew.

use mongodb::Collection;
use mongodb::bson::{Document, doc, serialize_to_bson};

use crate::{Kind, World};

/// The state of an order in the source database becomes `state` (JSON); says
/// what it was.
///
/// # Panics
/// When there is no such order.
pub async fn replace_state(world: &World, kind: Kind, order: &str, state: &str) -> String {
    match kind {
        Kind::Embedded => {
            let database = embedded(world);
            let read = "SELECT state FROM entities WHERE id = ?1";
            let before: String = database
                .query_row(read, [order], |row| row.get(0))
                .expect("the order's state");
            let write = "UPDATE entities SET state = ?2 WHERE id = ?1";
            database.execute(write, [order, state]).expect("written");
            before
        }
        Kind::Servers => {
            let state: serde_json::Value = serde_json::from_str(state).expect("JSON");
            let state = serialize_to_bson(&state).expect("BSON");
            let orders = collection(world, SOURCE, "orders").await;
            let before = orders
                .find_one_and_update(doc! { "_id": order }, doc! { "$set": { "state": state } })
                .await
                .expect("an answer")
                .expect("the order");
            let before = before.get("state").expect("a state").clone();
            serde_json::to_string(&before).expect("JSON")
        }
    }
}

/// An order's document says another reference than the log.
///
/// # Panics
/// When there is no such order.
pub async fn forge_document(world: &World, kind: Kind, order: &str) {
    match kind {
        Kind::Embedded => {
            let forge = "UPDATE documents SET body = json_set(body, '$.reference', 'forged') \
                WHERE id = ?1";
            let changed = embedded(world).execute(forge, [order]);
            assert_eq!(changed.expect("written"), 1);
        }
        Kind::Servers => {
            let orders = collection(world, PRESENTATION, "orders").await;
            let forge = doc! { "$set": { "reference": "forged" } };
            let changed = orders.update_one(doc! { "_id": order }, forge).await;
            assert_eq!(changed.expect("written").modified_count, 1);
        }
    }
}

/// Keeps the orders of the embedded store and their documents as they are, for [`put_back`].
///
/// # Panics
/// When they cannot be kept.
pub fn keep(world: &World) {
    let database = embedded(world);
    for table in KEPT {
        let keep = format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}");
        database.execute(&keep, []).expect("kept");
    }
}

/// An order and its document are again what they were.
///
/// # Panics
/// When nothing was kept.
pub fn put_back(world: &World, order: &str) {
    let database = embedded(world);
    for table in KEPT {
        let remove = format!("DELETE FROM {table} WHERE id = ?1");
        assert_eq!(database.execute(&remove, [order]).expect("removed"), 1);
        let put = format!("INSERT INTO {table} SELECT * FROM kept_{table} WHERE id = ?1");
        assert_eq!(database.execute(&put, [order]).expect("put back"), 1);
    }
}

const KEPT: [&str; 2] = ["entities", "documents"];

/// The frame of a position is gone.
///
/// # Panics
/// When there was none.
pub async fn remove_frame(world: &World, kind: Kind, position: i64) {
    remove(world, kind, "frames", (PRESENTATION, "feed"), position).await;
}

/// The event of a position is gone.
///
/// # Panics
/// When there was none.
pub async fn remove_event(world: &World, kind: Kind, position: i64) {
    remove(world, kind, "events", (SOURCE, "events"), position).await;
}

/// What there is at a position: of a table, or of the collection of a database.
async fn remove(world: &World, kind: Kind, table: &str, of: (&str, &str), position: i64) {
    let removed = match kind {
        Kind::Embedded => {
            let remove = format!("DELETE FROM {table} WHERE position = ?1");
            let removed = embedded(world).execute(&remove, [position]);
            removed.expect("written") as u64
        }
        Kind::Servers => {
            let collection = collection(world, of.0, of.1).await;
            let removed = collection.delete_one(doc! { "_id": position }).await;
            removed.expect("written").deleted_count
        }
    };
    assert_eq!(removed, 1);
}

/// Drops the source orders, and the whole presentation.
///
/// # Panics
/// When a store does not answer.
pub async fn forget(world: &World, kind: Kind) {
    match kind {
        Kind::Embedded => {
            let forget = "DELETE FROM entities; DELETE FROM documents; DELETE FROM frames; \
                UPDATE checkpoints SET position = 0, entities = 0, parked = 0 \
                WHERE name IN ('orders-manager', 'data-baker');";
            embedded(world).execute_batch(forget).expect("forgotten");
        }
        Kind::Servers => {
            let source = database(world, SOURCE).await;
            let orders = source.collection::<Document>("orders");
            orders.drop().await.expect("dropped");
            let checkpoint = doc! { "_id": "orders-manager" };
            let checkpoints = source.collection::<Document>("checkpoints");
            checkpoints.delete_one(checkpoint).await.expect("deleted");
            let presentation = database(world, PRESENTATION).await;
            presentation.drop().await.expect("dropped");
        }
    }
}

/// Collections of a rebuild beside those that are read.
///
/// # Panics
/// When a database does not answer.
pub async fn shadows(world: &World) -> Vec<String> {
    let mut all = Vec::new();
    for variable in [SOURCE, PRESENTATION] {
        let database = database(world, variable).await;
        let names = database.list_collection_names().await;
        all.extend(names.expect("names"));
    }
    let is_shadow = |name: &String| {
        let round = name.rsplit_once("_r").map(|(_, round)| round);
        round.is_some_and(|round| round.parse::<u64>().is_ok())
    };
    all.retain(is_shadow);
    all
}

/// Setting that says where the source database is.
pub const SOURCE: &str = "BAKEHOUSE_MONGODB__SOURCE_URI";
/// Setting that says where the presentation database is.
pub const PRESENTATION: &str = "BAKEHOUSE_MONGODB__PRESENTATION_URI";

/// A write to the stores from outside, in both worlds.
pub struct Write {
    /// Statement for the embedded store.
    pub sql: String,
    /// Database (by its setting) and collection in MongoDB.
    pub of: (&'static str, &'static str),
    /// Kind of change that is done there.
    pub what: What,
}

/// A write to a collection.
pub enum What {
    /// Changes the document that fits.
    Change(Document, Document),
    /// Adds a document.
    Insert(Document),
    /// Removes the document that fits.
    Remove(Document),
}

/// Writes; something must have changed.
///
/// # Panics
/// When it has not.
pub async fn write(world: &World, kind: Kind, write: Write) {
    let written = match kind {
        Kind::Embedded => {
            let written = embedded(world).execute(&write.sql, []);
            written.expect("written") as u64
        }
        Kind::Servers => {
            let collection = collection(world, write.of.0, write.of.1).await;
            match write.what {
                What::Change(which, set) => {
                    let written = collection.update_one(which, doc! { "$set": set }).await;
                    written.expect("written").modified_count
                }
                What::Insert(row) => {
                    collection.insert_one(row).await.expect("written");
                    1
                }
                What::Remove(which) => {
                    let removed = collection.delete_one(which).await;
                    removed.expect("written").deleted_count
                }
            }
        }
    };
    assert_eq!(written, 1, "{}", write.sql);
}

/// The database of the embedded store, beside the server.
///
/// # Panics
/// When it cannot be opened.
#[must_use]
pub fn embedded(world: &World) -> rusqlite::Connection {
    let file = world.folder().join("data/bakehouse.db");
    rusqlite::Connection::open(file).expect("it opens")
}

async fn database(world: &World, variable: &str) -> mongodb::Database {
    let client = mongodb::Client::with_uri_str(world.setting(variable)).await;
    let client = client.expect("a client");
    client.default_database().expect("a name")
}

async fn collection(world: &World, variable: &str, name: &str) -> Collection<Document> {
    database(world, variable).await.collection(name)
}

/// Who asked for the event at a position, and in whose stead.
///
/// # Panics
/// When there is none.
pub async fn who_asked(world: &World, kind: Kind, position: i64) -> (String, String) {
    match kind {
        Kind::Embedded => {
            let query = "SELECT actor, on_behalf_of FROM events WHERE position = ?1";
            let found =
                embedded(world).query_row(query, [position], |row| Ok((row.get(0)?, row.get(1)?)));
            found.expect("an event")
        }
        Kind::Servers => {
            let events = collection(world, SOURCE, "events").await;
            let event = events.find_one(doc! { "_id": position }).await;
            let event = event.expect("an answer").expect("an event");
            let text = |name: &str| event.get_str(name).expect("text").to_owned();
            (text("actor"), text("on_behalf_of"))
        }
    }
}
