//! Changes of orders over HTTP: amendments, status changes, rejections and deletions, as shown by
//! list, document, history, receipt and feed.

use bakehouse_e2e::{Client, Kind, World, in_both_worlds, ledger};
use hyper::Method;
use serde_json::{Value, json};

in_both_worlds!(
    an_order_is_amended_paid_and_shipped_and_late_changes_are_rejected,
    a_change_can_follow_at_once,
    changes_are_checked_before_they_are_accepted,
    a_change_can_require_a_version,
    a_deleted_order_leaves_the_lists_and_keeps_its_history,
    an_order_can_be_read_as_of_a_position_or_time,
);

async fn place(client: &Client, reference: &str) -> String {
    let accepted = client
        .post(ledger::order(reference))
        .await
        .expect("an answer");
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked");
    accepted.header("location").to_owned()
}

async fn set_status(client: &Client, order: &str, status: &str) -> Value {
    let body = json!({ "status": status }).to_string();
    let accepted = client.put(&format!("{order}/status"), &[], body).await;
    client
        .settled(&accepted.expect("an answer"))
        .await
        .expect("a receipt")
}

async fn an_order_is_amended_paid_and_shipped_and_late_changes_are_rejected(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let order = place(&client, "one").await;
    let body = json!({ "products": [{ "name": "Coffee", "price": "4.25", "quantity": 3 }] });
    let accepted = client
        .put(&order, &[], body.to_string())
        .await
        .expect("an answer");
    assert!(accepted.body.is_empty());
    assert_eq!(accepted.header("location"), order);
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked");
    assert_eq!(
        (&receipt["operation"], &receipt["type"]),
        (&json!("UPDATE"), &json!("order.updated"))
    );
    for status in ["paid", "shipped"] {
        assert_eq!(set_status(&client, &order, status).await["status"], "baked");
    }
    let late = set_status(&client, &order, "cancelled").await;
    assert_eq!(late["status"], "rejected");
    assert_eq!(
        late["reason"],
        "the order is shipped; it cannot become cancelled"
    );
    let amended = client
        .put(&order, &[], body.to_string())
        .await
        .expect("an answer");
    let amended = client.settled(&amended).await.expect("a receipt");
    assert_eq!(
        amended["reason"],
        "the order is shipped; only a placed one can be changed"
    );

    let detail = client.get(&order).await.expect("an answer").json();
    assert_eq!(
        (&detail["status"], &detail["version"]),
        (&json!("shipped"), &json!(4))
    );
    assert_eq!(
        (&detail["total"], &detail["customer"]),
        (&json!("12.75"), &Value::Null)
    );
    let kinds: Vec<&str> = timeline(&detail);
    assert_eq!(
        kinds,
        [
            "order.created",
            "order.updated",
            "order.paid",
            "order.shipped"
        ]
    );
    assert_eq!(
        client.get("/order").await.expect("an answer").json(),
        json!([detail])
    );

    let events = feed.events_up_to(6).await.expect("events");
    let types: Vec<&str> = events
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect();
    let expected = [
        "order.created",
        "order.updated",
        "order.status",
        "order.status",
        "order.rejected",
        "order.rejected",
    ];
    assert_eq!(types, expected);
    assert_eq!(events[3]["order"], detail);
    assert_eq!(events[4]["reason"], late["reason"]);

    let history = client
        .get(&format!("{order}/history"))
        .await
        .expect("an answer")
        .json();
    let history = history.as_array().expect("an array");
    let types: Vec<&str> = history
        .iter()
        .filter_map(|line| line["type"].as_str())
        .collect();
    assert_eq!(types, expected);
    assert_eq!(history[4]["reason"], late["reason"]);
    assert_eq!(history[4]["operation_id"], late["operation_id"]);
    assert!(history.iter().all(|line| line["executed_at"].is_string()));
}

fn timeline(document: &Value) -> Vec<&str> {
    let lines = document["timeline"].as_array().expect("a timeline");
    lines
        .iter()
        .filter_map(|line| line["type"].as_str())
        .collect()
}

/// Checks that an order can be changed before it is baked.
async fn a_change_can_follow_at_once(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    for number in 0..10 {
        let accepted = client
            .post(ledger::order(&format!("r-{number}")))
            .await
            .expect("an answer");
        let order = accepted.header("location");
        let body = json!({ "status": "paid" }).to_string();
        let paid = client
            .put(&format!("{order}/status"), &[], body)
            .await
            .expect("an answer");
        assert_eq!(paid.status, 202);
        let read = client
            .get_with(order, &[("Prefer", "wait=10")])
            .await
            .expect("an answer");
        assert_eq!(
            (read.status.as_u16(), read.header("preference-applied")),
            (200, "wait=10")
        );
        let known = [("Prefer", "wait=10"), ("If-None-Match", "\"1\"")];
        let newer = client.get_with(order, &known).await.expect("an answer");
        assert_eq!(newer.json()["status"], "paid");
    }
}

