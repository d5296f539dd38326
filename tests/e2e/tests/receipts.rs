//! Receipts of operations: from accepted to baked, unknown operations, and operations that are
//! still in the queue.

use std::time::{Duration, Instant};

use bakehouse_e2e::{Kind, World, in_both_worlds, ledger};

in_both_worlds!(
    a_receipt_can_be_waited_for,
    unknown_operations_have_no_receipt,
);

async fn a_receipt_can_be_waited_for(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let accepted = client.post(ledger::order("r-1")).await.expect("an answer");
    let path = accepted.header("operation-location");
    let early = client.get(path).await.expect("an answer");
    assert_eq!(early.status, 200);
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(
        (&receipt["status"], &receipt["position"]),
        (&"baked".into(), &1.into())
    );
    assert_eq!(
        format!(
            "/operation/{}",
            receipt["operation_id"].as_str().expect("an id")
        ),
        path
    );
    let order = receipt["order_id"].as_str().expect("an id");
    assert_eq!(format!("/order/{order}"), accepted.header("location"));
    let times = ["accepted_at", "stored_at", "executed_at"].map(|name| receipt[name].as_str());
    assert!(
        times.iter().all(Option::is_some) && times.is_sorted(),
        "{receipt}"
    );
    let after = client.get(path).await.expect("an answer");
    assert_eq!((after.header("retry-after"), &after.json()), ("", &receipt));
}

async fn unknown_operations_have_no_receipt(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    for id in [uuid::Uuid::now_v7().to_string(), "no-id".to_owned()] {
        let answer = client
            .get_with(&format!("/operation/{id}"), &[("Prefer", "wait=10")])
            .await;
        assert_eq!(answer.expect("an answer").status, 404);
    }
}

/// Checks that any api-server shows an operation as accepted before it is stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queued_operation_is_accepted() {
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    let second = world.start_second("api-server").expect("it starts");
    let client = world.client();
    world.process("events-writer").kill();
    let accepted = client.post(ledger::order("r-1")).await.expect("an answer");
    let path = accepted.header("operation-location");
    let elsewhere = bakehouse_e2e::Client::new(&second);
    let until = Instant::now() + Duration::from_secs(20);
    let answer = loop {
        if let Ok(answer) = elsewhere.get(path).await {
            break answer;
        }
        assert!(Instant::now() < until, "the second api-server answers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(
        (answer.status.as_u16(), answer.header("retry-after")),
        (200, "1")
    );
    assert_eq!(answer.json()["status"], "accepted");
    let start = Instant::now();
    let waited = client
        .get_with(path, &[("Prefer", "wait=1")])
        .await
        .expect("an answer");
    assert_eq!(waited.json()["status"], "accepted");
    assert!((1..30).contains(&start.elapsed().as_secs()));
    world.process("events-writer").start().expect("it starts");
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked");
}
