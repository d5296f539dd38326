//! Mails, text messages and webhooks: delivery, retries and final failures, without delaying orders
//! and without repeating notifications after a rebuild.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bakehouse_dev_servers::mail::MailServer;
use bakehouse_e2e::ledger::Load;
use bakehouse_e2e::rebuilds::{PARTS, ask, ended};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Client, Kind, Receiver, World, in_both_worlds, ledger, stores};
use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

in_both_worlds!(
    events_are_sent_by_mail_sms_and_webhook,
    failing_deliveries_are_retried_or_end_as_failed,
    an_unreachable_mail_server_delays_no_webhook,
    international_addresses_are_delivered_or_fail_at_once,
    one_slow_delivery_does_not_delay_the_others,
    a_killed_notifier_loses_no_notification,
    a_rebuild_sends_no_notification_again,
);

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const TIMEOUT: Duration = Duration::from_secs(30);

type Settings = Vec<(&'static str, String)>;

fn by_mail(server: &MailServer) -> Settings {
    let uri = format!("smtp://127.0.0.1:{}", server.port);
    let from = "Bakery <orders@bakery.example>".to_owned();
    vec![
        ("BAKEHOUSE_EMAIL__URI", uri),
        ("BAKEHOUSE_EMAIL__FROM", from),
    ]
}

fn by_webhook(urls: &str) -> Settings {
    vec![
        ("BAKEHOUSE_WEBHOOK__URLS", urls.to_owned()),
        ("BAKEHOUSE_WEBHOOK__SECRET", SECRET.to_owned()),
        ("BAKEHOUSE_WEBHOOK__ALLOW_PRIVATE", "true".to_owned()),
    ]
}

/// Returns settings with short intervals between attempts.
fn short_intervals() -> Settings {
    vec![
        ("BAKEHOUSE_NOTIFY__POLL_INTERVAL", "100ms".to_owned()),
        ("BAKEHOUSE_NOTIFY__INITIAL_BACKOFF", "200ms".to_owned()),
        ("BAKEHOUSE_NOTIFY__MAX_BACKOFF", "500ms".to_owned()),
        ("BAKEHOUSE_NOTIFY__TIMEOUT", "3s".to_owned()),
    ]
}

fn order_of(email: &str) -> String {
    json!({
        "products": [{ "name": "Brötchen", "price": "0.45", "quantity": 4 }],
        "customer": { "id": "c-1", "name": "Ada", "email": email, "phone": "+4930123456" },
    })
    .to_string()
}

async fn place(client: &Client, body: String) -> String {
    let accepted = client.post(body).await.expect("an answer");
    let receipt = client.settled(&accepted).await.expect("a receipt");
    assert_eq!(receipt["status"], "baked", "{receipt}");
    accepted.header("location").to_owned()
}

async fn set_status(client: &Client, order: &str, status: &str) -> Value {
    let body = json!({ "status": status }).to_string();
    let accepted = client.put(&format!("{order}/status"), &[], body).await;
    let accepted = accepted.expect("an answer");
    client.settled(&accepted).await.expect("a receipt")
}

async fn notifications(client: &Client, order: &str) -> Vec<Value> {
    let answer = client.get(&format!("{order}/notifications")).await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json().as_array().cloned().expect("a list")
}

/// Waits until an order has `count` notifications, all with this status; returns them.
async fn wait_for_status(world: &World, order: &str, count: usize, status: &str) -> Vec<Value> {
    let client = world.client();
    let are_so = async || {
        let found = notifications(&client, order).await;
        found.len() == count && found.iter().all(|one| one["status"] == status)
    };
    let outcome = wait(TIMEOUT, &format!("{count} that are {status}"), are_so).await;
    let found = notifications(&client, order).await;
    assert!(outcome.is_ok(), "{outcome:?} {found:#?}\n{}", world.logs());
    found
}

async fn events_are_sent_by_mail_sms_and_webhook(kind: Kind) {
    let mut mail = MailServer::prepare().expect("a port");
    mail.start().expect("a mail server");
    let gateway = Receiver::start().await.expect("it listens");
    let hook = Receiver::start().await.expect("it listens");
    let sms = vec![
        ("BAKEHOUSE_SMS__URL", gateway.url.clone()),
        ("BAKEHOUSE_SMS__TOKEN", "t0ken".to_owned()),
        ("BAKEHOUSE_SMS__EVENTS", "order.status".to_owned()),
    ];
    let settings = [by_mail(&mail), sms, by_webhook(&hook.url)].concat();
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let order = place(&client, order_of("ada@example.org")).await;
    set_status(&client, &order, "paid").await;
    let refused = set_status(&client, &order, "delivered").await;
    assert_eq!(refused["status"], "rejected");
    // Creation and payment by mail, payment by text message, and all three events by webhook.
    let found = wait_for_status(&world, &order, 6, "sent").await;
    let summaries: Vec<String> = found.iter().map(summary).collect();
    assert_eq!(
        summaries
            .iter()
            .filter(|text| text.contains("email"))
            .count(),
        2
    );
    assert!(
        summaries.contains(&"2 order.status sms +4930123456".to_owned()),
        "{summaries:?}"
    );
    assert!(
        summaries.contains(&"3 order.rejected webhook 127.0.0.1".to_owned()),
        "{summaries:?}"
    );
    assert!(
        found
            .iter()
            .all(|one| one["attempts"] == 1 && one["sent_at"].is_string())
    );
    check_mails(&mail, &found);
    let texts = gateway.received();
    assert_eq!(texts.len(), 1);
    assert_eq!(texts[0].header("authorization"), "Bearer t0ken");
    let text = "Your order 1 has been paid. Total: 1.80 EUR";
    assert_eq!(
        texts[0].json(),
        json!({ "to": "+4930123456", "text": text })
    );
    check_signatures(&hook);
    check_webhooks_match_openapi(&client, &hook).await;
}

fn summary(one: &Value) -> String {
    let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
    let (kind, channel, to) = (text("type"), text("channel"), text("to"));
    format!("{} {kind} {channel} {to}", one["position"])
}

fn check_mails(server: &MailServer, found: &[Value]) {
    let mails = server.mails();
    assert_eq!(mails.len(), 2, "{mails:#?}");
    let received = mails.iter().find(|mail| mail.contains("has been received"));
    let received = received.expect("the first mail");
    for line in [
        "From: Bakery <orders@bakery.example>",
        "To: ada@example.org",
        "Subject: Your order 1 has been received",
        "Auto-Submitted: auto-generated",
    ] {
        assert!(received.contains(line), "{line}: {received}");
    }
    let is_it = |one: &&Value| one["channel"] == "email" && one["type"] == "order.created";
    let id = found.iter().find(is_it).expect("on record")["id"].as_str();
    let id = format!("Message-ID: <{}@bakery.example>", id.expect("an id"));
    assert!(received.contains(&id), "{id}: {received}");
}

/// Verifies the signatures with the library of the Standard Webhooks specification.
fn check_signatures(hook: &Receiver) {
    let requests = hook.received();
    assert_eq!(requests.len(), 3);
    let verifier = Webhook::new(SECRET).expect("a secret");
    let mut kinds: Vec<String> = Vec::new();
    for request in &requests {
        let mut headers = request.headers.clone();
        verifier.verify(&request.body, &headers).expect("signed");
        headers.remove("webhook-signature");
        assert!(verifier.verify(&request.body, &headers).is_err());
        let body = request.json();
        assert_eq!(body["type"], body["data"]["type"]);
        assert_eq!(body["timestamp"], body["data"]["at"]);
        kinds.push(body["type"].as_str().unwrap_or_default().to_owned());
    }
    kinds.sort();
    assert_eq!(kinds, ["order.created", "order.rejected", "order.status"]);
}

async fn check_webhooks_match_openapi(client: &Client, hook: &Receiver) {
    let api = client.get("/openapi.json").await.expect("an answer").json();
    let body = &api["webhooks"]["order"]["post"]["requestBody"];
    let mut schema = body["content"]["application/json"]["schema"].clone();
    assert!(schema.is_object(), "{api}");
    schema["components"] = api["components"].clone();
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for request in hook.received() {
        let body = request.json();
        assert!(validator.is_valid(&body), "{body}");
    }
}

async fn failing_deliveries_are_retried_or_end_as_failed(kind: Kind) {
    let mut mail = MailServer::prepare().expect("a port");
    mail.start().expect("a mail server");
    let flaky = Receiver::start().await.expect("it listens");
    flaky.answer(&[500]);
    let elsewhere = Receiver::start().await.expect("it listens");
    flaky.redirect(&elsewhere.url).expect("a URL");
    let gone = Receiver::start().await.expect("it listens");
    gone.answer(&[410]);
    let unavailable = Receiver::start().await.expect("it listens");
    unavailable.answer(&[503; 1_000]);
    let urls = [&*flaky.url, &*gone.url, &*unavailable.url].join(",");
    let limit = vec![("BAKEHOUSE_NOTIFY__GIVE_UP_AFTER", "3s".to_owned())];
    let settings = [by_mail(&mail), by_webhook(&urls), short_intervals(), limit].concat();
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let order = place(&client, order_of("unknown@example.org")).await;
    let has_ended = async || {
        let found = notifications(&client, &order).await;
        found.len() == 4
            && found
                .iter()
                .all(|one| one["status"] == "sent" || one["status"] == "failed")
    };
    let outcome = wait(TIMEOUT, "end of all", has_ended).await;
    let found = notifications(&client, &order).await;
    assert!(outcome.is_ok(), "{found:#?}\n{}", world.logs());
    let find = |reason: &str| {
        let is_it = |one: &&Value| one["reason"].as_str().unwrap_or_default().contains(reason);
        found
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{reason}: {found:#?}"))
    };
    let refused = find("no such mailbox");
    assert_eq!(
        (&refused["status"], &refused["attempts"]),
        (&json!("failed"), &json!(1))
    );
    let gone = find("gone");
    assert_eq!(
        (&gone["status"], &gone["attempts"]),
        (&json!("failed"), &json!(1))
    );
    assert!(gone["failed_at"].is_string());
    let exhausted = find("503");
    assert_eq!(exhausted["status"], "failed");
    assert!(exhausted["attempts"].as_u64() > Some(2), "{exhausted}");
    let redirected = elsewhere.received();
    assert!(
        redirected.is_empty(),
        "a redirect was followed: {redirected:?}"
    );
    let sent = found
        .iter()
        .find(|one| one["status"] == "sent")
        .expect("one of them");
    assert_eq!(sent["attempts"], 3);
    assert_eq!(sent.get("reason"), None);
    let tries = flaky.received();
    let ids: Vec<&str> = tries.iter().map(|one| one.header("webhook-id")).collect();
    assert!(
        ids.len() == 3 && ids.iter().all(|id| *id == ids[0]),
        "{ids:?}"
    );
}

async fn an_unreachable_mail_server_delays_no_webhook(kind: Kind) {
    let mut mail = MailServer::prepare().expect("a port");
    let hook = Receiver::start().await.expect("it listens");
    let settings = [by_mail(&mail), by_webhook(&hook.url), short_intervals()].concat();
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let order = place(&client, order_of("ada@example.org")).await;
    let is_waiting = async || {
        let found = notifications(&client, &order).await;
        let by = |channel: &str| found.iter().find(|one| one["channel"] == channel).cloned();
        let (mail, hook) = (
            by("email").unwrap_or_default(),
            by("webhook").unwrap_or_default(),
        );
        mail["status"] == "accepted" && mail["reason"].is_string() && hook["status"] == "sent"
    };
    wait(TIMEOUT, "webhook without mail", is_waiting)
        .await
        .expect("a webhook that does not wait for mail");
    mail.start().expect("a mail server");
    let found = wait_for_status(&world, &order, 2, "sent").await;
    assert!(found.iter().any(|one| one["attempts"].as_u64() > Some(1)));
    assert_eq!(mail.mails().len(), 1);
}

/// Checks that an international domain is sent as A-labels, and that an address with an
/// international local part fails at once if the server does not support SMTPUTF8.
async fn international_addresses_are_delivered_or_fail_at_once(kind: Kind) {
    let mut mail = MailServer::prepare().expect("a port");
    mail.start().expect("a mail server");
    let settings = [by_mail(&mail), short_intervals()].concat();
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let order = place(&client, order_of("ada@b\u{fc}cher.example")).await;
    let found = wait_for_status(&world, &order, 1, "sent").await;
    assert_eq!(found[0]["attempts"], 1);
    let mails = mail.mails();
    assert_eq!(mails.len(), 1);
    assert!(
        mails[0].contains("To: ada@xn--bcher-kva.example"),
        "{mails:?}"
    );
    for (address, reason) in [
        ("d\u{f6}rte@example.org", "SMTPUTF8"),
        ("ada@-\u{fc}-.example", "address is invalid"),
        ("unknown@b\u{fc}cher.example", "no such mailbox"),
    ] {
        let order = place(&client, order_of(address)).await;
        let found = wait_for_status(&world, &order, 1, "failed").await;
        assert_eq!(found[0]["attempts"], 1, "{found:?}");
        let found_reason = found[0]["reason"].as_str().unwrap_or_default();
        assert!(found_reason.contains(reason), "{found:?}");
    }
}

async fn one_slow_delivery_does_not_delay_the_others(kind: Kind) {
    const ORDERS: usize = 60;
    let delivered = Arc::new(AtomicUsize::new(0));
    let count = delivered.clone();
    // The first request is never answered and runs into its timeout.
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/", silent.local_addr().expect("an address"));
    let listening = tokio::spawn(async move {
        let mut kept = Vec::new();
        while let Ok((mut socket, _)) = silent.accept().await {
            if kept.is_empty() {
                kept.push(socket);
                continue;
            }
            let count = count.clone();
            tokio::spawn(async move {
                let mut buffer = vec![0; 64 * 1024];
                while socket.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    if !buffer.starts_with(b"POST") {
                        continue;
                    }
                    count.fetch_add(1, Ordering::Relaxed);
                    let answer = b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n";
                    let _ = socket.write_all(answer).await;
                    let _ = socket.shutdown().await;
                }
            });
        }
    });
    let long_timeout = vec![("BAKEHOUSE_NOTIFY__TIMEOUT", "60s".to_owned())];
    let settings = [by_webhook(&url), long_timeout].concat();
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    for number in 0..ORDERS {
        let order = ledger::order(&number.to_string());
        client.post(order).await.expect("an answer");
    }
    let are_delivered = async || delivered.load(Ordering::Relaxed) >= ORDERS - 1;
    let outcome = wait(TIMEOUT, "deliveries of all but one", are_delivered).await;
    listening.abort();
    let delivered = delivered.load(Ordering::Relaxed);
    assert!(outcome.is_ok(), "{delivered} of {ORDERS}\n{}", world.logs());
}

/// Kills the notifier repeatedly under load: a notification that was sent but not recorded may be
/// sent twice, with the same id.
async fn a_killed_notifier_loses_no_notification(kind: Kind) {
    let hook = Receiver::start().await.expect("it listens");
    let settings = [by_webhook(&hook.url), short_intervals()].concat();
    let mut world = World::start_with(kind, &settings).await.expect("it starts");
    let load = Load::start(&world.base, 4, u64::MAX);
    for kill in 1..=4 {
        let is_there = async || load.accepted() >= kill * 200;
        wait(TIMEOUT, "more orders", is_there).await.expect("load");
        let notifier = world.notifier();
        world.process(notifier).kill();
        tokio::time::sleep(Duration::from_millis(200)).await;
        world.process(notifier).start().expect("it starts again");
    }
    let ledger = load.stop().await;
    world.ready(TIMEOUT).await.expect("ready again");
    ledger::audit(&world, &ledger, TIMEOUT)
        .await
        .expect("a clean audit");
    let delivered = async || {
        ids_by_reference(&hook)
            .keys()
            .filter(|r| ledger.accepted.contains(*r))
            .count()
    };
    let all = async || delivered().await == ledger.accepted.len();
    let outcome = wait(TIMEOUT, "webhooks of every order", all).await;
    assert!(
        outcome.is_ok(),
        "{} of {}\n{}",
        delivered().await,
        ledger.accepted.len(),
        world.logs()
    );
    for (reference, ids) in ids_by_reference(&hook) {
        assert!(
            ids.iter().all(|id| *id == ids[0]),
            "{reference} under two ids: {ids:?}"
        );
    }
}

/// Returns the webhook ids received for each order, by reference.
fn ids_by_reference(hook: &Receiver) -> BTreeMap<String, Vec<String>> {
    let mut ids: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for request in hook.received() {
        let body = request.json();
        let reference = body["data"]["order"]["reference"]
            .as_str()
            .unwrap_or_default();
        let id = request.header("webhook-id").to_owned();
        ids.entry(reference.to_owned()).or_default().push(id);
    }
    ids
}

/// Drops the source orders and the whole presentation, which are rebuilt from the log at the next
/// start, then rebuilds both online.
async fn a_rebuild_sends_no_notification_again(kind: Kind) {
    let hook = Receiver::start().await.expect("it listens");
    let settings = [by_webhook(&hook.url), short_intervals()].concat();
    let mut world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let first = place(&client, ledger::order("first")).await;
    set_status(&client, &first, "paid").await;
    wait_for_status(&world, &first, 2, "sent").await;
    let before = client.get(&first).await.expect("an answer").body;
    world.stop_all().expect("an orderly end");
    stores::forget(&world, kind).await;
    world.start_all().expect("it starts again");
    world.ready(TIMEOUT).await.expect("ready again");
    let is_back = async || {
        let answer = client.get(&first).await;
        answer.is_ok_and(|answer| answer.body == before)
    };
    wait(TIMEOUT, "the same document", is_back)
        .await
        .expect("byte for byte");
    // Rebuilds both parts online.
    for part in PARTS {
        ask(&client, part).await;
        assert_eq!(ended(&client, part).await["state"], "done");
    }
    // A new event is sent after all earlier ones.
    let second = place(&client, ledger::order("second")).await;
    wait_for_status(&world, &second, 1, "sent").await;
    let positions: Vec<Value> = hook
        .received()
        .iter()
        .map(|one| one.json()["data"]["position"].clone())
        .collect();
    assert_eq!(positions, [1, 2, 3]);
}