/// Checks that an accepted order can be changed while data-baker is down.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_does_not_depend_on_the_presentation() {
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    let client = world.client();
    world.process("data-baker").kill();
    let placed = client.post(ledger::order("late")).await;
    let order = placed.expect("an answer").header("location").to_owned();
    let paid = r#"{"status":"paid"}"#;
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    // The order may still be in the queue at first.
    let accepted = loop {
        let answer = client.put(&format!("{order}/status"), &[], paid).await;
        let answer = answer.expect("an answer");
        if answer.status == 202 || std::time::Instant::now() > deadline {
            break answer;
        }
    };
    assert_eq!(accepted.status, 202);
    let unknown = "/order/01890a5d-ac96-774b-bcce-b302099a8057/status";
    let missing = client.put(unknown, &[], paid).await.expect("an answer");
    assert_eq!(missing.status, 404);
    world
        .process("data-baker")
        .start()
        .expect("it starts again");
    client.settled(&accepted).await.expect("a receipt");
    let document = client.get(&order).await.expect("an answer").json();
    assert_eq!(document["status"], "paid");
}

async fn changes_are_checked_before_they_are_accepted(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client, "one").await;
    let unknown = "/order/0190f5fe-0000-7000-8000-000000000001";
    let good = json!({ "products": [{ "name": "Tea", "price": 1 }] }).to_string();
    for (path, body, status, pointer) in [
        (order.clone(), "{}", 400, "/products"),
        (order.clone(), "[", 400, ""),
        (order.clone(), good.as_str(), 202, ""),
        (
            format!("{order}/status"),
            r#"{"status":"lost"}"#,
            400,
            "/status",
        ),
        (
            format!("{order}/status"),
            r#"{"status":"paid","by":"me"}"#,
            400,
            "/by",
        ),
        (
            order.clone(),
            r#"{"products":[{"name":"Tea","price":"1.234"}]}"#,
            409,
            "/products/0/price",
        ),
        (unknown.to_owned(), good.as_str(), 404, ""),
        (format!("{unknown}/status"), r#"{"status":"paid"}"#, 404, ""),
        ("/order/no-id".to_owned(), good.as_str(), 404, ""),
    ] {
        let answer = client
            .put(&path, &[], body.to_owned())
            .await
            .expect("an answer");
        assert_eq!(answer.status, status, "{path} {body}");
        if !pointer.is_empty() {
            assert_eq!(
                answer.json()["errors"][0]["pointer"],
                pointer,
                "{path} {body}"
            );
        }
    }
    // Ids are not case-sensitive.
    let other_form = order.to_uppercase().replace("/ORDER/", "/order/");
    let answer = client.get(&other_form).await.expect("an answer");
    assert_eq!(answer.status, 200);
    let history = format!("{other_form}/history");
    assert_eq!(client.get(&history).await.expect("an answer").status, 200);
    for (method, path, allow) in [
        (Method::PATCH, order.as_str(), "GET, HEAD, PUT, DELETE"),
        (Method::DELETE, &format!("{order}/status"), "PUT"),
        (Method::POST, &format!("{order}/history"), "GET, HEAD"),
    ] {
        let answer = client.send(method, path, &[], "").await.expect("an answer");
        assert_eq!(
            (answer.status.as_u16(), answer.header("allow")),
            (405, allow)
        );
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    // Answered before any operation of the API is reached.
    let preflight = [
        ("Origin", "https://elsewhere.example"),
        ("Access-Control-Request-Method", "PATCH"),
    ];
    for (method, path, headers, status, kind) in [
        (Method::GET, "/docs/nothing", &[][..], 404, "not-found"),
        (Method::OPTIONS, "/order", &preflight[..], 403, "forbidden"),
    ] {
        let answer = client.send(method, path, headers, "").await;
        let answer = answer.expect("an answer");
        let problem = answer.json();
        assert_eq!(
            (answer.status.as_u16(), &problem["status"]),
            (status, &json!(status))
        );
        assert_eq!(answer.header("content-type"), "application/problem+json");
        assert_eq!(problem["type"], format!("urn:bakehouse:problem:{kind}"));
    }
    for path in ["/openapi.json", "/asyncapi.json"] {
        let head = client.send(Method::HEAD, path, &[], "").await;
        let head = head.expect("an answer");
        assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
        assert_eq!(head.header("content-type"), "application/json");
    }
}

async fn a_change_can_require_a_version(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client, "one").await;
    let tag = client
        .get(&order)
        .await
        .expect("an answer")
        .header("etag")
        .to_owned();
    let body = json!({ "products": [{ "name": "Tea", "price": 1 }] }).to_string();
    let if_match = [("If-Match", tag.as_str())];
    // Both changes require the same version, so at most one can succeed.
    let first = client
        .put(&order, &if_match, body.clone())
        .await
        .expect("an answer");
    let second = client
        .put(&order, &if_match, body.clone())
        .await
        .expect("an answer");
    assert_eq!(
        client.settled(&first).await.expect("a receipt")["status"],
        "baked"
    );
    if second.status == 202 {
        let receipt = client.settled(&second).await.expect("a receipt");
        assert_eq!(receipt["reason"], "the order is at version 2, not 1");
        assert_eq!(receipt["code"], "version-conflict");
    } else {
        assert_eq!(second.status, 412);
    }
    let late = client
        .put(&order, &if_match, body.clone())
        .await
        .expect("an answer");
    assert_eq!(
        (late.status.as_u16(), &late.json()["version"]),
        (412, &json!(2))
    );
    let malformed = client
        .put(&order, &[("If-Match", "two")], body.clone())
        .await;
    let malformed = malformed.expect("an answer");
    assert_eq!(malformed.json()["errors"][0]["pointer"], "/header/If-Match");
    let future = client
        .put(&order, &[("If-Match", "\"9\"")], body.clone())
        .await
        .expect("an answer");
    let receipt = client.settled(&future).await.expect("a receipt");
    assert_eq!(receipt["reason"], "the order is at version 2, not 9");
    // A repeated request with the same key gets the first answer, although its version is outdated.
    let keyed = [("If-Match", "\"2\""), ("Idempotency-Key", "k")];
    let first = client
        .put(&order, &keyed, body.clone())
        .await
        .expect("an answer");
    client.settled(&first).await.expect("a receipt");
    let again = client
        .put(&order, &keyed, body.clone())
        .await
        .expect("an answer");
    assert_eq!(again.status, 202);
    let location = "operation-location";
    assert_eq!(first.header(location), again.header(location));
    let other = [("If-Match", "\"3\""), ("Idempotency-Key", "k")];
    let other = client.put(&order, &other, body).await.expect("an answer");
    assert_eq!(other.status, 422);
}

