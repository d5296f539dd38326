//! Conformance of the RabbitMQ adapter to the ports of the schedule queue and notices, on a real
//! broker.

mod support;

use std::time::Duration;

use bakehouse_dev_servers::Rabbit;
use bakehouse_dev_servers::shared::amqp_uri;
use bakehouse_engine::ports::Scheduler;
use bakehouse_rabbitmq::Broker;
use bakehouse_testkit::conformance::schedule::Consumers;
use bakehouse_testkit::conformance::unreadable::UnreadableQueue;
use bakehouse_testkit::operations::{many, operation};
use futures_util::future::BoxFuture;
use support::{ForeignClient, connected_broker, settings, wait_until_ready};

async fn broker() -> Broker {
    connected_broker(&settings(amqp_uri())).await
}

bakehouse_testkit::schedule_suite!(schedule, async {
    let broker = broker().await;
    let scheduler = broker.scheduler();
    let consumers: Consumers = Box::new(move || broker.consumer());
    (scheduler, consumers)
});

bakehouse_testkit::backlog_suite!(backlog, async {
    let broker = broker().await;
    let (scheduler, backlog) = (broker.scheduler(), broker.backlog());
    let consumers: Consumers = Box::new(move || broker.consumer());
    ((scheduler, consumers), backlog)
});

bakehouse_testkit::notices_suite!(notices, async { broker().await.notices() });

bakehouse_testkit::unreadable_suite!(unreadable, async {
    let settings = settings(amqp_uri());
    let broker = connected_broker(&settings).await;
    let (scheduler, backlog) = (broker.scheduler(), broker.backlog());
    let consumers: Consumers = Box::new(move || broker.consumer());
    let put = move |bytes| {
        let settings = settings.clone();
        let put = async move {
            ForeignClient::connect(&settings)
                .await
                .publish_raw(bytes)
                .await
        };
        Box::pin(put) as BoxFuture<'static, ()>
    };
    UnreadableQueue {
        queue: (scheduler, consumers),
        backlog,
        put: Box::new(put),
        message: b"what?\xff".to_vec(),
    }
});

