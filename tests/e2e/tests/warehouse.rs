//! The warehouse example: a process manager, in the modes memory, synchronous and asynchronous, the
//! latter on the embedded store and on servers.

use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Answer, Client, Kind, World};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_secs(20);

/// Defines each named test once per mode.
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

async fn change(client: &Client, verb: &str, sku: &str, quantity: &Value) -> Result<Answer> {
    let at = format!("/warehouse/products/{sku}/{verb}_quantity");
    let body = json!({ "quantity": quantity }).to_string();
    client.post_with(&at, &[("Prefer", "wait=20")], body).await
}

async fn change_executed(client: &Client, verb: &str, sku: &str, quantity: u64) {
    let answer = change(client, verb, sku, &json!(quantity)).await;
    assert_eq!(answer.expect("an answer").status, 200);
}

async fn products(client: &Client) -> Value {
    client
        .get("/warehouse/products")
        .await
        .expect("a list")
        .json()
}

async fn notifications(client: &Client, sku: &str) -> Vec<Value> {
    let at = format!("/warehouse/products/{sku}/notifications");
    let lines = client.get(&at).await.expect("a list").json();
    lines.as_array().expect("an array").clone()
}

/// Checks that a shipment is answered with its outcome, and refused if the stock is insufficient.
async fn no_more_than_the_stock_can_be_shipped(world: World) {
    let client = world.client();
    assert_eq!(products(&client).await, json!([]));
    change_executed(&client, "increase", "nut-8", 10).await;
    change_executed(&client, "increase", "bolt-8", 3).await;
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

/// Checks that each crossing of the threshold is reported once, also if the process is killed in
/// between.
async fn low_stock_is_reported_once_per_crossing(mut world: World) {
    let client = world.client();
    let wait_for_notifications = async |times: usize| {
        let all = wait(TIMEOUT, "notifications", async || {
            notifications(&client, "cog").await.len() == times
        });
        all.await.expect("notifications");
    };
    // A stock that was never above the threshold does not cross it.
    change_executed(&client, "increase", "cog", 5).await;
    change_executed(&client, "ship", "cog", 1).await;
    change_executed(&client, "increase", "cog", 6).await;
    change_executed(&client, "ship", "cog", 4).await;
    change_executed(&client, "ship", "cog", 1).await;
    wait_for_notifications(1).await;
    change_executed(&client, "ship", "cog", 1).await;
    if world.setting("BAKEHOUSE_MODE") != "memory" {
        world.process("warehouse").kill();
        world.begin().await.expect("it is back");
    }
    change_executed(&client, "increase", "cog", 10).await;
    change_executed(&client, "ship", "cog", 9).await;
    wait_for_notifications(2).await;
    let lines = notifications(&client, "cog").await;
    assert_eq!(lines[0]["message"], json!({ "sku": "cog", "quantity": 5 }));
    assert_eq!(lines[1]["message"], json!({ "sku": "cog", "quantity": 5 }));
    wait(TIMEOUT, "its delivery", async || {
        notifications(&client, "cog")
            .await
            .iter()
            .all(|line| line["status"] == "sent")
    })
    .await
    .expect("delivered");
}

async fn invalid_quantities_are_refused_with_a_pointer(world: World) {
    let client = world.client();
    for invalid in [json!(0), json!(-1), json!(1.5), json!("1"), json!(null)] {
        let answer = change(&client, "increase", "a", &invalid)
            .await
            .expect("an answer");
        assert_eq!(answer.status, 400, "{invalid}");
        assert_eq!(answer.json()["errors"][0]["pointer"], "/quantity");
    }
    let answer = change(&client, "increase", "a%20b", &json!(1))
        .await
        .expect("an answer");
    assert_eq!(answer.status, 404);
    assert_eq!(products(&client).await, json!([]));
}

/// Checks that concurrent shipments never exceed the stock, and that the feed has each one once.
async fn concurrent_shipments_never_exceed_the_stock(world: World) {
    let client = world.client();
    change_executed(&client, "increase", "gear", 30).await;
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

/// Checks that a store can be used in one mode after another.
#[tokio::test(flavor = "multi_thread")]
async fn modes_can_be_changed_on_one_store() {
    let mut world = start(Kind::Embedded, "asynchronous").await;
    let client = world.client();
    let at = "/warehouse/products/pin/increase_quantity";
    for _ in 0..9 {
        let answer = client.post_to(at, r#"{"quantity":1}"#).await;
        assert_eq!(answer.expect("an answer").status, 202);
    }
    // The changes are accepted, and may not be executed yet.
    world.process("warehouse").kill();
    for mode in ["synchronous", "asynchronous", "synchronous"] {
        world.stop_all().expect("it ends");
        world.set("BAKEHOUSE_MODE", mode);
        world.begin().await.expect("it starts");
        change_executed(&client, "ship", "pin", 2).await;
    }
    assert_eq!(products(&client).await[0]["quantity"], 3);
    wait(TIMEOUT, "notifications", async || {
        notifications(&client, "pin").await.len() == 1
    })
    .await
    .expect("once");
}
