//! The warehouse, as an example of a process manager and of three modes: memory and
//! synchronous, on disk and synchronous, asynchronous (on disk, and over the broker).

use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Answer, Client, Kind, World};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(20);

/// Writes the named tests once for each mode.
macro_rules! in_all_modes {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::start(super::Kind::Embedded, "memory").await).await;
            })*
        }
        mod synchronous {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::start(super::Kind::Embedded, "synchronous").await).await;
            })*
        }
        mod asynchronous {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::start(super::Kind::Embedded, "asynchronous").await).await;
            })*
        }
        mod over_the_broker {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $test() {
                super::$test(super::start(super::Kind::Servers, "asynchronous").await).await;
            })*
        }
    };
}

in_all_modes!(
    no_more_than_the_stock_can_be_shipped,
    low_stock_is_reported_once_per_crossing,
    invalid_quantities_are_refused_with_a_pointer,
    concurrent_shipments_never_exceed_the_stock,
);

async fn start(kind: Kind, mode: &str) -> World {
    let mut world =
        World::prepare_domain(kind, &["warehouse"], "/products-events").expect("prepared");
    world.set("BAKEHOUSE_MODE", mode);
    world.begin().await.expect("it starts");
    world
}

async fn change(client: &Client, what: &str, sku: &str, quantity: &Value) -> Result<Answer> {
    let at = format!("/warehouse/products/{sku}/{what}_quantity");
    let body = json!({ "quantity": quantity }).to_string();
    client.post_with(&at, &[("Prefer", "wait=20")], body).await
}

async fn done(client: &Client, what: &str, sku: &str, quantity: u64) {
    let answer = change(client, what, sku, &json!(quantity)).await;
    assert_eq!(answer.expect("an answer").status, 200);
}

async fn products(client: &Client) -> Value {
    client
        .get("/warehouse/products")
        .await
        .expect("a list")
        .json()
}

async fn notified(client: &Client, sku: &str) -> Vec<Value> {
    let at = format!("/warehouse/products/{sku}/notifications");
    let lines = client.get(&at).await.expect("a list").json();
    lines.as_array().expect("an array").clone()
}

/// The refusal is in the same answer.
async fn no_more_than_the_stock_can_be_shipped(world: World) {
    let client = world.client();
    assert_eq!(products(&client).await, json!([]));
    done(&client, "increase", "nut-8", 10).await;
    done(&client, "increase", "bolt-8", 3).await;
    let shipped = change(&client, "ship", "nut-8", &json!(4))
        .await
        .expect("an answer");
    assert_eq!(shipped.json(), json!({ "sku": "nut-8", "quantity": 6 }));
    let refused = change(&client, "ship", "nut-8", &json!(7))
        .await
        .expect("an answer");
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["detail"], "Insufficient quantity on hand.");
    assert_eq!(refused.json()["code"], "insufficient-quantity");
    let unknown = change(&client, "ship", "washer", &json!(1))
        .await
        .expect("an answer");
    assert_eq!(unknown.json()["detail"], "Insufficient quantity on hand.");
    assert_eq!(
        products(&client).await,
        json!([{ "sku": "nut-8", "quantity": 6 }, { "sku": "bolt-8", "quantity": 3 }])
    );
}

/// A kill in between, where anything is kept, changes nothing about it.
async fn low_stock_is_reported_once_per_crossing(mut world: World) {
    let client = world.client();
    let told = async |times: usize| {
        let all = wait(LIMIT, "being told", async || {
            notified(&client, "cog").await.len() == times
        });
        all.await.expect("told");
    };
    // Few, but never more than that: nothing is crossed.
    done(&client, "increase", "cog", 5).await;
    done(&client, "ship", "cog", 1).await;
    done(&client, "increase", "cog", 6).await;
    done(&client, "ship", "cog", 4).await;
    done(&client, "ship", "cog", 1).await;
    told(1).await;
    done(&client, "ship", "cog", 1).await;
    if world.setting("BAKEHOUSE_MODE") != "memory" {
        world.process("warehouse").kill();
        world.begin().await.expect("it is back");
    }
    done(&client, "increase", "cog", 10).await;
    done(&client, "ship", "cog", 9).await;
    told(2).await;
    let lines = notified(&client, "cog").await;
    assert_eq!(lines[0]["message"], json!({ "sku": "cog", "quantity": 5 }));
    assert_eq!(lines[1]["message"], json!({ "sku": "cog", "quantity": 5 }));
    wait(LIMIT, "its delivery", async || {
        notified(&client, "cog")
            .await
            .iter()
            .all(|line| line["status"] == "sent")
    })
    .await
    .expect("delivered");
}

async fn invalid_quantities_are_refused_with_a_pointer(world: World) {
    let client = world.client();
    for wrong in [json!(0), json!(-1), json!(1.5), json!("1"), json!(null)] {
        let answer = change(&client, "increase", "a", &wrong)
            .await
            .expect("an answer");
        assert_eq!(answer.status, 400, "{wrong}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/quantity");
    }
    let answer = change(&client, "increase", "a%20b", &json!(1))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 404);
    assert_eq!(products(&client).await, json!([]));
}

/// However they meet, nobody ships what is not there, and the feed has each once.
async fn concurrent_shipments_never_exceed_the_stock(world: World) {
    let client = world.client();
    done(&client, "increase", "gear", 30).await;
    let one = json!(1);
    let all = (0..50).map(|_| change(&client, "ship", "gear", &one));
    let answers = futures_util::future::join_all(all).await;
    let statuses = answers
        .iter()
        .map(|answer| answer.as_ref().expect("an answer").status);
    let shipped = statuses.clone().filter(|status| *status == 200).count();
    let refused = statuses.filter(|status| *status == 409).count();
    assert_eq!((shipped, refused), (30, 20));
    let mut feed = world.feed("since=0").await.expect("a feed");
    let frames = feed.events_up_to(51).await.expect("frames");
    let shipped = frames
        .iter()
        .filter(|frame| frame["type"] == "product.shipped");
    assert_eq!(shipped.count(), 30);
    assert_eq!(products(&client).await[0]["quantity"], 0);
}

/// What one mode has left, the next one finds.
#[tokio::test(flavor = "multi_thread")]
async fn modes_can_be_changed_on_one_store() {
    let mut world = start(Kind::Embedded, "asynchronous").await;
    let client = world.client();
    let at = "/warehouse/products/pin/increase_quantity";
    for _ in 0..9 {
        let answer = client.post_to(at, r#"{"quantity":1}"#).await;
        assert_eq!(answer.expect("an answer").status, 202);
    }
    // Accepted, and perhaps not yet executed.
    world.process("warehouse").kill();
    for mode in ["synchronous", "asynchronous", "synchronous"] {
        world.stop_all().expect("it ends");
        world.set("BAKEHOUSE_MODE", mode);
        world.begin().await.expect("it starts");
        done(&client, "ship", "pin", 2).await;
    }
    assert_eq!(products(&client).await[0]["quantity"], 3);
    wait(LIMIT, "being told", async || {
        notified(&client, "pin").await.len() == 1
    })
    .await
    .expect("once");
}
