//! AsyncAPI description compared with real messages: frames of the feed, and messages between the
//! services.

use bakehouse_dev_servers::shared::amqp_uri;
use bakehouse_e2e::{Kind, World, in_both_worlds, ledger};
use futures_util::StreamExt;
use jsonschema::Validator;
use lapin::options::{BasicConsumeOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, Consumer};
use serde_json::{Value, json};

in_both_worlds!(
    frames_are_as_described,
    the_documentation_page_is_self_contained
);

/// Returns a validator of a message of a channel.
fn validator(document: &Value, channel: &str, message: &str) -> Validator {
    let mut schema = document["channels"][channel]["messages"][message]["payload"].clone();
    assert!(schema.is_object(), "{channel} describes {message}");
    schema["components"] = document["components"].clone();
    jsonschema::validator_for(&schema).expect("a schema")
}

fn check(document: &Value, channel: &str, message: &str, value: &Value) {
    let errors: Vec<String> = validator(document, channel, message)
        .iter_errors(value)
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect();
    assert!(
        errors.is_empty(),
        "{channel}/{message}: {errors:?} in {value}"
    );
}

async fn frames_are_as_described(kind: Kind) {
    let heartbeat = [("BAKEHOUSE_FEED__HEARTBEAT", "1s".to_owned())];
    let world = World::start_with(kind, &heartbeat)
        .await
        .expect("it starts");
    let client = world.client();
    let document = client
        .get("/asyncapi.json")
        .await
        .expect("an answer")
        .json();
    assert_eq!(document["asyncapi"], "3.0.0");
    let accepted = client.post(ledger::order("one")).await.expect("an answer");
    let order = accepted.header("location");
    for body in [r#"{"status":"paid"}"#, r#"{"status":"placed"}"#] {
        let changed = client.put(&format!("{order}/status"), &[], body).await;
        client
            .settled(&changed.expect("an answer"))
            .await
            .expect("a receipt");
    }
    let deleted = client
        .send(hyper::Method::DELETE, order, &[], "")
        .await
        .expect("an answer");
    client.settled(&deleted).await.expect("a receipt");
    let mut feed = world
        .feed("since=0&type=order.rejected")
        .await
        .expect("a subscription");
    let mut seen = Vec::new();
    while !seen.contains(&"position".to_owned()) || !seen.contains(&"ping".to_owned()) {
        let frame: Value =
            serde_json::from_str(&feed.text().await.expect("a frame")).expect("JSON");
        let kind = frame["type"].as_str().expect("a type").to_owned();
        let message = if kind == "order.rejected" {
            "rejection"
        } else {
            &kind
        };
        check(&document, "feed", message, &frame);
        seen.push(kind);
    }
    assert_eq!(seen[..3], ["welcome", "order.rejected", "live"]);
    let mut feed = world.feed("since=0").await.expect("a subscription");
    let changes = feed.events_up_to(4).await.expect("events");
    for change in changes
        .iter()
        .filter(|change| change["type"] != "order.rejected")
    {
        check(&document, "feed", "change", change);
    }
    feed.say("what?").await.expect("sent");
    let error = feed.frame().await.expect("a frame");
    let error = if error["type"] == "live" {
        feed.frame().await.expect("a frame")
    } else {
        error
    };
    check(&document, "feed", "error", &error);
    // The description must refuse an unknown field.
    let mut wrong = changes[0].clone();
    wrong["order"]["colour"] = json!("red");
    assert!(!validator(&document, "feed", "change").is_valid(&wrong));
}

