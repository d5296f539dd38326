//! Servers with TLS and passwords: certificates of a private authority, which is trusted by
//! `SSL_CERT_FILE`, and for MongoDB by its URI.

use std::time::Duration;

use bakehouse_dev_servers::mail::MailServer;
use bakehouse_dev_servers::secured::{ENCODED_PASSWORD, SecuredMongo, SecuredRabbit, USER};
use bakehouse_dev_servers::skipped::skip;
use bakehouse_dev_servers::tls::Authority;
use bakehouse_e2e::issuer::bearer;
use bakehouse_e2e::world::{Servers, wait};
use bakehouse_e2e::{Issuer, Kind, Receiver, World, ledger};
use serde_json::json;

const TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the setting that trusts this authority only.
fn trust(authority: &Authority) -> (&'static str, String) {
    ("SSL_CERT_FILE", authority.ca.display().to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_and_broker_take_tls_and_passwords() {
    let authority = Authority::new().expect("an authority");
    let mongo = SecuredMongo::start("secured-mongodb", &authority).await;
    let rabbit = SecuredRabbit::start("secured-rabbitmq", &authority);
    let (Some(mongo), Some(rabbit)) = (mongo.expect("MongoDB"), rabbit.expect("RabbitMQ")) else {
        skip("MongoDB and RabbitMQ outside containers");
        return;
    };
    let servers = |mongodb: &str, amqp: &str| Servers {
        source: mongo.uri("source", mongodb),
        presentation: mongo.uri("presentation", mongodb),
        amqp: rabbit.uri(amqp),
    };
    let (name, ca) = trust(&authority);
    let trusted = [
        (name, ca.as_str()),
        ("BAKEHOUSE_AMQP__PREFETCH", "7"),
        ("BAKEHOUSE_AMQP__CONFIRM_TIMEOUT", "1250ms"),
    ];
    let good = servers(ENCODED_PASSWORD, ENCODED_PASSWORD);
    let mut world = World::prepare(Kind::Servers, Some(("s.", good)), &trusted).expect("a world");
    world.start_all().expect("it starts");
    world.ready(TIMEOUT).await.expect("ready");
    let client = world.client();
    let placed = client.post(ledger::order("one")).await.expect("an answer");
    let receipt = client.settled(&placed).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked");
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!(code, Some(0), "{found}");

    let consumers = rabbit
        .node
        .list(&["list_consumers", "queue_name", "prefetch_count"]);
    let consumers = consumers.expect("a list");
    let is_limited = |line: &String| line.contains("platform-event.schedule\t7");
    assert!(consumers.iter().any(is_limited), "{consumers:?}");
    rabbit.node.pause();
    let unconfirmed = client.post(ledger::order("two")).await;
    rabbit.node.resume();
    let unconfirmed = unconfirmed.expect("an answer");
    assert_eq!(unconfirmed.status, 503);
    let logs = world.final_logs().expect("they end");
    let messages = unconfirmed.json().to_string() + &logs;
    assert!(
        messages.contains("no confirmation within 1.25 s"),
        "{messages}"
    );
    assert!(!messages.contains("s3cret"), "{messages}");

    // Wrong passwords and untrusted authorities are refused.
    let other_authority = Authority::new().expect("another authority");
    let (_, other_ca) = trust(&other_authority);
    for (mongodb, amqp, ca, word) in [
        ("wrong", ENCODED_PASSWORD, &ca, "uthentication failed"),
        (ENCODED_PASSWORD, "wrong", &ca, "ACCESS_REFUSED"),
        (
            ENCODED_PASSWORD,
            ENCODED_PASSWORD,
            &other_ca,
            "invalid peer certificate",
        ),
    ] {
        let servers = servers(mongodb, amqp);
        let settings = [("SSL_CERT_FILE", ca.as_str())];
        let mut refused =
            World::prepare(Kind::Servers, Some(("s.", servers)), &settings).expect("a world");
        refused.process("api-server").start().expect("it starts");
        let is_logged = async || refused.logs_in_full().contains(word);
        let outcome = wait(TIMEOUT, word, is_logged).await;
        assert!(outcome.is_ok(), "{word}: {}", refused.logs());
        assert!(!refused.logs_in_full().contains("s3cret"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_sets_webhooks_and_sms_use_https() {
    let authority = Authority::new().expect("an authority");
    let issuer = Issuer::new().expect("an issuer");
    let keys = issuer.serve_tls(&authority).await.expect("it listens");
    let hook = Receiver::start_tls(&authority).await.expect("it listens");
    let gateway = Receiver::start_tls(&authority).await.expect("it listens");
    let mut settings = issuer.settings(&keys);
    settings.extend([
        trust(&authority),
        ("BAKEHOUSE_WEBHOOK__URLS", hook.url.clone()),
        (
            "BAKEHOUSE_WEBHOOK__SECRET",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".into(),
        ),
        ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true".into()),
        ("BAKEHOUSE_WEBHOOK__EVENTS", "order.status".into()),
        ("BAKEHOUSE_SMS__URL", gateway.url.clone()),
        ("BAKEHOUSE_SMS__TOKEN", "t0ken".into()),
        (
            "BAKEHOUSE_SMS__BODY",
            r#"{"recipient":"{to}","message":"{text}","reference":"{id}","kind":"order"}"#.into(),
        ),
    ]);
    assert!(keys.starts_with("https://") && hook.url.starts_with("https://"));
    let world = World::start_with(Kind::Embedded, &settings).await;
    let world = world.expect("it starts");
    let client = world.client();
    let token = issuer.token("ada", "orders:read orders:write");
    let authorization = bearer(&token.expect("a token"));
    let headers = [("Authorization", authorization.as_str())];
    let body = json!({
        "products": [{ "name": "Tea", "price": "1.00" }],
        "customer": { "id": "c-1", "phone": "+4930123456" },
    });
    let placed = client.post_with("/order", &headers, body.to_string()).await;
    let placed = placed.expect("an answer");
    assert_eq!(placed.status, 202, "{placed:?}");
    let status = format!("{}/status", placed.header("location"));
    let paid = client.put(&status, &headers, r#"{"status":"paid"}"#).await;
    assert_eq!(paid.expect("an answer").status, 202);
    let are_sent = async || !hook.received().is_empty() && gateway.received().len() == 2;
    let outcome = wait(TIMEOUT, "a webhook and two text messages", are_sent).await;
    assert!(outcome.is_ok(), "{}", world.logs());
    // The webhook is configured for one event type only.
    let kinds: Vec<_> = hook
        .received()
        .iter()
        .map(|one| one.json()["type"].clone())
        .collect();
    assert_eq!(kinds, ["order.status"]);
    let text = gateway.received()[0].json();
    assert_eq!(
        (&text["recipient"], &text["kind"]),
        (&json!("+4930123456"), &json!("order"))
    );
    assert!(
        text["reference"].is_string() && text["message"].is_string(),
        "{text}"
    );

    // If the authority is not trusted, no keys are loaded and requests are refused.
    let other = Authority::new().expect("another authority");
    let mut settings = issuer.settings(&keys);
    settings.push(trust(&other));
    let world = World::start_with(Kind::Embedded, &settings).await;
    let world = world.expect("it starts");
    let refused = world.client().get_with("/order", &headers).await;
    assert_eq!(refused.expect("an answer").status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mail_goes_over_tls_to_a_server_that_asks_for_a_password() {
    let authority = Authority::new().expect("an authority");
    for (scheme, is_implicit) in [("smtp", false), ("smtps", true)] {
        let mut mail = MailServer::prepare().expect("a port");
        mail.start_secured(&authority, is_implicit)
            .expect("a mail server");
        let uri = |password: &str| {
            let tls = if is_implicit { "" } else { "?tls=required" };
            format!("{scheme}://{USER}:{password}@localhost:{}{tls}", mail.port)
        };
        let settings = |password: &str| {
            vec![
                trust(&authority),
                ("BAKEHOUSE_EMAIL__URI", uri(password)),
                ("BAKEHOUSE_EMAIL__FROM", "orders@bakery.example".to_owned()),
                ("BAKEHOUSE_EMAIL__EVENTS", "order.deleted".to_owned()),
                ("BAKEHOUSE_NOTIFY__INITIAL_BACKOFF", "200ms".to_owned()),
            ]
        };
        let order = json!({
            "products": [{ "name": "Tea", "price": "1.00" }],
            "customer": { "id": "c-1", "email": "ada@example.org" },
        });
        let place_and_delete = async |world: &World| {
            let client = world.client();
            let placed = client.post(order.to_string()).await.expect("an answer");
            let path = placed.header("location").to_owned();
            let deleted = client.send(hyper::Method::DELETE, &path, &[], "").await;
            client
                .settled(&deleted.expect("an answer"))
                .await
                .expect("a receipt");
            format!("{path}/notifications")
        };
        let world = World::start_with(Kind::Embedded, &settings(ENCODED_PASSWORD)).await;
        let world = world.expect("it starts");
        place_and_delete(&world).await;
        let is_received = async || !mail.mails().is_empty();
        let outcome = wait(TIMEOUT, "a mail", is_received).await;
        assert!(outcome.is_ok(), "{scheme}: {}", world.logs());
        // Only one of the two events is configured.
        let mails = mail.mails();
        assert_eq!(mails.len(), 1, "{mails:?}");
        assert!(mails[0].contains("cancelled"), "{mails:?}");

        let world = World::start_with(Kind::Embedded, &settings("wrong")).await;
        let world = world.expect("it starts");
        let path = place_and_delete(&world).await;
        let client = world.client();
        let is_recorded = async || {
            let found = client.get(&path).await.expect("an answer").json();
            found.to_string().contains("535")
        };
        let outcome = wait(TIMEOUT, "the reason", is_recorded).await;
        let found = client.get(&path).await.expect("an answer").json();
        assert!(outcome.is_ok(), "{scheme}: {found}");
        assert_eq!(mail.mails().len(), 1);
    }
}
