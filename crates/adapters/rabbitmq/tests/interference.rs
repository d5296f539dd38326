//! Accepted operations survive changes that others make at the broker: policies, queues and
//! bindings.

mod support;

use std::time::Duration;

use bakehouse_dev_servers::Rabbit;
use bakehouse_dev_servers::shared::amqp_uri;
use bakehouse_rabbitmq::{Broker, Settings};
use bakehouse_testkit::operations::many;
use lapin::BasicProperties;
use lapin::options::{
    BasicPublishOptions, ConfirmSelectOptions, ExchangeDeleteOptions, QueueDeclareOptions,
    QueueDeleteOptions,
};
use lapin::types::FieldTable;
use support::{
    ForeignClient, SCHEDULE, SCHEDULER, connected_broker, ids_of, receive_all,
    schedule_with_retries, settings, wait_until_ready,
};
use tokio::time::sleep;

/// Sets a policy on all queues, schedules operations without a consumer, and then consumes them.
/// Returns the number of accepted operations.
async fn under_policy(server: &Rabbit, policy: &str, count: usize, wait: Duration) -> usize {
    let settings = settings(server.uri());
    let broker = connected_broker(&settings).await;
    server.set_policy("p", ".*", policy).expect("a policy");
    sleep(Duration::from_millis(500)).await;
    let operations = many("a", count);
    let mut accepted = Vec::new();
    for operation in &operations {
        match broker.scheduler().schedule(operation).await {
            Ok(()) => accepted.push(operation.clone()),
            Err(error) => assert!(
                error.to_string().contains("schedule queue full"),
                "{policy}: {error}"
            ),
        }
    }
    let is_ready = broker.probe().check().await;
    let is_full = accepted.len() < count;
    assert_eq!(is_ready.is_err(), is_full, "{policy}: {is_ready:?}");
    sleep(wait).await;
    let mut consumer = broker.consumer();
    let ids = ids_of(&accepted);
    let received = receive_all(consumer.as_mut(), &ids).await;
    if !policy.contains("drop-head") {
        assert_eq!(received, ids, "{policy}: in order");
    }
    // The broker is ready again once the queue has room.
    schedule_with_retries(broker.scheduler().as_ref(), &many("b", 1)[0]).await;
    wait_until_ready(&broker).await;
    server.clear_policy("p");
    accepted.len()
}

/// One broker for all policies, since starting it takes longer than the checks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_lose_no_accepted_operation() {
    let server = Rabbit::start("rabbit-policies").expect("a broker");
    let (none, long) = (Duration::ZERO, Duration::from_secs(3));
    let ttl = r#"{"message-ttl":500}"#;
    assert_eq!(under_policy(&server, ttl, 10, long).await, 10);
    let elsewhere = r#"{"message-ttl":500,"dead-letter-exchange":"amq.fanout",
        "dead-letter-routing-key":"x","dead-letter-strategy":"at-most-once"}"#;
    assert_eq!(under_policy(&server, elsewhere, 10, long).await, 10);
    let short = r#"{"max-length":5}"#;
    assert!(under_policy(&server, short, 20, none).await < 20);
    let small = r#"{"max-length-bytes":2000}"#;
    assert!(under_policy(&server, small, 20, none).await < 20);
    // This policy overrides the argument; the dropped operations come back as dead letters.
    let dropping = r#"{"max-length":5,"overflow":"drop-head"}"#;
    assert_eq!(under_policy(&server, dropping, 9, long).await, 9);
    delivery_limit(&server).await;
}

/// A writer is killed more often than the delivery limit allows.
async fn delivery_limit(server: &Rabbit) {
    let settings = settings(server.uri());
    let broker = connected_broker(&settings).await;
    let policy = r#"{"delivery-limit":1}"#;
    server.set_policy("p", ".*", policy).expect("a policy");
    sleep(Duration::from_millis(500)).await;
    let operations = many("a", 5);
    for operation in &operations {
        schedule_with_retries(broker.scheduler().as_ref(), operation).await;
    }
    for _ in 0..4 {
        let mut consumer = broker.consumer();
        let received = tokio::time::timeout(Duration::from_secs(2), consumer.receive(100)).await;
        if let Ok(received) = received {
            received.expect("received");
        }
        drop(consumer);
        sleep(Duration::from_millis(300)).await;
    }
    let mut consumer = broker.consumer();
    receive_all(consumer.as_mut(), &ids_of(&operations)).await;
    server.clear_policy("p");
}

async fn shared() -> (Settings, Broker, ForeignClient) {
    let settings = settings(amqp_uri());
    let broker = connected_broker(&settings).await;
    let other = ForeignClient::connect(&settings).await;
    (settings, broker, other)
}

/// With `mandatory` alone, any queue bound to the exchange would satisfy the broker.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_schedule_queue_confirms_an_operation() {
    let (_, broker, other) = shared().await;
    other.bind_own_queue().await;
    other.unbind(&other.prefixed(SCHEDULE)).await;
    let operations = many("a", 5);
    for operation in &operations {
        let scheduled = broker.scheduler().schedule(operation).await;
        scheduled.expect("confirmed");
    }
    let mut consumer = broker.consumer();
    let ids = ids_of(&operations);
    assert_eq!(receive_all(consumer.as_mut(), &ids).await, ids);
    // Connecting has bound the queue again, for programs that publish to the exchange.
    let others = many("b", 3);
    other.publish(&others).await;
    let ids = ids_of(&others);
    assert_eq!(receive_all(consumer.as_mut(), &ids).await, ids);
}

