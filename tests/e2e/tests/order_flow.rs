//! Path of an order from request to feed, document and list; idempotency keys, invalid requests,
//! shutdown and restart.

use std::time::Duration;

use bakehouse_e2e::{Kind, World, in_both_worlds, ledger};
use serde_json::{Value, json};

in_both_worlds!(
    an_order_reaches_feed_document_and_list,
    the_feed_resumes_filters_and_refuses_bad_requests,
    an_idempotency_key_means_one_operation,
    invalid_requests_are_refused_and_change_nothing,
    services_shut_down_in_time_and_restart,
);

async fn an_order_reaches_feed_document_and_list(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let mut feed = world.feed("").await.expect("a subscription");
    let welcome = feed.frame().await.expect("a frame");
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["head"], 0);
    assert_eq!(welcome["heartbeat_s"], 25);
    assert!(
        welcome["epoch"]
            .as_str()
            .is_some_and(|epoch| !epoch.is_empty())
    );
    let live = feed.frame().await.expect("a frame");
    assert_eq!(live, json!({ "type": "live", "position": 0 }));

    let accepted = client.post(ledger::order("R-7")).await.expect("an answer");
    assert_eq!(accepted.status, 202);
    assert!(accepted.body.is_empty());
    let location = accepted.header("location").to_owned();
    let id = location
        .strip_prefix("/order/")
        .expect("a path of an order")
        .to_owned();
    let receipt = accepted.header("operation-location");
    let operation = receipt
        .strip_prefix("/operation/")
        .expect("a path of an operation");

    let event = feed.frame().await.expect("a frame");
    assert_eq!(event["type"], "order.created");
    assert_eq!(event["position"], 1);
    assert_eq!(event["order_id"], id.as_str());
    assert_eq!(event["operation_id"], operation);
    let at = &event["at"];
    let expected = json!({
        "id": id,
        "number": 1,
        "status": "placed",
        "position": 1,
        "version": 1,
        "created_at": at,
        "updated_at": at,
        "customer": { "id": "c-1", "name": "Ada", "email": null },
        "currency": "EUR",
        "products": [
            { "sku": "A-1", "name": "Tea", "quantity": 2, "price": "3.50", "total": "7.00" },
        ],
        "items_count": 2,
        "total": "7.00",
        "reference": "R-7",
        "timeline": [{ "position": 1, "type": "order.created", "at": at }],
    });
    assert_eq!(event["order"], expected);

    let detail = client.get(&location).await.expect("an answer");
    assert_eq!(detail.status, 200);
    assert_eq!(detail.json(), expected);
    let tag = detail.header("etag").to_owned();
    let known = [("If-None-Match", tag.as_str())];
    let same = client
        .send(hyper::Method::GET, &location, &known, "")
        .await
        .expect("an answer");
    assert_eq!(same.status, 304);
    assert!(same.body.is_empty());
    let list = client.get("/order").await.expect("an answer");
    assert_eq!(list.json(), json!([expected]));
    let unknown = client
        .get("/order/0190f5fe-0000-7000-8000-000000000001")
        .await;
    assert_eq!(unknown.expect("an answer").status, 404);
}

async fn the_feed_resumes_filters_and_refuses_bad_requests(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    for number in 0..40 {
        let customer = format!("c-{}", number % 2);
        let body = json!({
            "products": [{ "name": "Tea", "price": 1 }],
            "customer": { "id": customer },
            "reference": format!("r-{number}"),
        });
        assert_eq!(
            client
                .post(body.to_string())
                .await
                .expect("an answer")
                .status,
            202
        );
    }
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let epoch = feed.frame().await.expect("a welcome")["epoch"].clone();
    let all = feed.events_up_to(40).await.expect("events");
    let positions: Vec<u64> = all
        .iter()
        .filter_map(|event| event["position"].as_u64())
        .collect();
    assert_eq!(positions, (1..=40).collect::<Vec<_>>());

    let cut = ledger::follow_with_cuts(&world.base, 40, 7)
        .await
        .expect("events");
    assert_eq!(cut, positions);

    let epoch = epoch.as_str().expect("an epoch");
    let query = format!("since=30&epoch={epoch}&customer=c-1&type=order.created");
    let mut feed = world.feed(&query).await.expect("a subscription");
    assert_eq!(feed.frame().await.expect("a frame")["type"], "welcome");
    let mut seen = Vec::new();
    loop {
        let frame = feed.frame().await.expect("a frame");
        if frame["type"] == "live" {
            assert_eq!(frame["position"], 40);
            break;
        }
        assert_eq!(frame["order"]["customer"]["id"], "c-1");
        seen.push(frame["position"].as_u64().expect("a position"));
    }
    let expected = all
        .iter()
        .filter(|event| event["order"]["customer"]["id"] == "c-1");
    let expected = expected
        .filter_map(|event| event["position"].as_u64())
        .filter(|p| *p > 30);
    assert_eq!(seen, expected.collect::<Vec<_>>());

    for (query, code) in [
        ("since=41", 4010),
        ("since=1&epoch=another", 4010),
        ("since=-1", 4400),
        ("sinse=1", 4400),
    ] {
        assert_eq!(refusal(&world, query).await, code, "{query}");
    }
    let mut feed = world.feed("").await.expect("a subscription");
    feed.say("what?").await.expect("sent");
    assert_eq!(feed.end().await.0, 4400);
}

async fn refusal(world: &World, query: &str) -> u16 {
    world.feed(query).await.expect("a socket").end().await.0
}

