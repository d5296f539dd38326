//! Parked operations: an operation that cannot be executed is parked with its reason, later ones of
//! the same order are parked behind it, other orders continue, and an operator retries or discards.

use std::time::Duration;

use bakehouse_e2e::client::{Answer, Client};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Kind, World, in_both_worlds, ledger, stores};
use hyper::Method;
use serde_json::{Value, json};

in_both_worlds!(
    a_parked_order_blocks_only_itself_until_it_is_retried,
    a_discarded_operation_is_rejected_and_the_order_continues,
    invalid_resolutions_are_refused,
);

const TIMEOUT: Duration = Duration::from_secs(30);

async fn place(client: &Client, reference: &str) -> String {
    let accepted = client.post(ledger::order(reference)).await.expect("202");
    let receipt = client.settled(&accepted).await.expect("a receipt");
    receipt["order_id"].as_str().expect("an id").to_owned()
}

async fn set_status(client: &Client, order: &str, status: &str) -> Answer {
    let path = format!("/order/{order}/status");
    let body = json!({ "status": status }).to_string();
    let accepted = client.put(&path, &[], body).await.expect("an answer");
    assert_eq!(accepted.status, 202);
    accepted
}

async fn receipt(client: &Client, accepted: &Answer) -> Value {
    client.settled(accepted).await.expect("a receipt")
}

async fn resolve(client: &Client, operation: &Value, verb: &str, body: &str) -> Answer {
    let path = format!("/parked/{}/{verb}", operation.as_str().expect("an id"));
    let headers = [("content-type", "application/json")];
    let answer = client
        .send(Method::POST, &path, &headers, body.to_owned())
        .await;
    answer.expect("an answer")
}

async fn parked(client: &Client) -> Vec<Value> {
    let answer = client.get("/parked").await.expect("an answer");
    assert_eq!(answer.status, 200);
    answer.json().as_array().expect("a list").clone()
}

async fn metric(client: &Client, name: &str) -> String {
    let answer = client.get("/metrics").await.expect("an answer");
    let text = String::from_utf8_lossy(&answer.body).into_owned();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_default().trim().to_owned()
}