#[tokio::test]
async fn the_error_about_an_invalid_uri_contains_no_secret() {
    for uri in ["http://user:secret@host", "secret", ""] {
        let Err(error) = Broker::new(&settings(uri.into())) else {
            panic!("{uri} was accepted");
        };
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_scheduling_fails_at_once() {
    let broker = Broker::new(&settings("amqp://user:secret@127.0.0.1:1/%2f".into()));
    let broker = broker.expect("a valid URI");
    tokio::time::sleep(Duration::from_millis(200)).await;
    let started = std::time::Instant::now();
    let error = broker
        .scheduler()
        .schedule(&many("a", 1)[0])
        .await
        .expect_err("no broker");
    assert!(started.elapsed() < Duration::from_millis(100));
    let reason = broker.probe().check().await.expect_err("no broker");
    assert!(
        !error.to_string().contains("secret") && !reason.contains("secret"),
        "{reason}"
    );
}

/// Kill, memory alarm and pause of a broker, each followed by recovery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn confirmed_operations_survive_failures_of_the_broker() {
    let mut server = Rabbit::start("rabbit-survives").expect("a broker");
    let broker = Broker::new(&settings(server.uri())).expect("a valid URI");
    wait_until_ready(&broker).await;
    let (scheduler, mut consumer) = (broker.scheduler(), broker.consumer());
    let operations = many("a", 40);
    for operation in &operations[..20] {
        scheduler.schedule(operation).await.expect("confirmed");
    }
    // A node that is killed right after declaring a queue may not find the queue's leader again.
    tokio::time::sleep(Duration::from_secs(4)).await;
    server.kill();
    assert!(
        scheduler.schedule(&operations[20]).await.is_err(),
        "not confirmed"
    );
    server.start_again().expect("it starts again");
    wait_until_ready(&broker).await;
    // A broker that has just started must elect the leaders of its queues first.
    for operation in &operations[20..30] {
        schedule_until_confirmed(scheduler.as_ref(), operation).await;
    }
    server.alarm(true).expect("an alarm");
    // The first one may fail only by the confirmation timeout.
    assert!(
        scheduler.schedule(&operations[30]).await.is_err(),
        "not confirmed"
    );
    let started = std::time::Instant::now();
    let error = scheduler
        .schedule(&operations[30])
        .await
        .expect_err("not confirmed");
    assert!(error.to_string().contains("short of memory"), "{error}");
    assert!(started.elapsed() < Duration::from_millis(500));
    assert!(broker.probe().check().await.is_err());
    server.alarm(false).expect("the alarm is cleared");
    wait_until_ready(&broker).await;
    server.pause();
    let started = std::time::Instant::now();
    assert!(
        scheduler.schedule(&operations[30]).await.is_err(),
        "not confirmed"
    );
    assert!(started.elapsed() < Duration::from_secs(4));
    server.resume();
    wait_until_ready(&broker).await;
    for operation in &operations[30..] {
        schedule_until_confirmed(scheduler.as_ref(), operation).await;
    }
    let mut received = Vec::new();
    while !operations
        .iter()
        .all(|o| received.contains(&o.operation_id))
    {
        // Messages that were unsettled when a connection broke are delivered again.
        match consumer.receive(100).await {
            Ok(batch) => received.extend(batch.operations.iter().map(|o| o.operation_id)),
            Err(_) => received.clear(),
        }
    }
    // An operation whose confirmation was lost may arrive twice; the log drops the duplicate.
    let mut first_seen = Vec::new();
    received.retain(|id| {
        !first_seen.contains(id) && {
            first_seen.push(*id);
            true
        }
    });
    let sent: Vec<_> = operations
        .iter()
        .map(|operation| operation.operation_id)
        .collect();
    assert_eq!(first_seen, sent);
    consumer.settle().await.expect("settled");
}

async fn schedule_until_confirmed(
    scheduler: &dyn Scheduler,
    operation: &bakehouse_engine::Operation,
) {
    for _ in 0..50 {
        if scheduler.schedule(operation).await.is_ok() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the broker confirms nothing");
}

/// A message that is not an operation is parked, with its bytes unchanged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unreadable_message_is_reported_and_can_be_parked() {
    let settings = settings(amqp_uri());
    let broker = Broker::new(&settings).expect("a valid URI");
    wait_until_ready(&broker).await;
    let connection =
        lapin::Connection::connect(&settings.uri, lapin::ConnectionProperties::default());
    let connection = connection.await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    let queue = format!("{}platform-event.schedule", settings.prefix);
    let options = lapin::options::BasicPublishOptions::default();
    let properties = lapin::BasicProperties::default();
    // Not valid UTF-8, and with a parser error as long as the message.
    let mut bytes = format!(r#"{{"operation":"{}",""#, "Z".repeat(200_000)).into_bytes();
    bytes.push(0xff);
    let published = channel
        .basic_publish("".into(), queue.into(), options, &bytes, properties)
        .await;
    published.expect("published");
    let mut consumer = broker.consumer();
    let batch = consumer.receive(10).await.expect("received");
    assert!(batch.operations.is_empty());
    let unreadable = &batch.unreadable[0];
    assert_eq!(unreadable.bytes, bytes);
    consumer.park(unreadable).await.expect("parked");
    consumer.settle().await.expect("settled");
    let parked = format!("{}platform-event.parked", settings.prefix);
    let options = lapin::options::BasicGetOptions { no_ack: true };
    let message = channel
        .basic_get(parked.into(), options)
        .await
        .expect("answers");
    let message = message.expect("a parked message");
    assert_eq!(message.delivery.data, bytes, "unchanged");
    let headers = message.delivery.properties.headers().as_ref();
    let reason = headers.and_then(|headers| headers.inner().get("x-reason"));
    let reason = reason.and_then(|reason| reason.as_long_string());
    let reason = reason.expect("a reason").to_string();
    assert!(reason.contains("unknown variant"), "{reason}");
    assert!(reason.len() <= 1_000, "too long for a frame");
}

/// While nothing is confirmed, pending messages are limited to 64 MiB; further ones fail at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_that_wait_for_a_confirmation_are_bounded() {
    const COUNT: usize = 90;
    let server = Rabbit::start("rabbit-room").expect("a broker");
    let broker = Broker::new(&settings(server.uri())).expect("a valid URI");
    wait_until_ready(&broker).await;
    server.pause();
    let large = "x".repeat(1024 * 1024);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..COUNT {
        let (scheduler, operation) = (broker.scheduler(), operation(&number.to_string(), &large));
        tasks.spawn(async move {
            let began = std::time::Instant::now();
            let refused = scheduler.schedule(&operation).await;
            let reason = refused.expect_err("not confirmed").to_string();
            (reason.contains("too many messages wait"), began.elapsed())
        });
    }
    let answers = tasks.join_all().await;
    let at_once = answers.iter().filter(|(is_full, _)| *is_full);
    assert!(
        at_once
            .clone()
            .all(|(_, took)| *took < Duration::from_secs(1))
    );
    // Each message has a little more than 1 MiB of 64 MiB.
    assert_eq!(at_once.count(), COUNT - 63);
    server.resume();
    let again = async {
        while broker.scheduler().schedule(&many("b", 1)[0]).await.is_err() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let again = tokio::time::timeout(Duration::from_secs(30), again).await;
    again.expect("messages are accepted again");
}
