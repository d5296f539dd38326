//! Conditional requests by entity tags, idempotency keys across changed settings and in concurrent
//! requests, and malformed JSON bodies.

use std::collections::BTreeSet;

use bakehouse_e2e::{Answer, Client, Kind, World, in_both_worlds, ledger};
use hyper::Method;
use serde_json::{Value, json};

in_both_worlds!(
    conditions_are_checked_against_the_current_version,
    every_change_takes_conditions,
    idempotency_keys_are_known_after_a_change_of_settings,
    concurrent_requests_with_one_key_are_executed_once,
);

const PAID: &str = r#"{"status":"paid"}"#;

/// Places an order, waits until it can be read, and returns its path.
async fn place(client: &Client, reference: &str) -> String {
    let accepted = client.post(ledger::order(reference)).await;
    let accepted = accepted.expect("an answer");
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked", "{receipt}");
    accepted.header("location").to_owned()
}

async fn amend(client: &Client, order: &str, headers: &[(&str, &str)]) -> Answer {
    let body = json!({ "products": [{ "name": "Tea", "price": 1 }] }).to_string();
    client.put(order, headers, body).await.expect("an answer")
}

/// Waits until an accepted change is baked, and returns the version of the order.
async fn version(client: &Client, order: &str, accepted: &Answer) -> u64 {
    let receipt = client.settled(accepted).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked", "{receipt}");
    let document = client.get(order).await.expect("an answer").json();
    document["version"].as_u64().expect("a version")
}

async fn conditions_are_checked_against_the_current_version(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client, "one").await;
    for (name, value, status) in [
        ("If-None-Match", "*", 412),
        ("If-None-Match", "\"1\"", 412),
        ("If-None-Match", "W/\"1\"", 412),
        ("If-None-Match", "\"7\", \"1\"", 412),
        ("If-None-Match", "1", 400),
        ("If-Match", "W/\"1\"", 412),
        ("If-Match", "\"01\"", 412),
        ("If-Match", "\"a\", \"b,c\"", 412),
        ("If-Match", "*, \"1\"", 400),
        ("If-Match", "\"1\" \"2\"", 400),
    ] {
        let answer = amend(&client, &order, &[(name, value)]).await;
        assert_eq!(answer.status, status, "{name}: {value}");
        assert_eq!(answer.header("content-type"), "application/problem+json");
    }
    // Each of these conditions holds at version 1, 2, 3 … and the change is executed.
    for (before, headers) in (1..).zip([
        &[("If-Match", "\"9\", \"1\"")][..],
        &[("If-Match", "*")],
        &[("If-Match", "\"5\""), ("If-Match", "\"3\"")],
        &[("If-None-Match", "\"3\", W/\"2\"")],
        &[("If-None-Match", "\"05\"")],
        &[("If-None-Match", "\"7\"")],
        &[("If-Match", "\"7\""), ("If-None-Match", "\"6\"")],
    ]) {
        let answer = amend(&client, &order, headers).await;
        assert_eq!(answer.status, 202, "{headers:?}: {answer:?}");
        assert_eq!(version(&client, &order, &answer).await, before + 1);
    }
    // A repeated request with a key gets the first answer; its condition is not checked again.
    for (now, headers) in (8..).zip([
        [("Idempotency-Key", "a"), ("If-None-Match", "\"9\"")],
        [("Idempotency-Key", "b"), ("If-Match", "\"9\", \"10\"")],
        [("Idempotency-Key", "c"), ("If-Match", "\"10\"")],
    ]) {
        let first = amend(&client, &order, &headers).await;
        assert_eq!(version(&client, &order, &first).await, now + 1);
        let again = amend(&client, &order, &headers).await;
        assert_eq!(again.status, 202, "{headers:?}: {again:?}");
        let location = "operation-location";
        assert_eq!(first.header(location), again.header(location));
    }
    let other = [("Idempotency-Key", "c"), ("If-Match", "\"11\"")];
    assert_eq!(amend(&client, &order, &other).await.status, 422);
    // A missing order is 404 under any condition; a new order satisfies any `If-None-Match`.
    let absent = format!("/order/{}", uuid::Uuid::now_v7());
    let answer = amend(
        &client,
        &absent,
        &[("If-None-Match", "*"), ("Prefer", "wait=1")],
    )
    .await;
    assert_eq!(answer.status, 404);
    for (name, value, status) in [
        ("If-None-Match", "*", 202),
        ("If-None-Match", "\"1\"", 202),
        ("If-Match", "*", 412),
        ("If-Match", "\"1\"", 412),
        ("If-Match", "1", 400),
    ] {
        let headers = [(name, value)];
        let answer = client
            .post_with("/order", &headers, ledger::order("new"))
            .await;
        assert_eq!(answer.expect("an answer").status, status, "{name}: {value}");
    }
}

