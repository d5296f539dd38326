//! Migration of a schedule queue of an earlier version, without loss and in order.

mod support;

use std::time::Duration;

use bakehouse_dev_servers::shared::amqp_uri;
use bakehouse_rabbitmq::Settings;
use bakehouse_testkit::operations::many;
use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Consumer, ExchangeKind};
use support::{
    ForeignClient, SCHEDULE, SCHEDULER, connected_broker, ids_of, receive_all,
    schedule_with_retries, settings,
};
use tokio::time::sleep;

const MOVING: &str = "platform-event.schedule.moving";

/// Declares exchange and queue as the earlier version does.
async fn declare_earlier(settings: &Settings) -> ForeignClient {
    let other = ForeignClient::connect(settings).await;
    let channel = other.channel().await;
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let exchange = other.prefixed(SCHEDULER).into();
    let declared = channel.exchange_declare(
        exchange,
        ExchangeKind::Topic,
        durable,
        FieldTable::default(),
    );
    declared.await.expect("an exchange");
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(i32::MAX));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    let queue = other.prefixed(SCHEDULE);
    let options = QueueDeclareOptions::durable();
    let declared = channel.queue_declare(queue.as_str().into(), options, arguments);
    declared.await.expect("a queue");
    other.bind(&queue).await;
    other
}

/// Consumes as events-writer of the earlier version does.
async fn earlier_writer(other: &ForeignClient) -> Consumer {
    let channel = other.channel().await;
    let options = BasicQosOptions::default();
    channel.basic_qos(10, options).await.expect("a prefetch");
    let queue = other.prefixed(SCHEDULE).into();
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default());
    consumer.await.expect("a consumer")
}

async fn wait_until_replaced(other: &ForeignClient) {
    let replaced = async {
        while other.has_queue(MOVING).await || !other.has_queue(SCHEDULE).await {
            sleep(Duration::from_millis(200)).await;
        }
    };
    let replaced = tokio::time::timeout(Duration::from_secs(30), replaced).await;
    replaced.expect("replaced in time");
}

/// Publishers of both versions take turns, each operation is accepted before the next, and writers
/// are killed repeatedly.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn order_survives_mixed_publishers_and_killed_writers() {
    let settings = settings(amqp_uri());
    let old = declare_earlier(&settings).await;
    let operations = many("a", 260);
    let ids = ids_of(&operations);
    old.publish(&operations[..40]).await;
    // A writer of the earlier version is active, and leaves with unsettled operations.
    let old_writer = ForeignClient::connect(&settings).await;
    let mut consumer = earlier_writer(&old_writer).await;
    for _ in 0..5 {
        let delivery = consumer.next().await.expect("a delivery").expect("one");
        let acked = delivery.acker.ack(BasicAckOptions::default());
        acked.await.expect("acked");
    }
    let broker = connected_broker(&settings).await;
    let mut writer = broker.consumer();
    let early = tokio::time::timeout(Duration::from_secs(2), writer.receive(10)).await;
    assert!(early.is_err(), "the earlier writer is still active");
    assert!(old.has_queue(SCHEDULE).await && !old.has_queue(MOVING).await);
    let closed = old_writer.connection.close(200, "gone".into());
    closed.await.expect("closed");
    let publishing = tokio::spawn({
        let (rest, scheduler) = (operations[40..].to_vec(), broker.scheduler());
        async move {
            for (number, operation) in rest.iter().enumerate() {
                if number % 2 == 0 {
                    schedule_with_retries(scheduler.as_ref(), operation).await;
                } else {
                    old.publish(std::slice::from_ref(operation)).await;
                }
                sleep(Duration::from_millis(20)).await;
            }
            old
        }
    });
    let mut seen = Vec::new();
    let mut attempt = 0;
    while !ids[5..].iter().all(|id| seen.contains(id)) {
        attempt += 1;
        assert!(attempt < 2_000, "{} arrived", seen.len());
        if attempt % 25 == 0 {
            // Killed with unsettled operations.
            writer = broker.consumer();
        }
        let receiving = tokio::time::timeout(Duration::from_secs(1), writer.receive(10));
        let Ok(Ok(batch)) = receiving.await else {
            continue;
        };
        for operation in batch.operations {
            if !seen.contains(&operation.operation_id) {
                seen.push(operation.operation_id);
            }
        }
        if attempt % 7 != 0 {
            let _ = writer.settle().await;
        }
    }
    assert_eq!(seen, ids[5..]);
    let old = publishing.await.expect("published");
    let settling = tokio::spawn(async move {
        while writer.receive(10).await.is_ok() {
            let _ = writer.settle().await;
        }
    });
    wait_until_replaced(&old).await;
    settling.abort();
    // The queue is the one of this version now, and works.
    let last = many("z", 2);
    schedule_with_retries(broker.scheduler().as_ref(), &last[0]).await;
    old.publish(&last[1..]).await;
    let mut writer = broker.consumer();
    receive_all(writer.as_mut(), &ids_of(&last)).await;
}

