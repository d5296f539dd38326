//! Direct access to the stores with their own drivers: damages data as only an accident would,
//! and deletes data that a rebuild restores.

use mongodb::Collection;
use mongodb::bson::{Document, doc, serialize_to_bson};

use crate::{Kind, World};

/// Replaces the state of an order in the source database by `state` (JSON), and returns the
/// previous one.
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

/// Changes the reference in the document of an order, so that it differs from the log.
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

/// Copies the orders of the embedded store and their documents, for [`put_back`].
///
/// # Panics
/// When they cannot be copied.
pub fn keep(world: &World) {
    let database = embedded(world);
    for table in COPIED_TABLES {
        let copy = format!("CREATE TABLE kept_{table} AS SELECT * FROM {table}");
        database.execute(&copy, []).expect("kept");
    }
}

/// Restores an order and its document from the copy made by [`keep`].
///
/// # Panics
/// When there is no copy.
pub fn put_back(world: &World, order: &str) {
    let database = embedded(world);
    for table in COPIED_TABLES {
        let remove = format!("DELETE FROM {table} WHERE id = ?1");
        assert_eq!(database.execute(&remove, [order]).expect("removed"), 1);
        let put = format!("INSERT INTO {table} SELECT * FROM kept_{table} WHERE id = ?1");
        assert_eq!(database.execute(&put, [order]).expect("put back"), 1);
    }
}

const COPIED_TABLES: [&str; 2] = ["entities", "documents"];

/// Deletes the frame at a position.
///
/// # Panics
/// When there is none.
pub async fn remove_frame(world: &World, kind: Kind, position: i64) {
    remove(world, kind, "frames", (PRESENTATION, "feed"), position).await;
}

/// Deletes the log entry at a position.
///
/// # Panics
/// When there is none.
pub async fn remove_event(world: &World, kind: Kind, position: i64) {
    remove(world, kind, "events", (SOURCE, "events"), position).await;
}

/// Deletes the row at a position from a table, or from the collection of a database (`of`).
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

/// Deletes the source orders with their checkpoint, and the complete presentation.
///
/// # Panics
/// When a store does not answer.
pub async fn forget(world: &World, kind: Kind) {
    match kind {
        Kind::Embedded => {
            let delete = "DELETE FROM entities; DELETE FROM documents; DELETE FROM frames; \
                UPDATE checkpoints SET position = 0, entities = 0, parked = 0 \
                WHERE name IN ('orders-manager', 'data-baker');";
            embedded(world).execute_batch(delete).expect("deleted");
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

/// Returns the names of the shadow collections of rebuilds.
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
        let rebuild_id = name.rsplit_once("_r").map(|(_, id)| id);
        rebuild_id.is_some_and(|id| id.parse::<u64>().is_ok())
    };
    all.retain(is_shadow);
    all
}

/// Setting with the URI of the source database.
pub const SOURCE: &str = "BAKEHOUSE_MONGODB__SOURCE_URI";
/// Setting with the URI of the presentation database.
pub const PRESENTATION: &str = "BAKEHOUSE_MONGODB__PRESENTATION_URI";

/// Direct write to a store, for both kinds of worlds.
pub struct Write {
    /// SQL statement for the embedded store.
    pub sql: String,
    /// Database (by its setting) and collection for MongoDB.
    pub of: (&'static str, &'static str),
    /// Change of that collection.
    pub change: Change,
}

/// Change of a collection.
pub enum Change {
    /// Sets fields of the document that matches the filter.
    Update(Document, Document),
    /// Inserts a document.
    Insert(Document),
    /// Removes the document that matches the filter.
    Remove(Document),
}

/// Executes a direct write.
///
/// # Panics
/// When it does not change exactly one row or document.
pub async fn write(world: &World, kind: Kind, write: Write) {
    let written = match kind {
        Kind::Embedded => {
            let written = embedded(world).execute(&write.sql, []);
            written.expect("written") as u64
        }
        Kind::Servers => {
            let collection = collection(world, write.of.0, write.of.1).await;
            match write.change {
                Change::Update(filter, set) => {
                    let written = collection.update_one(filter, doc! { "$set": set }).await;
                    written.expect("written").modified_count
                }
                Change::Insert(row) => {
                    collection.insert_one(row).await.expect("written");
                    1
                }
                Change::Remove(filter) => {
                    let removed = collection.delete_one(filter).await;
                    removed.expect("written").deleted_count
                }
            }
        }
    };
    assert_eq!(written, 1, "{}", write.sql);
}

/// Opens the database of the embedded store, in parallel to the server.
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

/// Returns the actor of the log entry at a position, and the subject it acts on behalf of.
///
/// # Panics
/// When there is none.
pub async fn actors(world: &World, kind: Kind, position: i64) -> (String, String) {
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