async fn every_change_takes_conditions(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let order = place(&client, "one").await;
    let files = format!("{order}/attachments");
    let multipart = "--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\n\
                     Content-Type: text/plain\r\n\r\nhello\r\n--x--\r\n";
    let form = ("Content-Type", "multipart/form-data; boundary=x");
    let json = ("Content-Type", "application/json");
    let upload = client.send(Method::POST, &files, &[form], multipart).await;
    let upload = upload.expect("an answer");
    let file = upload.header("location").to_owned();
    assert_eq!(version(&client, &order, &upload).await, 2);
    let status = format!("{order}/status");
    let changes = [
        (Method::PUT, &order, json, ledger::order("two")),
        (Method::POST, &files, form, multipart.to_owned()),
        (Method::DELETE, &file, json, String::new()),
        (Method::PUT, &status, json, PAID.to_owned()),
        (Method::DELETE, &order, json, String::new()),
    ];
    for (now, (method, path, kind, body)) in (2_u64..).zip(&changes) {
        let send = async |name: &str, value: &str| {
            let headers = [*kind, (name, value)];
            let answer = client.send(method.clone(), path, &headers, body.clone());
            answer.await.expect("an answer")
        };
        let tag = format!("\"{now}\"");
        for (name, value) in [
            ("If-None-Match", "*"),
            ("If-None-Match", tag.as_str()),
            ("If-Match", "\"1\""),
            ("If-Match", &format!("W/{tag}")),
        ] {
            let answer = send(name, value).await;
            assert_eq!(answer.status, 412, "{method} {path}: {name}: {value}");
            let kind = answer.json()["type"].clone();
            assert_eq!(kind, "urn:bakehouse:problem:precondition-failed");
        }
        let accepted = send("If-Match", &format!("\"1\", {tag}")).await;
        assert_eq!(accepted.status, 202, "{method} {path}");
        assert_eq!(version(&client, &order, &accepted).await, now + 1);
    }
}

async fn idempotency_keys_are_known_after_a_change_of_settings(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    // The currency is missing, so that of the settings is used; yen allow no decimals.
    let body = |reference: &str| {
        json!({
            "products": [{ "name": "Tea", "price": "3.50" }], "reference": reference,
        })
        .to_string()
    };
    let first = client
        .post_keyed("k", body("one"))
        .await
        .expect("an answer");
    assert_eq!(
        client.settled(&first).await.expect("a receipt")["status"],
        "baked"
    );
    let order = first.header("location").to_owned();
    let changed = [("Idempotency-Key", "change")];
    let change = client.put(&order, &changed, body("two")).await;
    let change = change.expect("an answer");
    assert_eq!(version(&client, &order, &change).await, 2);
    world.stop_all().expect("it ends");
    world.set("BAKEHOUSE_ORDERS__CURRENCY", "JPY");
    world.begin().await.expect("it starts again");
    let client = world.client();
    let spaced = body("one").replace(',', " , ");
    for again in [body("one"), spaced] {
        let again = client.post_keyed("k", again).await.expect("an answer");
        assert_eq!(again.status, 202, "{again:?}");
        for name in ["location", "operation-location"] {
            assert_eq!(again.header(name), first.header(name));
        }
    }
    let again = client.put(&order, &changed, body("two")).await;
    let again = again.expect("an answer");
    let location = "operation-location";
    assert_eq!(again.header(location), change.header(location), "{again:?}");
    let other = json!({ "products": [{ "name": "Tea", "price": "3" }] }).to_string();
    let other = client.post_keyed("k", other).await.expect("an answer");
    assert_eq!(other.status, 422);
    // No operation has been executed twice or refused.
    let history = client.get(&format!("{order}/history")).await;
    let history = history.expect("an answer").json();
    assert_eq!(history.as_array().map(Vec::len), Some(2), "{history}");
    let document = client.get(&order).await.expect("an answer").json();
    assert_eq!(document["currency"], "EUR");
    let fresh = client
        .post_keyed("new", body("one"))
        .await
        .expect("an answer");
    assert_eq!(fresh.status, 400, "new requests use the current settings");
}