/// Without operations and without a writer of the earlier version, the queue is replaced as well.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_queue_is_replaced() {
    let settings = settings(amqp_uri());
    let old = declare_earlier(&settings).await;
    let broker = connected_broker(&settings).await;
    let mut writer = broker.consumer();
    let settling = tokio::spawn(async move {
        while writer.receive(10).await.is_ok() {
            let _ = writer.settle().await;
        }
    });
    let replaced = async {
        let mut was_moving = false;
        while !was_moving || old.has_queue(MOVING).await {
            was_moving |= old.has_queue(MOVING).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let replaced = tokio::time::timeout(Duration::from_secs(30), replaced).await;
    replaced.expect("replaced in time");
    settling.abort();
}

/// Another program declares a classic queue, which would not survive a restart, under the name of
/// the deleted one: its messages are stored, and the queue is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_others_declared_is_replaced() {
    let settings = settings(amqp_uri());
    let broker = connected_broker(&settings).await;
    let other = ForeignClient::connect(&settings).await;
    let channel = other.channel().await;
    let queue = other.prefixed(SCHEDULE);
    let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
    deleted.await.expect("deleted");
    let none = FieldTable::default();
    let options = QueueDeclareOptions::default();
    let declared = channel.queue_declare(queue.as_str().into(), options, none);
    declared.await.expect("a queue that is not durable");
    let operations = many("a", 20);
    for operation in &operations {
        schedule_with_retries(broker.scheduler().as_ref(), operation).await;
    }
    let mut writer = broker.consumer();
    let ids = ids_of(&operations);
    assert_eq!(receive_all(writer.as_mut(), &ids).await, ids);
    let settling = tokio::spawn(async move {
        while writer.receive(10).await.is_ok() {
            let _ = writer.settle().await;
        }
    });
    let durable = async {
        loop {
            let channel = other.channel().await;
            let declared = channel.queue_declare(
                queue.as_str().into(),
                QueueDeclareOptions::durable(),
                current_arguments(&other),
            );
            if declared.await.is_ok() && !other.has_queue(MOVING).await {
                return;
            }
            sleep(Duration::from_millis(500)).await;
        }
    };
    let durable = tokio::time::timeout(Duration::from_secs(60), durable).await;
    durable.expect("replaced in time");
    settling.abort();
}

/// Returns the arguments of this version.
fn current_arguments(other: &ForeignClient) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut arguments = FieldTable::default();
    for (name, value) in [
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongInt(i32::MAX)),
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-overflow", text("reject-publish")),
        (
            "x-dead-letter-exchange",
            text(&other.prefixed("platform-events-dead-letters")),
        ),
        ("x-dead-letter-strategy", text("at-least-once")),
    ] {
        arguments.insert(name.into(), value);
    }
    arguments
}
