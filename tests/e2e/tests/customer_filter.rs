//! Feed subscriptions that filter by customer, while the customer of an order changes.

use bakehouse_e2e::{Kind, World, in_both_worlds};
use serde_json::{Value, json};

in_both_worlds!(a_subscriber_is_notified_once_when_an_order_leaves_its_filter);

fn order(customer: Option<&str>) -> String {
    let mut order = json!({ "products": [{ "name": "Tea", "price": "3.50" }] });
    if let Some(id) = customer {
        order["customer"] = json!({ "id": id });
    }
    order.to_string()
}

/// Returns position, type and the flag `left` of each event up to a position.
async fn received(world: &World, filter: &str, last: u64) -> Vec<(u64, String, bool)> {
    let query = format!("since=0&{filter}");
    let mut feed = world.feed(&query).await.expect("a subscription");
    let events = feed.events_up_to(last).await.expect("events");
    events.iter().map(summary).collect()
}

fn summary(event: &Value) -> (u64, String, bool) {
    let kind = event["type"].as_str().expect("a type");
    let position = event["position"].as_u64().expect("a position");
    (position, kind.to_owned(), event["left"] == json!(true))
}

async fn a_subscriber_is_notified_once_when_an_order_leaves_its_filter(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let mut live = world.feed("customer=c-1").await.expect("a subscription");
    let placed = client.post(order(Some("c-1"))).await.expect("an answer");
    client.settled(&placed).await.expect("a receipt");
    let path = placed.header("location").to_owned();
    for customer in [Some("c-1"), Some("c-2"), Some("c-2"), None, Some("c-1")] {
        let changed = client.put(&path, &[], order(customer)).await;
        let changed = changed.expect("an answer");
        client.settled(&changed).await.expect("a receipt");
    }
    let event = |position: u64, kind: &str, left: bool| (position, kind.to_owned(), left);
    let of_first = [
        event(1, "order.created", false),
        event(2, "order.updated", false),
        event(3, "order.updated", true),
        event(6, "order.updated", false),
    ];
    assert_eq!(received(&world, "customer=c-1", 6).await, of_first);
    let events = live.events_up_to(6).await.expect("events");
    assert_eq!(events.iter().map(summary).collect::<Vec<_>>(), of_first);
    // The frame contains the new state, as for all subscribers.
    assert_eq!(events[2]["order"]["customer"]["id"], "c-2");
    let of_second = [
        event(3, "order.updated", false),
        event(4, "order.updated", false),
        event(5, "order.updated", true),
    ];
    assert_eq!(received(&world, "customer=c-2", 5).await, of_second);
    let all = received(&world, "", 6).await;
    assert!(all.iter().all(|(.., left)| !left), "{all:?}");
    // A subscription without this type of event does not get it either.
    let created = received(&world, "customer=c-1&type=order.created", 1).await;
    assert_eq!(created, of_first[..1]);
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!(code, Some(0), "{found}");
}
