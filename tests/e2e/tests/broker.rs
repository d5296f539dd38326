//! Policies, foreign queues and queues of earlier versions at the broker: no accepted operation is
//! lost.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bakehouse_dev_servers::{Rabbit, shared};
use bakehouse_e2e::ledger::{Ledger, Load, audit, order};
use bakehouse_e2e::world::{Servers, wait};
use bakehouse_e2e::{Kind, World};
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, ExchangeKind};
use tokio::time::sleep;

const SCHEDULER: &str = "platform-events-scheduler";
const SCHEDULE: &str = "platform-event.schedule";
const LIMIT: Duration = Duration::from_secs(60);

fn fresh() -> String {
    format!("e{}", uuid::Uuid::now_v7().simple())
}

async fn channel(uri: &str) -> Result<Channel> {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await?;
    Ok(connection.create_channel().await?)
}

/// Returns the number of messages in a queue.
async fn waiting(channel: &Channel, queue: &str) -> u32 {
    let passive = QueueDeclareOptions {
        passive: true,
        ..QueueDeclareOptions::durable()
    };
    let declared = channel.queue_declare(queue.into(), passive, FieldTable::default());
    declared.await.expect("the queue").message_count()
}

/// Sets policies on all queues while events-writer is down, and checks that all accepted operations
/// are executed afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn policies_lose_nothing() {
    let rabbit = Rabbit::start("e2e-policies").expect("a RabbitMQ");
    let name = fresh();
    let servers = Servers {
        amqp: rabbit.uri(),
        ..Servers::shared(&name)
    };
    let mut world = World::prepare(Kind::Servers, Some((&name, servers)), &[]).expect("a world");
    world.begin().await.expect("it starts");
    let channel = channel(&rabbit.uri()).await.expect("a channel");
    let queue = format!("{}{SCHEDULE}", world.prefix());
    let mut ledger = Ledger::default();
    for (label, policy) in [
        ("ttl", r#"{"message-ttl":500}"#),
        ("length", r#"{"max-length":5}"#),
    ] {
        world.process("events-writer").kill();
        rabbit.set_policy("p", ".*", policy).expect("a policy");
        let client = world.client();
        // Sends orders until the policy has an effect: messages expire, or the queue is full.
        let until = Instant::now() + LIMIT;
        let (mut sent, mut refused) = (0, 0);
        while refused < 3 {
            let reference = format!("{label}-{sent}");
            let answer = client.post(order(&reference)).await.expect("an answer");
            sent += 1;
            match answer.status.as_u16() {
                202 => ledger.accepted.insert(reference),
                503 if label == "length" => {
                    refused += 1;
                    ledger.unknown.insert(reference)
                }
                _ => panic!("{answer:?}"),
            };
            if label == "ttl" && sent > 12 {
                if waiting(&channel, &queue).await < 12 {
                    break;
                }
                // Fewer than twelve orders are placed within the time to live of a message.
                sleep(Duration::from_millis(200)).await;
            }
            assert!(Instant::now() < until, "{policy} has no effect");
        }
        let ready = client.get("/health/ready").await.expect("an answer");
        let expected = if label == "length" { 503 } else { 200 };
        assert_eq!(ready.status, expected, "{policy}");
        if label == "ttl" {
            let have_expired = async || waiting(&channel, &queue).await == 0;
            let outcome = wait(LIMIT, "an empty queue", have_expired).await;
            outcome.expect("they expire");
        }
        world.start_all().expect("it starts again");
        let audited = audit(&world, &ledger, Duration::from_secs(60)).await;
        audited.expect("the audit succeeds");
        rabbit.clear_policy("p");
    }
}

/// Unbinds the queue of the services and binds a foreign one to the exchange; the broker confirms
/// messages that only the foreign queue gets.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operations_do_not_depend_on_the_exchange() {
    let world = World::start(Kind::Servers).await.expect("a world");
    let channel = channel(&shared::amqp_uri()).await.expect("a channel");
    let named = |name: &str| format!("{}{name}", world.prefix());
    let options = QueueDeclareOptions::exclusive();
    let foreign = channel.queue_declare("".into(), options, FieldTable::default());
    let foreign = foreign.await.expect("a queue").name().clone();
    bind(&channel, foreign.as_str(), &named(SCHEDULER))
        .await
        .expect("bound");
    let (queue, exchange) = (named(SCHEDULE), named(SCHEDULER));
    let none = FieldTable::default();
    let unbound = channel.queue_unbind(queue.into(), exchange.into(), SCHEDULE.into(), none);
    unbound.await.expect("unbound");
    let load = Load::start(&world.base, 4, 40);
    let ledger = load.finish().await;
    assert!(!ledger.accepted.is_empty());
    audit(&world, &ledger, Duration::from_secs(60))
        .await
        .expect("the audit succeeds");
}

async fn bind(channel: &Channel, queue: &str, exchange: &str) -> Result<()> {
    let (options, none) = (QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            SCHEDULE.into(),
            options,
            none,
        )
        .await
        .context("bound")
}

/// Starts the services on a queue of an earlier version, and restarts events-writer under load.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_of_an_earlier_version_is_replaced() {
    let name = fresh();
    let servers = Servers::shared(&name);
    let channel = channel(&servers.amqp).await.expect("a channel");
    let mut world = World::prepare(Kind::Servers, Some((&name, servers)), &[]).expect("a world");
    let named = |name: &str| format!("{}{name}", world.prefix());
    let (queue, exchange) = (named(SCHEDULE), named(SCHEDULER));
    let durable = ExchangeDeclareOptions {
        durable: true,
        ..ExchangeDeclareOptions::default()
    };
    let none = FieldTable::default();
    let declared =
        channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, durable, none);
    declared.await.expect("an exchange");
    let mut arguments = FieldTable::default();
    arguments.insert(
        "x-queue-type".into(),
        AMQPValue::LongString("quorum".into()),
    );
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(i32::MAX));
    arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
    let options = QueueDeclareOptions::durable();
    let declared = channel.queue_declare(queue.as_str().into(), options, arguments);
    declared.await.expect("a queue");
    bind(&channel, &queue, &exchange).await.expect("bound");
    world.begin().await.expect("it starts");
    let load = Load::start(&world.base, 4, u64::MAX);
    for restart in 1..=3 {
        let is_more = async || load.accepted() > restart * 100;
        wait(LIMIT, "more orders", is_more).await.expect("load");
        world.process("events-writer").kill();
        world.start_all().expect("it starts again");
    }
    let before = load.accepted();
    let is_more = async || load.accepted() > before + 100;
    wait(LIMIT, "more orders", is_more).await.expect("load");
    let ledger = load.stop().await;
    assert!(!ledger.accepted.is_empty());
    audit(&world, &ledger, Duration::from_secs(60))
        .await
        .expect("the audit succeeds");
    // The earlier queue is deleted once it is empty.
    let gone = wait(LIMIT, "the replacement", async || {
        world.logs_in_full().contains("is empty and deleted")
    });
    gone.await.expect("replaced");
}