async fn an_idempotency_key_means_one_operation(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let first = client
        .post_keyed("k-1", ledger::order("a"))
        .await
        .expect("an answer");
    let again = client
        .post_keyed("\"k-1\"", ledger::order("a"))
        .await
        .expect("an answer");
    assert_eq!((first.status.as_u16(), again.status.as_u16()), (202, 202));
    for header in ["location", "operation-location"] {
        assert_eq!(first.header(header), again.header(header));
    }
    feed.events_up_to(1).await.expect("an event");
    let other = client
        .post_keyed("k-1", ledger::order("b"))
        .await
        .expect("an answer");
    assert_eq!(other.status, 422);
    assert_eq!(
        other.json()["type"],
        "urn:bakehouse:problem:idempotency-key-reused"
    );
    let after = client
        .post_keyed("k-2", ledger::order("c"))
        .await
        .expect("an answer");
    assert_eq!(after.status, 202);
    let next = feed.event().await.expect("an event");
    assert_eq!(
        next["position"], 2,
        "the repeated request has created no event"
    );
    assert_eq!(next["order"]["reference"], "c");
    let long = "x".repeat(256);
    let refused = client
        .post_keyed(&long, ledger::order("d"))
        .await
        .expect("an answer");
    assert_eq!(refused.status, 400);
}

async fn invalid_requests_are_refused_and_change_nothing(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let product = json!({ "name": "Tea", "price": "1" });
    let many = json!({ "products": vec![product; 1_001] }).to_string();
    let large = json!({ "products": [], "reference": "x".repeat(65 * 1024) }).to_string();
    let with = |product: Value| json!({ "products": [product] }).to_string();
    let cases = [
        ("{\"products\":[".to_owned(), 400, "malformed-body", ""),
        (String::new(), 400, "malformed-body", ""),
        (
            r#"{"products":[{"name":"Tea","price":1}],"date":"9999-12-31T23:59:59-00:01"}"#
                .to_owned(),
            400,
            "invalid-request",
            "/date",
        ),
        (
            with(json!({ "name": "Tea", "price": 1, "color": 1 })),
            400,
            "invalid-request",
            "/products/0/color",
        ),
        (
            with(json!({ "name": "Tea" })),
            400,
            "invalid-request",
            "/products/0/price",
        ),
        (
            with(json!({ "name": "Tea", "price": -1 })),
            400,
            "invalid-request",
            "/products/0/price",
        ),
        (
            with(json!({ "name": "Tea", "price": "1.005" })),
            400,
            "invalid-request",
            "/products/0/price",
        ),
        (many, 400, "invalid-request", "/products"),
        (large, 413, "too-large", ""),
    ];
    for (body, status, kind, pointer) in cases {
        let answer = client.post(body.clone()).await.expect("an answer");
        let start = &body[..body.len().min(60)];
        assert_eq!(answer.status, status, "{start}");
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{start}"
        );
        let problem = answer.json();
        assert_eq!(
            problem["type"],
            format!("urn:bakehouse:problem:{kind}"),
            "{start}"
        );
        assert_eq!(problem["status"], status, "{start}");
        assert!(
            problem["title"].is_string() && problem["detail"].is_string(),
            "{start}"
        );
        if status == 400 {
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{start}");
            assert!(problem["errors"][0]["detail"].is_string(), "{start}");
        }
    }
    let text = [("Content-Type", "text/plain")];
    let (get, post, put) = (hyper::Method::GET, hyper::Method::POST, hyper::Method::PUT);
    for (method, path, headers, status) in [
        (post, "/order", text.as_slice(), 415),
        (put, "/order", &[], 405),
        (get.clone(), "/nowhere", &[], 404),
        (get.clone(), "/order?limit=0", &[], 400),
        (get.clone(), "/order?limit=101", &[], 400),
        (get.clone(), "/order?cursor=%00", &[], 400),
        (get, "/order?colour=red", &[], 400),
    ] {
        let answer = client
            .send(method, path, headers, "{}")
            .await
            .expect("an answer");
        assert_eq!(answer.status, status, "{path}");
        assert_eq!(
            answer.header("content-type"),
            "application/problem+json",
            "{path}"
        );
    }
    // The next order is the first, so nothing above was accepted.
    let mut feed = world.feed("since=0").await.expect("a subscription");
    assert_eq!(
        client
            .post(ledger::order("good"))
            .await
            .expect("an answer")
            .status,
        202
    );
    let event = feed.event().await.expect("an event");
    assert_eq!(
        (&event["position"], &event["order"]["number"]),
        (&json!(1), &json!(1))
    );
}

async fn services_shut_down_in_time_and_restart(kind: Kind) {
    let mut world = World::start(kind).await.expect("it starts");
    let client = world.client();
    for number in 0..20 {
        let answer = client.post(ledger::order(&format!("r-{number}"))).await;
        assert_eq!(answer.expect("an answer").status, 202);
    }
    let mut feed = world.feed("").await.expect("a subscription");
    for name in world.names() {
        // A shutdown that exceeds its deadline exits with an error.
        let limit = Duration::from_secs(20);
        let (status, _) = world.process(name).terminate(limit).expect("it ends");
        assert!(
            status.success(),
            "{name}: {status}\n{}",
            world.process(name).log()
        );
    }
    assert_eq!(feed.end().await.0, 4001);
    world.start_all().expect("they start again");
    world.ready(Duration::from_secs(30)).await.expect("ready");
    let mut feed = world.feed("since=0").await.expect("a subscription");
    assert_eq!(feed.events_up_to(20).await.expect("events").len(), 20);
}