async fn a_deleted_order_leaves_the_lists_and_keeps_its_history(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let kept = place(&client, "kept").await;
    let order = place(&client, "deleted").await;
    let accepted = client
        .send(Method::DELETE, &order, &[], "")
        .await
        .expect("an answer");
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(
        (&receipt["status"], &receipt["type"]),
        (&json!("baked"), &json!("order.deleted"))
    );
    let list = client.get("/order").await.expect("an answer").json();
    assert_eq!(list.as_array().map(Vec::len), Some(1));
    assert_eq!(
        format!("/order/{}", list[0]["id"].as_str().expect("an id")),
        kept
    );
    let detail = client.get(&order).await.expect("an answer").json();
    assert_eq!(detail["status"], "cancelled");
    check_deletion_keeps_the_status(&client).await;
    let history = client
        .get(&format!("{order}/history"))
        .await
        .expect("an answer")
        .json();
    assert_eq!(history[1]["type"], "order.deleted");
    let late = set_status(&client, &order, "paid").await;
    assert_eq!(late["reason"], "the order has been deleted");
}

/// Checks that a deletion removes an order from the lists and keeps its status.
async fn check_deletion_keeps_the_status(client: &Client) {
    let order = place(client, "shipped").await;
    for status in ["paid", "shipped", "delivered"] {
        assert_eq!(set_status(client, &order, status).await["status"], "baked");
    }
    let deleted = client.send(Method::DELETE, &order, &[], "").await;
    let receipt = client.settled(&deleted.expect("an answer")).await;
    assert_eq!(receipt.expect("a receipt")["type"], "order.deleted");
    let detail = client.get(&order).await.expect("an answer").json();
    assert_eq!(detail["status"], "delivered");
    let entries = detail["timeline"].as_array().expect("a timeline");
    assert_eq!(entries.last().expect("an entry")["type"], "order.deleted");
    let listed = client.get("/order").await.expect("an answer").json();
    let mut listed = listed.as_array().expect("a list").iter();
    assert!(listed.all(|other| other["id"] != detail["id"]));
}

async fn an_order_can_be_read_as_of_a_position_or_time(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    place(&client, "other").await;
    let order = place(&client, "one").await;
    let before = client.get(&order).await.expect("an answer");
    let paid = set_status(&client, &order, "paid").await;
    let at = |when: &str| format!("{order}?as_of={when}");
    let then = client.get(&at("2")).await.expect("an answer");
    assert_eq!(then.body, before.body, "byte for byte");
    let now = client.get(&order).await.expect("an answer");
    assert_eq!(
        client.get(&at("3")).await.expect("an answer").body,
        now.body
    );
    let time = paid["stored_at"].as_str().expect("a time");
    assert_eq!(
        client.get(&at(time)).await.expect("an answer").body,
        now.body
    );
    for (when, status) in [
        ("1", 404),
        ("2020-01-01T00:00:00Z", 404),
        ("4", 404),
        ("yesterday", 400),
    ] {
        assert_eq!(
            client.get(&at(when)).await.expect("an answer").status,
            status,
            "{when}"
        );
    }
}