/// Corrupts the state of an order and sends two changes, which are parked; returns the ids of their
/// operations and the original state.
async fn park_two_changes(world: &World, kind: Kind, order: &str) -> (Value, Value, String) {
    let client = world.client();
    let state = stores::replace_state(world, kind, order, r#"{"nonsense":1}"#).await;
    let paid = receipt(&client, &set_status(&client, order, "paid").await).await;
    assert_eq!(paid["status"], "parked", "{paid}");
    let why = paid["reason"].as_str().expect("a reason");
    assert!(why.contains(order), "{why}");
    let shipped = receipt(&client, &set_status(&client, order, "shipped").await).await;
    assert_eq!(shipped["status"], "parked");
    let behind = format!("position {} is parked before it", paid["position"]);
    assert_eq!(shipped["reason"], behind);
    let ids = (
        paid["operation_id"].clone(),
        shipped["operation_id"].clone(),
    );
    (ids.0, ids.1, state)
}

async fn a_parked_order_blocks_only_itself_until_it_is_retried(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let bad = place(&client, "bad").await;
    let good = place(&client, "good").await;
    let (paid, shipped, state) = park_two_changes(&world, kind, &bad).await;
    for status in ["paid", "shipped"] {
        let done = receipt(&client, &set_status(&client, &good, status).await).await;
        assert_eq!(done["status"], "baked", "not baked: {done}");
    }
    let found = parked(&client).await;
    let of: Vec<_> = found.iter().map(|one| &one["operation_id"]).collect();
    assert_eq!(of, [&paid, &shipped]);
    assert_eq!(found[0]["position"], 3);
    assert_eq!(found[0]["order_id"], bad.as_str());
    assert_eq!(metric(&client, "bakehouse_parked_events").await, "2");
    let page = client.get("/parked?limit=1").await.expect("an answer");
    assert_eq!(
        page.header("link"),
        r#"</parked?limit=1&after=3>; rel="next""#
    );
    let next = client.get("/parked?limit=1&after=3").await.expect("one");
    assert_eq!(next.json()[0]["operation_id"], shipped);
    assert_eq!(next.header("link"), "");

    // Until the state is repaired, a retry is rejected and changes nothing.
    let again = receipt(&client, &resolve(&client, &paid, "retry", "").await).await;
    assert_eq!(again["status"], "rejected");
    let why = again["reason"].as_str().expect("a reason");
    assert!(why.starts_with("retry failed: "), "{why}");
    assert_eq!(parked(&client).await.len(), 2);
    let reached = feed.events_up_to(7).await.expect("frames of all of them");

    // Parked operations survive a restart.
    for name in world.names() {
        world.process(name).kill();
    }
    stores::replace_state(&world, kind, &bad, &state).await;
    world.start_all().expect("it starts again");
    world.ready(TIMEOUT).await.expect("ready again");
    assert_eq!(parked(&client).await.len(), 2, "parked until retried");
    let again = receipt(&client, &resolve(&client, &paid, "retry", "").await).await;
    assert_eq!(again["status"], "baked");
    assert!(parked(&client).await.is_empty());
    let order = client.get(&format!("/order/{bad}")).await.expect("it");
    assert_eq!(order.json()["status"], "shipped");
    assert_eq!(order.json()["position"], 8);
    let waited = client
        .get(&format!("/operation/{}", paid.as_str().expect("id")))
        .await;
    let waited = waited.expect("a receipt").json();
    assert_eq!(
        (
            &waited["status"],
            &waited["position"],
            &waited["settled_by"]
        ),
        (&json!("baked"), &json!(3), &json!(8))
    );
    assert_eq!(metric(&client, "bakehouse_parked_events").await, "0");

    // Subscribers received every event without a gap.
    let mut events = reached;
    while let Ok(event) = feed.event().await {
        events.push(event);
    }
    let query = format!("since={}", events.len());
    let mut feed = world.feed(&query).await.expect("another subscription");
    events.extend(feed.events_up_to(8).await.expect("the rest"));
    let positions: Vec<_> = events.iter().map(|event| &event["position"]).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(events[7]["order"]["status"], "shipped");
    let resolutions = events[7]["settled"].as_array().expect("a list");
    let of: Vec<_> = resolutions.iter().map(|one| &one["position"]).collect();
    assert_eq!(of, [3, 4]);
    let kinds: Vec<_> = events.iter().map(|event| &event["type"]).collect();
    let (created, parked, status) = ("order.created", "order.parked", "order.status");
    assert_eq!(
        kinds,
        [
            created,
            created,
            parked,
            parked,
            status,
            status,
            "order.rejected",
            status
        ]
    );
    check_everything_can_be_rebuilt(&mut world, kind, &[bad, good]).await;
}

/// Checks that the same documents and frames are rebuilt from the log alone.
async fn check_everything_can_be_rebuilt(world: &mut World, kind: Kind, orders: &[String]) {
    let client = world.client();
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let frames = feed.events_up_to(8).await.expect("all of them");
    let mut before = Vec::new();
    for order in orders {
        let answer = client.get(&format!("/order/{order}")).await;
        before.push(answer.expect("a document").body);
    }
    world.stop_all().expect("an orderly end");
    stores::forget(world, kind).await;
    world.start_all().expect("it starts again");
    world.ready(TIMEOUT).await.expect("ready again");
    for (order, before) in orders.iter().zip(before) {
        wait(TIMEOUT, "the same document", async || {
            let answer = client.get(&format!("/order/{order}")).await;
            answer.is_ok_and(|answer| answer.body == before)
        })
        .await
        .expect("byte for byte");
    }
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let again = feed.events_up_to(8).await.expect("all of them");
    assert_eq!(frames, again);
}

async fn a_discarded_operation_is_rejected_and_the_order_continues(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client, "bad").await;
    let (paid, shipped, state) = park_two_changes(&world, kind, &order).await;
    stores::replace_state(&world, kind, &order, &state).await;
    let mut feed = world.feed("").await.expect("a subscription");
    let why = r#"{"reason":"asked for twice"}"#;
    let discarded = receipt(&client, &resolve(&client, &paid, "discard", why).await).await;
    assert_eq!(discarded["status"], "baked", "{discarded}");
    assert_eq!(discarded["operation"], "DISCARD");
    let event = feed.event().await.expect("an event");
    assert_eq!(event["type"], "order.discarded");
    let refused = "discarded by an operator: asked for twice";
    assert_eq!(event["settled"][0]["reason"], refused);
    // The second change is executed and rejected: an unpaid order cannot be shipped.
    assert_eq!(event["settled"][1]["operation_id"], shipped);
    assert_eq!(event["settled"][1]["status"], "rejected");
    assert!(parked(&client).await.is_empty());
    let path = format!("/operation/{}", paid.as_str().expect("an id"));
    let resolved = client.get(&path).await.expect("a receipt").json();
    assert_eq!(
        (&resolved["status"], &resolved["reason"]),
        (&json!("rejected"), &json!(refused))
    );
    // Later changes are executed.
    let done = receipt(&client, &set_status(&client, &order, "paid").await).await;
    assert_eq!(done["status"], "baked");
    let history = client.get(&format!("/order/{order}/history")).await;
    let history = history.expect("a history").json();
    let lines: Vec<_> = history
        .as_array()
        .expect("a list")
        .iter()
        .map(|line| (line["operation"].as_str(), line["status"].as_str()))
        .collect();
    assert_eq!(
        lines,
        [
            (Some("INSERT"), Some("executed")),
            (Some("UPDATE"), Some("rejected")),
            (Some("UPDATE"), Some("rejected")),
            (Some("DISCARD"), Some("executed")),
            (Some("UPDATE"), Some("executed")),
        ]
    );
    assert_eq!(history[1]["settled_by"], 4);
    // The order before, while it was parked, and now.
    for (then, version) in [(1, 1), (3, 1), (4, 1), (5, 2)] {
        let path = format!("/order/{order}?as_of={then}");
        let document = client.get(&path).await.expect("a document").json();
        assert_eq!(document["version"], version, "at {then}");
    }
}

