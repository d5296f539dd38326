//! Example calculator: a small custom domain.

use anyhow::Result;
use bakehouse_e2e::{Answer, Client, Kind, World, in_both_worlds};
use serde_json::{Value, json};

in_both_worlds!(
    values_are_added_and_multiplied,
    every_change_is_on_its_feed_and_survives_a_kill,
    faults_name_their_fields,
    clients_that_wait_get_the_result,
);

const MISSING_ID: &str = "0190f5fe-0000-7000-8000-00000000dead";

async fn start(kind: Kind) -> World {
    World::start_domain(kind, &["calculator"], "/values-events")
        .await
        .expect("it starts")
}

/// Creates a value and returns its path.
async fn create(client: &Client, value: i64) -> Result<String> {
    let answer = client
        .post_to("/values", json!({ "value": value }).to_string())
        .await?;
    assert_eq!(answer.status, 202, "{answer:?}");
    let id = answer.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), format!("/values/{id}"));
    Ok(format!("/values/{id}"))
}

async fn change(client: &Client, at: &str, operation: &str, value: i64) -> Result<Answer> {
    let body = json!({ "operation": operation, "value": value });
    client.put(at, &[], body.to_string()).await
}

async fn values_are_added_and_multiplied(kind: Kind) {
    let world = start(kind).await;
    let client = world.client();
    let at = create(&client, 2).await.expect("an answer");
    assert_eq!(
        change(&client, &at, "ADD", 2)
            .await
            .expect("an answer")
            .status,
        202
    );
    let last = change(&client, &at, "MULTIPLY", 3)
        .await
        .expect("an answer");
    assert!(last.body.is_empty());
    assert_eq!(
        client.settled(&last).await.expect("a receipt")["status"],
        "baked"
    );
    assert_eq!(
        client.get(&at).await.expect("an answer").json(),
        json!({ "value": 12 })
    );
}

async fn every_change_is_on_its_feed_and_survives_a_kill(kind: Kind) {
    let mut world = start(kind).await;
    let client = world.client();
    let at = create(&client, 1).await.expect("an answer");
    for _ in 0..20 {
        let answer = change(&client, &at, "ADD", 1).await.expect("an answer");
        assert_eq!(answer.status, 202, "{answer:?}");
    }
    world.process("calculator").kill();
    world.start_all().expect("it starts again");
    world
        .ready(std::time::Duration::from_secs(30))
        .await
        .expect("it is ready");
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let frames = feed.events_up_to(21).await.expect("events");
    let values: Vec<&Value> = frames
        .iter()
        .map(|frame| &frame["value"]["value"])
        .collect();
    assert_eq!(json!(values), json!((1..=21).collect::<Vec<_>>()));
    assert_eq!(frames[0]["type"], "value.created");
    assert_eq!(frames[20]["type"], "value.updated");
    assert_eq!(
        client.get(&at).await.expect("an answer").json(),
        json!({ "value": 21 })
    );
}

async fn faults_name_their_fields(kind: Kind) {
    let world = start(kind).await;
    let client = world.client();
    let answer = client.post_to("/values", r#"{"value":2.5,"x":1}"#).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 400);
    let faults = answer.json();
    let pointers = [
        &faults["errors"][0]["pointer"],
        &faults["errors"][1]["pointer"],
    ];
    assert_eq!(pointers, ["/value", "/x"]);
    let at = create(&client, 3).await.expect("an answer");
    assert_eq!(
        change(&client, &at, "DIVIDE", 3)
            .await
            .expect("an answer")
            .status,
        400
    );
    let missing = format!("/values/{MISSING_ID}");
    assert_eq!(client.get(&missing).await.expect("an answer").status, 404);
    // The operation is accepted, then rejected; the receipt and the feed show the rejection.
    let mut feed = world.feed("").await.expect("a subscription");
    let accepted = change(&client, &missing, "ADD", 1)
        .await
        .expect("an answer");
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(receipt["status"], "rejected", "{receipt}");
    assert_eq!(receipt["reason"], "there is no such value");
    assert_eq!(receipt["value_id"], MISSING_ID);
    let refused = loop {
        let frame = feed.event().await.expect("a frame");
        if frame["value_id"] == MISSING_ID {
            break frame;
        }
    };
    assert_eq!(refused["type"], "value.rejected");
}

/// Checks that each of many concurrent clients gets its own result or rejection.
async fn clients_that_wait_get_the_result(kind: Kind) {
    let world = start(kind).await;
    let client = world.client();
    let at = create(&client, 0).await.expect("accepted");
    let add = json!({ "operation": "ADD", "value": 1 }).to_string();
    let wait = [("Prefer", "wait=20")];
    let answers = (0..20).map(|_| client.put(&at, &wait, add.clone()));
    let mut results = Vec::new();
    for answer in futures_util::future::join_all(answers).await {
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.header("preference-applied"), "wait=20");
        results.push(answer.json()["value"].as_i64().expect("a number"));
    }
    results.sort_unstable();
    assert_eq!(results, (1..=20).collect::<Vec<_>>());
    // A repeated request gets the same result in spite of later changes.
    let keyed = [wait[0], ("Idempotency-Key", "once")];
    let first = client
        .put(&at, &keyed, add.clone())
        .await
        .expect("an answer");
    client
        .put(&at, &wait, add.clone())
        .await
        .expect("an answer");
    let again = client
        .put(&at, &keyed, add.clone())
        .await
        .expect("an answer");
    assert_eq!(first.json(), json!({ "value": 21 }));
    assert_eq!(again.body, first.body);
    let missing = format!("/values/{MISSING_ID}");
    let refused = client
        .put(&missing, &wait, add.clone())
        .await
        .expect("an answer");
    assert_eq!(refused.status, 409);
    assert_eq!(refused.json()["detail"], "there is no such value");
    let receipt = refused.header("operation-location");
    let receipt = client.get(receipt).await.expect("a receipt").json();
    assert_eq!(receipt["status"], "rejected");
    let late = [wait[0], ("If-Match", "\"3\"")];
    let late = client.put(&at, &late, add).await.expect("an answer");
    assert_eq!(late.status, 412);
    assert_eq!(late.json()["code"], "version-conflict");
}
