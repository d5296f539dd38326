//! Policies by which accepted operations can be lost are found through the management API of a real
//! broker.

mod support;

use std::time::Duration;

use bakehouse_dev_servers::Rabbit;
use bakehouse_engine::ports::Probe;
use bakehouse_rabbitmq::{Settings, queue_inspector};
use serde_json::{Value, json};
use support::{SCHEDULE, connected_broker, settings};

/// Timeout for the broker to report a changed policy, and for the probe to notice.
const CHECK_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until the result of the probe satisfies the condition.
async fn until(probe: &dyn Probe, what: &str, condition: impl Fn(&Result<(), String>) -> bool) {
    let mut last = Ok(());
    let waiting = async {
        loop {
            last = probe.check().await;
            if condition(&last) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let waited = tokio::time::timeout(CHECK_TIMEOUT, waiting).await;
    assert!(waited.is_ok(), "{what}: {:?}", probe.note());
}

/// Waits until the policies have been checked without risks.
async fn until_safe(probe: &dyn Probe) {
    let is_safe = |ready: &Result<(), String>| ready.is_ok() && probe.note().is_none();
    until(probe, "safe", is_safe).await;
}

fn started() -> (Rabbit, String) {
    let mut server = Rabbit::bare("rabbit-management").expect("a broker");
    let uri = server.enable_management().expect("a management API");
    server.start_again().expect("it starts");
    (server, uri)
}

/// One broker for all policies, since starting it takes longer than the checks.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_policy_that_can_lose_operations_is_found() {
    let (server, management) = started();
    let settings = Settings {
        management_uri: Some(management.clone()),
        ..settings(server.uri())
    };
    let broker = connected_broker(&settings).await;
    let probe = broker.policy_probe();
    let inspector = queue_inspector(&settings).expect("a URI");
    let inspector = inspector.expect("an API");
    until_safe(probe.as_ref()).await;
    let schedule = format!("{}{SCHEDULE}", settings.prefix);

    for (policy, words) in [
        (
            r#"{"max-length":5,"overflow":"drop-head"}"#,
            "policy \"lossy\" sets overflow=\"drop-head\"",
        ),
        (
            r#"{"message-ttl":500}"#,
            "policy \"lossy\" sets message-ttl=500",
        ),
        (
            r#"{"expires":600000}"#,
            "policy \"lossy\" sets expires=600000",
        ),
    ] {
        server.set_policy("lossy", ".*", policy).expect("a policy");
        let named = format!("queue {schedule}: {words}");
        let fix = "rabbitmqctl clear_policy -p / lossy";
        let is_named = |ready: &Result<(), String>| {
            let reason = ready.as_ref().err();
            reason.is_some_and(|reason| reason.contains(&named) && reason.contains(fix))
        };
        until(probe.as_ref(), &named, is_named).await;
        let risks = inspector.risks().await.expect("an answer");
        let risk = risks.iter().find(|risk| risk.what.contains(words));
        let risk = risk.expect("the same risk");
        assert_eq!(risk.queue, schedule);
        assert!(risk.fix.starts_with(fix), "{risk:?}");
        server.clear_policy("lossy");
        until_safe(probe.as_ref()).await;
        assert_eq!(inspector.risks().await.expect("an answer"), []);
    }
    harmless_policies(&server, &settings, &management, probe.as_ref()).await;
    no_copy_is_kept(&server, &settings, probe.as_ref()).await;
    permissions_of_the_user(&settings, &management).await;

    drop(server);
    let is_noted = |ready: &Result<(), String>| {
        let note = probe.note().unwrap_or_default();
        ready.is_ok() && note.starts_with("not checked: management API: no answer")
    };
    until(probe.as_ref(), "noted", is_noted).await;
    let error = inspector.risks().await.expect_err("no answer");
    assert!(!error.to_string().contains("guest"), "{error}");
}

/// Calls the management API with a body. Returns the answer's JSON.
async fn call(method: reqwest::Method, url: &str, body: Value) -> Value {
    let request = reqwest::Client::new().request(method, url).json(&body);
    let answer = request.send().await.expect("an answer");
    let answer = answer.error_for_status().expect("success");
    answer.json().await.unwrap_or_default()
}

/// Policies without loss are no risk, once they are in force.
async fn harmless_policies(
    server: &Rabbit,
    settings: &Settings,
    management: &str,
    probe: &dyn Probe,
) {
    let inspector = queue_inspector(settings).expect("a URI").expect("an API");
    let url = format!(
        "{management}/api/queues/%2f/{}{SCHEDULE}?columns=policy",
        settings.prefix
    );
    for (name, policy) in [
        ("limit", r#"{"delivery-limit":50}"#),
        ("length", r#"{"max-length":100000}"#),
        (
            "target",
            r#"{"dead-letter-exchange":"foreign","queue-leader-locator":"balanced"}"#,
        ),
    ] {
        server.set_policy(name, ".*", policy).expect("a policy");
        let in_force = async {
            while call(reqwest::Method::GET, &url, json!({})).await["policy"] != name {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        let in_force = tokio::time::timeout(CHECK_TIMEOUT, in_force).await;
        in_force.expect("the policy is in force");
        assert_eq!(inspector.risks().await.expect("an answer"), [], "{policy}");
        assert_eq!(probe.check().await, Ok(()), "{policy}");
        server.clear_policy(name);
    }
}

/// Unreadable messages are kept in a queue and a stream: a policy on one is harmless, policies on
/// both are a risk.
async fn no_copy_is_kept(server: &Rabbit, settings: &Settings, probe: &dyn Probe) {
    let prefix = &settings.prefix;
    let parked = format!("^{prefix}platform-event.parked$");
    let stream = format!("^{prefix}platform-event.dead-letters.stream$");
    let on_parked = server.set_policy("parked", &parked, r#"{"message-ttl":60000}"#);
    on_parked.expect("a policy");
    let on_stream = server.set_policy("stream", &stream, r#"{"max-age":"1h"}"#);
    on_stream.expect("a policy");
    let is_named = |ready: &Result<(), String>| {
        ready.as_ref().is_err_and(|reason| {
            reason.contains("parked: policy \"parked\" sets message-ttl=60000")
                && reason.contains("stream: policy \"stream\" sets max-age")
        })
    };
    until(probe, "both are named", is_named).await;
    server.clear_policy("stream");
    until_safe(probe).await;
    server.clear_policy("parked");
}

/// The user needs the tag `management` and permissions on the virtual host, which may allow
/// nothing.
async fn permissions_of_the_user(settings: &Settings, management: &str) {
    let put = async |path: &str, body: Value| {
        call(
            reqwest::Method::PUT,
            &format!("{management}/api/{path}"),
            body,
        )
        .await
    };
    let login = "http://watcher:secret@";
    let watched = Settings {
        management_uri: Some(management.replace("http://guest:guest@", login)),
        ..settings.clone()
    };
    let inspector = queue_inspector(&watched).expect("a URI").expect("an API");
    let refused = async || {
        let error = inspector.risks().await.expect_err("refused").to_string();
        assert!(error.contains("user refused"), "{error}");
        assert!(!error.contains("secret"), "{error}");
    };
    refused().await;
    let permissions = json!({"configure": "^$", "write": "^$", "read": "^$"});
    for tags in ["", "management"] {
        let user = json!({"password": "secret", "tags": tags});
        put("users/watcher", user).await;
        refused().await;
    }
    put("permissions/%2f/watcher", permissions).await;
    assert_eq!(inspector.risks().await.expect("an answer"), []);
}
