//! Upper limit of MongoDB: only the writes that every such system needs for an order. Three
//! concurrent stages, as in the system, each with batches of 500:
//!
//! 1. the event, with the same two indexes;
//! 2. the source order, and the status of its event;
//! 3. the presentation document.

use std::time::Instant;

use anyhow::Result;
use bakehouse_dev_servers::shared::mongodb_uri;
use futures_util::future::try_join3;
use mongodb::bson::{DateTime, Document, doc};
use mongodb::options::{Acknowledgment, CollectionOptions, IndexOptions, WriteConcern};
use mongodb::{Client, Collection, Database, IndexModel};
use tokio::sync::mpsc;

/// Number of orders in a batch.
const BATCH_SIZE: usize = 500;

/// A batch of orders, as a range of positions.
type Batch = std::ops::Range<i64>;

/// Returns the orders per second.
pub(crate) async fn measure(orders: u64) -> Result<f64> {
    let name = format!("limit{}", uuid::Uuid::now_v7().simple());
    let client = Client::with_uri_str(mongodb_uri(&name)).await?;
    let database = client.database(&name);
    prepare(&database).await?;
    let (stored, to_execute) = mpsc::channel(4);
    let (executed, to_bake) = mpsc::channel(4);
    let started = Instant::now();
    try_join3(
        store(collection(&database, "events"), orders, stored),
        execute(&database, to_execute, executed),
        bake(collection(&database, "documents"), to_bake),
    )
    .await?;
    let elapsed = started.elapsed();
    database.drop().await?;
    Ok(orders as f64 / elapsed.as_secs_f64())
}

fn collection(database: &Database, name: &str) -> Collection<Document> {
    let durable = WriteConcern::builder()
        .w(Acknowledgment::Majority)
        .journal(true)
        .build();
    let options = CollectionOptions::builder().write_concern(durable).build();
    database.collection_with_options(name, options)
}

async fn prepare(database: &Database) -> Result<()> {
    let events = database.collection::<Document>("events");
    let unique = IndexOptions::builder().unique(true).build();
    let operation = IndexModel::builder()
        .keys(doc! { "operation_id": 1 })
        .options(unique);
    events.create_index(operation.build()).await?;
    let entity = IndexModel::builder().keys(doc! { "entity_id": 1, "_id": 1 });
    events.create_index(entity.build()).await?;
    database.create_collection("orders").await?;
    database.create_collection("documents").await?;
    Ok(())
}

async fn store(
    events: Collection<Document>,
    orders: u64,
    stored: mpsc::Sender<Batch>,
) -> Result<()> {
    let last = i64::try_from(orders)?;
    for start in (1..=last).step_by(BATCH_SIZE) {
        let batch = start..(start + BATCH_SIZE as i64).min(last + 1);
        events
            .insert_many(batch.clone().map(event))
            .ordered(true)
            .await?;
        stored.send(batch).await?;
    }
    Ok(())
}

async fn execute(
    database: &Database,
    mut stored: mpsc::Receiver<Batch>,
    executed: mpsc::Sender<Batch>,
) -> Result<()> {
    let (orders, events) = (
        collection(database, "orders"),
        collection(database, "events"),
    );
    while let Some(batch) = stored.recv().await {
        orders
            .insert_many(batch.clone().map(order))
            .ordered(true)
            .await?;
        let filter = doc! { "_id": { "$gte": batch.start, "$lt": batch.end } };
        let update = doc! { "$set": { "status": "executed", "execution_time": DateTime::now() } };
        events.update_many(filter, update).await?;
        executed.send(batch).await?;
    }
    Ok(())
}

async fn bake(documents: Collection<Document>, mut executed: mpsc::Receiver<Batch>) -> Result<()> {
    while let Some(batch) = executed.recv().await {
        documents
            .insert_many(batch.map(document))
            .ordered(true)
            .await?;
    }
    Ok(())
}

fn product() -> Document {
    doc! { "name": "Tea", "price": "3.50", "quantity": 2, "sku": "A-1" }
}

fn event(position: i64) -> Document {
    let id = uuid::Uuid::now_v7().to_string();
    doc! {
        "_id": position,
        "service_name": "order",
        "operation": "INSERT",
        "operation_id": &id,
        "correlation_id": &id,
        "entity_id": format!("o-{position}"),
        "payload": {
            "command": "place", "products": [product()], "currency": "EUR",
            "customer": { "id": "c-1", "name": "Ada" }, "reference": format!("r-{position}"),
        },
        "fingerprint": "0123456789abcdef0123456789abcdef",
        "schema_version": 1,
        "status": "stored",
        "creation_time": DateTime::now(),
        "accepted_at": DateTime::now(),
    }
}

fn order(position: i64) -> Document {
    doc! {
        "_id": format!("o-{position}"),
        "number": position,
        "position": position,
        "version": 1_i64,
        "created_at": DateTime::now(),
        "updated_at": DateTime::now(),
        "state": {
            "status": "placed", "is_deleted": false, "currency": "EUR", "products": [product()],
            "customer": { "id": "c-1", "name": "Ada" }, "reference": format!("r-{position}"),
        },
    }
}

fn document(position: i64) -> Document {
    let mut document = order(position);
    document.insert("total", "7.00");
    document.insert("items_count", 2);
    document.insert(
        "timeline",
        vec![doc! { "position": position, "type": "order.created" }],
    );
    document
}