async fn the_documentation_page_is_self_contained(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let redirect = client.get("/docs").await.expect("an answer");
    assert_eq!(
        (redirect.status.as_u16(), redirect.header("location")),
        (301, "/docs/")
    );
    let page = client.get("/docs/").await.expect("an answer");
    let text = String::from_utf8_lossy(&page.body);
    assert!(
        text.contains("swagger-ui") && !text.contains("//cdn"),
        "{text}"
    );
    let sources = text
        .split(['"', '\''])
        .filter(|part| part.ends_with(".js") || part.ends_with(".css"));
    let sources: Vec<&str> = sources.collect();
    assert!(sources.len() >= 3, "{text}");
    for source in sources {
        assert!(!source.contains("//"), "{source} is elsewhere");
        let path = format!("/docs/{}", source.trim_start_matches("./"));
        let answer = client.get(&path).await.expect("an answer");
        assert_eq!(answer.status, 200, "{path}");
    }
    let described = client.get("/openapi.json").await.expect("an answer").json();
    let calls = described["paths"].as_object().into_iter().flatten();
    let calls = calls.flat_map(|(_, calls)| calls.as_object().into_iter().flatten());
    let mut names: Vec<_> = calls
        .map(|(_, call)| call["operationId"].as_str())
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all, "operation ids are not unique: {names:?}");
    assert_eq!(described["openapi"], "3.1.0");
}

/// Consumes messages of a queue.
async fn consume(connection: &Connection, queue: String) -> Consumer {
    let channel = connection.create_channel().await.expect("a channel");
    let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(queue.into(), "".into(), options, none);
    consumer.await.expect("a consumer")
}

/// Consumes messages of an exchange from a temporary queue.
async fn listen(connection: &Connection, exchange: &str, key: &str) -> Consumer {
    let channel = connection.create_channel().await.expect("a channel");
    let options = QueueDeclareOptions {
        exclusive: true,
        ..QueueDeclareOptions::default()
    };
    let queue = channel
        .queue_declare("".into(), options, FieldTable::default())
        .await;
    let queue = queue.expect("a queue").name().clone();
    let (bind, none) = (QueueBindOptions::default(), FieldTable::default());
    let bound = channel.queue_bind(queue.clone(), exchange.into(), key.into(), bind, none);
    bound.await.expect("bound");
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default());
    consumer.await.expect("a consumer")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_between_services_are_as_described() {
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    let client = world.client();
    let document = client
        .get("/asyncapi.json")
        .await
        .expect("an answer")
        .json();
    let connection = Connection::connect(&amqp_uri(), ConnectionProperties::default()).await;
    let connection = connection.expect("the broker answers");
    let mut listeners = Vec::new();
    for (channel, message) in [
        ("stored", "stored"),
        ("executed", "executed"),
        ("baked", "baked"),
    ] {
        let described = &document["channels"][channel];
        let exchange = &described["bindings"]["amqp"]["exchange"]["name"];
        let exchange = format!("{}{}", world.prefix(), exchange.as_str().expect("a name"));
        let key = described["address"].as_str().expect("a key");
        listeners.push((channel, message, listen(&connection, &exchange, key).await));
    }
    // Operations are published to the queue directly, without the exchange. The test consumes one
    // in place of events-writer, which gets it again after this connection is closed.
    world.process("events-writer").kill();
    let described = &document["channels"]["schedule"]["bindings"]["amqp"];
    assert_eq!(described["is"], "queue");
    let queue = described["queue"]["name"].as_str().expect("a name");
    let queue = format!("{}{queue}", world.prefix());
    let writer = Connection::connect(&amqp_uri(), ConnectionProperties::default()).await;
    let writer = writer.expect("the broker answers");
    let mut taken = consume(&writer, queue).await;
    client.post(ledger::order("one")).await.expect("an answer");
    let delivery = taken.next().await.expect("a message").expect("delivered");
    let value: Value = serde_json::from_slice(&delivery.data).expect("JSON");
    check(&document, "schedule", "operation", &value);
    let closed = writer.close(200, "".into()).await;
    closed.expect("it closes");
    world.start_all().expect("it starts");
    for (channel, message, listener) in &mut listeners {
        let delivery = listener
            .next()
            .await
            .expect("a message")
            .expect("delivered");
        let value: Value = serde_json::from_slice(&delivery.data).expect("JSON");
        check(&document, channel, message, &value);
    }
}