async fn concurrent_requests_with_one_key_are_executed_once(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    for number in 0..5 {
        let key = format!("k-{number}");
        let sent = (0..12).map(|n| {
            let (client, key) = (client.clone(), key.clone());
            // Three different bodies.
            let body = ledger::order(&format!("{number}-{}", n % 3));
            tokio::spawn(async move { (n % 3, client.post_keyed(&key, body).await) })
        });
        let sent: Vec<_> = sent.collect();
        let mut accepted = BTreeSet::new();
        let mut operations = BTreeSet::new();
        for answer in sent {
            let (which, answer) = answer.await.expect("no panic");
            let answer = answer.expect("an answer");
            if answer.status == 202 {
                accepted.insert(which);
                operations.insert(answer.header("operation-location").to_owned());
            } else {
                assert_eq!(answer.status, 422, "{answer:?}");
            }
        }
        assert_eq!((accepted.len(), operations.len()), (1, 1), "{accepted:?}");
    }
    let last = client.post(ledger::order("last")).await.expect("an answer");
    let receipt = client.settled(&last).await.expect("a receipt");
    assert_eq!(receipt["position"], 6, "{receipt}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_json_is_refused_with_a_pointer() {
    let world = World::start(Kind::Embedded).await.expect("it starts");
    let client = world.client();
    let order = place(&client, "one").await;
    let product = |members: &str| format!(r#"{{"products":[{{"name":"Tea",{members}}}]}}"#);
    let deep = format!(
        r#"{{"products":[{{"name":"Tea","price":1}}],"x":{}{}}}"#,
        "[".repeat(20_000),
        "]".repeat(20_000)
    );
    let syntax: [&[u8]; 9] = [
        b"",
        b"\xef\xbb\xbf{}",
        b"{\"products\":[{\"name\":\"\xc3\x28\",\"price\":1}]}",
        b"\xfe\xff\0{\0}",
        b"{\"products\":[{\"name\":\"Tea\",\"price\":01}]}",
        b"{\"products\":[{\"name\":\"Tea\",\"price\":+1}]}",
        b"{\"products\":[{\"name\":\"Tea\",\"price\":Infinity}]}",
        b"{\"products\":[{\"name\":\"a\x01b\",\"price\":1}]}",
        deep.as_bytes(),
    ];
    let paths = [("/order", Method::POST), (order.as_str(), Method::PUT)];
    let json = [("Content-Type", "application/json")];
    for (path, method) in &paths {
        for body in syntax {
            let answer = client
                .send(method.clone(), path, &json, body.to_vec())
                .await;
            let answer = answer.expect("an answer");
            let text = String::from_utf8_lossy(body);
            let problem = answer.json();
            assert_eq!(answer.status, 400, "{method} {text}");
            assert_eq!(problem["type"], "urn:bakehouse:problem:malformed-body");
            assert_eq!(problem["errors"][0]["pointer"], "", "{problem}");
        }
        for (body, pointer) in [
            (product(r#""price":1,"price":2"#), "/products/0/price"),
            (product(r#""price":1,"\u0070rice":2"#), "/products/0/price"),
            (product(r#""price":1e400"#), "/products/0/price"),
            (
                product(r#""price":1,"quantity":1e400"#),
                "/products/0/quantity",
            ),
            (
                product(r#""price":1,"quantity":-1"#),
                "/products/0/quantity",
            ),
            (product(r#""price":1,"sku":"\udc00""#), "/products/0/sku"),
            (product(r#""price":1,"\ud800":1"#), "/products/0"),
            (
                r#"{"products":[{"name":"Tea","price":1}],"products":[]}"#.to_owned(),
                "/products",
            ),
        ] {
            let answer = client.send(method.clone(), path, &json, body.clone()).await;
            let answer = answer.expect("an answer");
            assert_eq!(answer.status, 400, "{method} {body}");
            let pointers: Vec<Value> = answer.json()["errors"]
                .as_array()
                .expect("faults")
                .iter()
                .map(|fault| fault["pointer"].clone())
                .collect();
            assert!(pointers.contains(&json!(pointer)), "{body}: {pointers:?}");
        }
    }
}
