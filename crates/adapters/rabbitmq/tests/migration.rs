//! A schedule queue of an earlier version is replaced: nothing is lost, nothing overtakes.

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
use support::{Other, SCHEDULE, SCHEDULER, ids_of, insist, reached, receive_all, settings};
use tokio::time::sleep;

const MOVING: &str = "platform-event.schedule.moving";

/// Declares what the earlier version declares.
async fn earlier(settings: &Settings) -> Other {
    let other = Other::at(settings).await;
    let channel = other.channel().await;
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let exchange = other.named(SCHEDULER).into();
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
    let queue = other.named(SCHEDULE);
    let options = QueueDeclareOptions::durable();
    let declared = channel.queue_declare(queue.as_str().into(), options, arguments);
    declared.await.expect("a queue");
    other.bind(&queue).await;
    other
}

/// Consumes as the writer of the earlier version.
async fn earlier_writer(other: &Other) -> Consumer {
    let channel = other.channel().await;
    let options = BasicQosOptions::default();
    channel.basic_qos(10, options).await.expect("a prefetch");
    let queue = other.named(SCHEDULE).into();
    let options = BasicConsumeOptions::default();
    let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default());
    consumer.await.expect("a consumer")
}

async fn wait_until_replaced(other: &Other) {
    let replaced = async {
        while other.has_queue(MOVING).await || !other.has_queue(SCHEDULE).await {
            sleep(Duration::from_millis(200)).await;
        }
    };
    let replaced = tokio::time::timeout(Duration::from_secs(30), replaced).await;
    replaced.expect("replaced in time");
}

/// Publishers of both versions, one operation after the other, each accepted before the next;
/// writers that are killed again and again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_order_whoever_publishes_and_whoever_is_killed() {
    let settings = settings(amqp_uri());
    let old = earlier(&settings).await;
    let operations = many("a", 260);
    let ids = ids_of(&operations);
    old.publish(&operations[..40]).await;
    // A writer of the earlier version is at work, and goes away with some in hand.
    let old_writer = Other::at(&settings).await;
    let mut consumer = earlier_writer(&old_writer).await;
    for _ in 0..5 {
        let delivery = consumer.next().await.expect("a delivery").expect("one");
        let acked = delivery.acker.ack(BasicAckOptions::default());
        acked.await.expect("acked");
    }
    let broker = reached(&settings).await;
    let mut writer = broker.consumer();
    let early = tokio::time::timeout(Duration::from_secs(2), writer.receive(10)).await;
    assert!(early.is_err(), "the earlier writer is at work");
    assert!(old.has_queue(SCHEDULE).await && !old.has_queue(MOVING).await);
    let closed = old_writer.connection.close(200, "gone".into());
    closed.await.expect("closed");
    let publishing = tokio::spawn({
        let (rest, scheduler) = (operations[40..].to_vec(), broker.scheduler());
        async move {
            for (number, operation) in rest.iter().enumerate() {
                if number % 2 == 0 {
                    insist(scheduler.as_ref(), operation).await;
                } else {
                    old.publish(std::slice::from_ref(operation)).await;
                }
                sleep(Duration::from_millis(20)).await;
            }
            old
        }
    });
    let mut seen = Vec::new();
    let mut round = 0;
    while !ids[5..].iter().all(|id| seen.contains(id)) {
        round += 1;
        assert!(round < 2_000, "{} came", seen.len());
        if round % 25 == 0 {
            // Killed with what it has in hand.
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
        if round % 7 != 0 {
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
    // What is there now is the queue of this version, and works.
    let last = many("z", 2);
    insist(broker.scheduler().as_ref(), &last[0]).await;
    old.publish(&last[1..]).await;
    let mut writer = broker.consumer();
    receive_all(writer.as_mut(), &ids_of(&last)).await;
}

/// Nothing comes, and nobody of the earlier version is there: replaced all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_queue_is_replaced() {
    let settings = settings(amqp_uri());
    let old = earlier(&settings).await;
    let broker = reached(&settings).await;
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

/// A classic queue in the place of the deleted one, which no restart would survive: messages in it
/// are stored, and the queue is replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_that_others_declared_is_replaced() {
    let settings = settings(amqp_uri());
    let broker = reached(&settings).await;
    let other = Other::at(&settings).await;
    let channel = other.channel().await;
    let queue = other.named(SCHEDULE);
    let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
    deleted.await.expect("deleted");
    let none = FieldTable::default();
    let options = QueueDeclareOptions::default();
    let declared = channel.queue_declare(queue.as_str().into(), options, none);
    declared.await.expect("a queue that is not durable");
    let operations = many("a", 20);
    for operation in &operations {
        insist(broker.scheduler().as_ref(), operation).await;
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

/// Arguments of this version.
fn current_arguments(other: &Other) -> FieldTable {
    let text = |text: &str| AMQPValue::LongString(text.into());
    let mut arguments = FieldTable::default();
    for (name, value) in [
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongInt(i32::MAX)),
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-overflow", text("reject-publish")),
        (
            "x-dead-letter-exchange",
            text(&other.named("platform-events-dead-letters")),
        ),
        ("x-dead-letter-strategy", text("at-least-once")),
    ] {
        arguments.insert(name.into(), value);
    }
    arguments
}