async fn invalid_resolutions_are_refused(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client, "bad").await;
    let (paid, shipped, state) = park_two_changes(&world, kind, &order).await;
    let unknown = json!("01890000-0000-7000-8000-000000000000");
    assert_eq!(resolve(&client, &unknown, "retry", "").await.status, 404);
    let early = resolve(&client, &shipped, "retry", "").await;
    assert_eq!(early.status, 409);
    assert_eq!(early.json()["first"], paid);
    for body in ["", "{}", r#"{"reason":""}"#, r#"{"reason":"x","who":"y"}"#] {
        let bad = resolve(&client, &paid, "discard", body).await;
        assert_eq!(bad.status, 400, "{body}");
    }
    for (query, pointer) in [("limit=0", "/query/limit"), ("after=x", "/query/after")] {
        let bad = client.get(&format!("/parked?{query}")).await.expect("400");
        assert_eq!(bad.status, 400);
        assert_eq!(bad.json()["errors"][0]["pointer"], pointer);
    }
    // Of two concurrent retries one is executed; the other is not found or rejected.
    stores::replace_state(&world, kind, &order, &state).await;
    let (one, other) = tokio::join!(
        resolve(&client, &paid, "retry", ""),
        resolve(&client, &paid, "retry", ""),
    );
    let mut statuses = Vec::new();
    for answer in [one, other] {
        match answer.status.as_u16() {
            202 => statuses.push(receipt(&client, &answer).await["status"].clone()),
            404 => statuses.push(json!("rejected")),
            other => panic!("{other}"),
        }
    }
    statuses.sort_by_key(|status| status.as_str().map(str::to_owned));
    assert_eq!(statuses, ["baked", "rejected"]);
    let document = client.get(&format!("/order/{order}")).await.expect("it");
    assert_eq!(document.json()["version"], 3);
}