/// A message without a queue causes the queue to be declared again, and is accepted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleted_queues_and_exchanges_are_declared_again() {
    let (_, broker, other) = shared().await;
    let operations = many("a", 2);
    let channel = other.channel().await;
    let queue = other.prefixed(SCHEDULE);
    let options = QueueDeleteOptions::default();
    let deleted = channel.queue_delete(queue.as_str().into(), options);
    deleted.await.expect("deleted");
    let scheduled = broker.scheduler().schedule(&operations[0]).await;
    scheduled.expect("confirmed");
    let mut consumer = broker.consumer();
    let ids = ids_of(&operations);
    receive_all(consumer.as_mut(), &ids[..1]).await;
    // Deleted while it is consumed: the consumer reconnects by itself.
    let options = QueueDeleteOptions::default();
    let deleted = channel.queue_delete(queue.as_str().into(), options);
    deleted.await.expect("deleted");
    schedule_with_retries(broker.scheduler().as_ref(), &operations[1]).await;
    receive_all(consumer.as_mut(), &ids[1..]).await;
    // No message is returned for a missing exchange: the periodic check declares it again.
    let exchange = other.prefixed(SCHEDULER);
    let options = ExchangeDeleteOptions::default();
    let deleted = channel.exchange_delete(exchange.into(), options);
    deleted.await.expect("deleted");
    sleep(Duration::from_secs(7)).await;
    let others = many("b", 3);
    other.publish(&others).await;
    let ids = ids_of(&others);
    assert_eq!(receive_all(consumer.as_mut(), &ids).await, ids);
}

/// Operations wait in the schedule queue, the moving queue, or the dead-letter queue.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waiting_operations_of_all_queues_are_counted() {
    let (_, broker, other) = shared().await;
    let channel = other.channel().await;
    let confirms = channel.confirm_select(ConfirmSelectOptions::default());
    confirms.await.expect("confirms");
    let moving = other.prefixed("platform-event.schedule.moving");
    let options = QueueDeclareOptions::durable();
    let declared = channel.queue_declare(moving.as_str().into(), options, FieldTable::default());
    declared.await.expect("a queue");
    let waiting = |(scheduled, moved, dead): (u64, u64, u64)| (scheduled + moved + dead, dead);
    let mut expected = (0, 0, 0);
    for (queue, add) in [
        (other.prefixed(SCHEDULE), (1, 0, 0)),
        (moving.clone(), (0, 1, 0)),
        (other.prefixed("platform-event.dead-letters"), (0, 0, 1)),
    ] {
        let options = BasicPublishOptions::default();
        let properties = BasicProperties::default().with_delivery_mode(2);
        let published = channel.basic_publish("".into(), queue.into(), options, b"{}", properties);
        published
            .await
            .expect("published")
            .await
            .expect("confirmed");
        expected = (expected.0 + add.0, expected.1 + add.1, expected.2 + add.2);
        let counted = async {
            loop {
                let found = broker.backlog().waiting().await.expect("an answer");
                if (found.operations, found.dead_letters) == waiting(expected) {
                    return;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        let counted = tokio::time::timeout(Duration::from_secs(30), counted).await;
        assert!(counted.is_ok(), "expected {expected:?}");
    }
    let deleted = channel.queue_delete(moving.into(), QueueDeleteOptions::default());
    deleted.await.expect("deleted");
}

/// An exclusive queue of another program under the schedule queue's name would lose operations.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exclusive_queue_under_the_same_name_gets_nothing() {
    let (settings, broker, other) = shared().await;
    let owner = ForeignClient::connect(&settings).await;
    let channel = owner.channel().await;
    let queue = other.prefixed(SCHEDULE);
    let options = QueueDeleteOptions::default();
    let deleted = channel.queue_delete(queue.as_str().into(), options);
    deleted.await.expect("deleted");
    let options = QueueDeclareOptions::exclusive();
    let declared = channel.queue_declare(queue.as_str().into(), options, FieldTable::default());
    declared.await.expect("an exclusive queue");
    let probe = broker.probe();
    let noticed = async {
        while probe.check().await.is_ok() {
            sleep(Duration::from_millis(50)).await;
        }
    };
    let noticed = tokio::time::timeout(Duration::from_secs(30), noticed).await;
    noticed.expect("not ready");
    let operations = many("a", 2);
    // Also while the publisher keeps reconnecting.
    for _ in 0..20 {
        let refused = broker.scheduler().schedule(&operations[0]).await;
        refused.expect_err("not published");
        sleep(Duration::from_millis(50)).await;
    }
    let closed = owner.connection.close(200, "gone".into());
    closed.await.expect("closed");
    wait_until_ready(&broker).await;
    schedule_with_retries(broker.scheduler().as_ref(), &operations[1]).await;
    let mut consumer = broker.consumer();
    receive_all(consumer.as_mut(), &ids_of(&operations[1..])).await;
}
