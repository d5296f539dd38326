//! Bearer tokens, valid and forged: dates, headers, key sets, and the reasons of refusals.

use std::collections::BTreeSet;
use std::time::Duration;

use bakehouse_e2e::issuer::{bearer, claims};
use bakehouse_e2e::{Answer, Client, Feed, Issuer, Kind, World, in_both_worlds, ledger, world};
use hyper::Method;
use serde_json::{Value, json};

in_both_worlds!(a_separator_does_not_make_two_principals_one);

const READ_WRITE: &str = "orders:read orders:write";
/// Usual header of a token.
const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT","kid":"{kid}"}"#;

/// Starts a system that trusts the keys at `keys`, a path or URL.
async fn start(issuer: &Issuer, keys: &str, more: &[(&'static str, &str)]) -> World {
    let mut settings = issuer.settings(keys);
    settings.extend(
        more.iter()
            .map(|(name, value)| (*name, (*value).to_owned())),
    );
    let world = World::start_with(Kind::Embedded, &settings).await;
    world.expect("it starts")
}

async fn start_with_file(issuer: &Issuer) -> World {
    start(issuer, &issuer.file().display().to_string(), &[]).await
}

async fn list(client: &Client, token: &str) -> Answer {
    let authorization = bearer(token);
    let headers = [("Authorization", authorization.as_str())];
    let answer = client.get_with("/order", &headers).await;
    answer.expect("an answer")
}

/// Returns the claims of a valid token, with claim `name` set to the JSON text `value`.
fn with(name: &str, value: &str) -> String {
    let mut good = claims("ada", READ_WRITE);
    good.as_object_mut().expect("an object").remove(name);
    let good = good.to_string();
    format!("{{{name:?}:{value},{}", &good[1..])
}

/// Returns the number of refusals for this reason.
async fn refusals(client: &Client, reason: &str) -> u64 {
    let metrics = client.get("/metrics").await.expect("an answer");
    let text = String::from_utf8_lossy(&metrics.body).into_owned();
    let name = format!("bakehouse_token_refusals_total{{reason=\"{reason}\"}} ");
    let count = text.lines().find_map(|line| line.strip_prefix(&name));
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dates_may_be_any_json_numbers() {
    let issuer = Issuer::new().expect("an issuer");
    let world = start_with_file(&issuer).await;
    let client = world.client();
    let status = async |name: &str, value: &str| {
        let token = issuer.sign_text(HEADER, &with(name, value));
        let answer = list(&client, &token.expect("a token")).await;
        (answer.status.as_u16(), answer.json()["reason"].clone())
    };
    for (name, value) in [
        ("exp", "4000000000.75"),
        ("exp", "4e9"),
        ("exp", "1e400"),
        ("exp", "99999999999999999999999"),
        ("nbf", "1700000000.123456"),
        ("nbf", "-1"),
        ("iat", "1700000000.5"),
        ("iat", "1.7E+9"),
    ] {
        assert_eq!(status(name, value).await.0, 200, "{name} {value}");
    }
    for (name, value, reason) in [
        ("exp", "1700000000.75", "expired"),
        ("exp", "-1e400", "expired"),
        ("nbf", "1e400", "not-yet-valid"),
        ("nbf", "4000000000.5", "not-yet-valid"),
        ("exp", "\"4000000000\"", "malformed"),
        ("iat", "null", "malformed"),
    ] {
        let refused = status(name, value).await;
        assert_eq!(refused, (401, json!(reason)), "{name} {value}");
    }
    // A feed ends when its token expires, also if `exp` is a fraction.
    let mut good = claims("ada", READ_WRITE);
    let exp = good["iat"].as_u64().expect("a time") + 3;
    good["exp"] = json!(f64::from(u32::try_from(exp).expect("a time")) + 0.5);
    let token = issuer.sign(&good).expect("a token");
    let feed = Feed::open_with(&world.base, "", Some(&token)).await;
    assert_eq!(feed.expect("a subscription").end().await.0, 4005);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_says_which_check_failed() {
    let issuer = Issuer::new().expect("an issuer");
    let mut world = start_with_file(&issuer).await;
    let client = world.client();
    let text = |header: &str, claims: &str| issuer.sign_text(header, claims).expect("a token");
    let good = claims("ada", READ_WRITE).to_string();
    let header = |more: &str| HEADER.replace("\"typ\":\"JWT\"", more);
    let stranger = Issuer::new().expect("another issuer");
    let theirs = stranger.token("ada", READ_WRITE).expect("a token");
    let ours = issuer.token("ada", READ_WRITE).expect("a token");
    let mixed = {
        let (signed, _) = ours.rsplit_once('.').expect("three parts");
        let (_, signature) = theirs.rsplit_once('.').expect("three parts");
        format!("{signed}.{signature}")
    };
    let cases = [
        ("expired", text(HEADER, &with("exp", "1"))),
        ("not-yet-valid", text(HEADER, &with("nbf", "4e9"))),
        ("audience", text(HEADER, &with("aud", "[\"a\",\"b\"]"))),
        ("issuer", text(HEADER, &with("iss", "\"https://other\""))),
        ("signature", mixed),
        ("unknown-key", theirs),
        ("algorithm", text(r#"{"alg":"none"}"#, &good)),
        ("algorithm", text(r#"{"alg":"HS256","kid":"{kid}"}"#, &good)),
        ("algorithm", text(r#"{"alg":"RS256","kid":"{kid}"}"#, &good)),
        ("type", text(&header(r#""typ":"dpop+jwt""#), &good)),
        ("type", text(&header(r#""typ":"logout+jwt""#), &good)),
        ("malformed", text(&header(r#""crit":["x"],"x":1"#), &good)),
        ("malformed", text(&header(r#""crit":[]"#), &good)),
        ("malformed", text(&header(r#""b64":true"#), &good)),
        ("malformed", text(&header(r#""cty":"JWT""#), &good)),
        ("malformed", text(&header(r#""alg":"EdDSA""#), &good)),
        ("malformed", text(HEADER, &with("sub", "\"\""))),
        ("malformed", text(HEADER, "{\"sub\":\"a\",\"sub\":\"a\"}")),
        (
            "malformed",
            text(HEADER, &with("x", &format!("{:?}", "x".repeat(9_000)))),
        ),
        ("malformed", format!("{ours}.a.b")),
        ("malformed", "opaque".to_owned()),
    ];
    for (reason, token) in &cases {
        let before = refusals(&client, reason).await;
        let answer = list(&client, token).await;
        assert_eq!(answer.status, 401, "{reason}: {token}");
        let problem = answer.json();
        assert_eq!(problem["type"], "urn:bakehouse:problem:invalid-token");
        assert_eq!(problem["reason"], *reason, "{problem}");
        let detail = problem["detail"].as_str().expect("a text");
        let challenge = answer.header("www-authenticate");
        let expected = format!("Bearer error=\"invalid_token\", error_description=\"{detail}\"");
        assert_eq!(challenge, expected);
        assert_eq!(refusals(&client, reason).await, before + 1, "{reason}");
    }
    let reader = issuer.token("ada", "orders:read").expect("a token");
    let authorization = bearer(&reader);
    let headers = [("Authorization", authorization.as_str())];
    let answer = client
        .post_with("/order", &headers, ledger::order("one"))
        .await;
    let answer = answer.expect("an answer");
    let challenge = answer.header("www-authenticate");
    let expected = "Bearer error=\"insufficient_scope\", error_description=\"the token lacks the \
                    scope orders:write\", scope=\"orders:write\"";
    assert_eq!((answer.status.as_u16(), challenge), (403, expected));
    assert_eq!(refusals(&client, "scope").await, 1);
    // Refusals are logged once per reason and interval, and never contain parts of a token.
    for _ in 0..20 {
        list(&client, "opaque").await;
    }
    let logs = world.final_logs().expect("they end");
    let lines = logs.lines().filter(|line| line.contains("request refused"));
    let reasons = ["expired", "audience", "signature", "malformed", "scope"];
    let lines: Vec<&str> = lines.collect();
    assert!(
        lines.len() <= 11 && lines.len() >= reasons.len(),
        "{lines:?}"
    );
    for (_, token) in &cases {
        assert!(!logs.contains(token.as_str()), "{token}");
        let parts = token.split('.').filter(|part| part.len() > 20);
        for part in parts {
            assert!(!logs.contains(part), "{part}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tokens_that_the_rules_allow_are_accepted() {
    let issuer = Issuer::new().expect("an issuer");
    let world = start_with_file(&issuer).await;
    let client = world.client();
    let good = claims("ada", READ_WRITE).to_string();
    for header in [
        HEADER,
        r#"{"alg":"EdDSA","kid":"{kid}"}"#,
        r#"{"alg":"EdDSA"}"#,
        r#"{"alg":"EdDSA","kid":"{kid}","typ":"at+jwt"}"#,
        r#"{"alg":"EdDSA","kid":"{kid}","typ":"application/AT+JWT"}"#,
        // Keys named by the header are ignored; the issuer's key is used.
        r#"{"alg":"EdDSA","jku":"http://127.0.0.1:1/","jwk":{"kty":"oct","k":"AA"},"x5u":"x"}"#,
    ] {
        let token = issuer.sign_text(header, &good).expect("a token");
        assert_eq!(list(&client, &token).await.status, 200, "{header}");
    }
    let audiences = with("aud", "[\"others\",\"orders-api\"]");
    let token = issuer.sign_text(HEADER, &audiences).expect("a token");
    assert_eq!(list(&client, &token).await.status, 200);
    // A token signed with the key in its own header is refused.
    let stranger = Issuer::new().expect("another issuer");
    let keys: Value = serde_json::from_str(&stranger.published()).expect("keys");
    let header = json!({ "alg": "EdDSA", "jwk": keys["keys"][0] }).to_string();
    let token = stranger.sign_text(&header, &good).expect("a token");
    assert_eq!(list(&client, &token).await.status, 401);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unusable_keys_of_a_key_set_are_ignored() {
    let issuer = Issuer::new().expect("an issuer");
    let url = issuer.serve().await.expect("it listens");
    let good = issuer.published();
    let mut keys: Value = serde_json::from_str(&good).expect("keys");
    let own = keys["keys"][0].clone();
    let id = own["kid"].as_str().expect("an id").to_owned();
    // Unusable keys next to the good one: unknown types and curves, malformed, for other purposes,
    // and some with the id of the good key.
    let odd = json!([
        null, 7, {}, { "kty": "PQC" }, { "kty": "EC", "crv": "P-521", "x": "AA", "y": "AA" },
        { "kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": id },
        { "kty": "EC", "crv": "P-256", "x": "AA", "y": "AA", "kid": id },
        { "kty": "OKP", "crv": "Ed25519", "x": own["x"], "use": "enc", "kid": id },
        { "kty": "oct", "k": "AA", "kid": id }, { "kty": "RSA", "n": "!", "e": "AQAB" },
    ]);
    let mut all = odd.as_array().expect("an array").clone();
    all.push(own);
    keys["keys"] = json!(all);
    issuer.publish(&keys.to_string()).expect("published");
    let more = [("BAKEHOUSE_AUTH__JWKS_CACHE_TTL", "1s")];
    let mut world = start(&issuer, &url, &more).await;
    let client = world.client();
    let token = issuer.token("ada", READ_WRITE).expect("a token");
    assert_eq!(list(&client, &token).await.status, 200);
    let failed = async || {
        let metrics = client.get("/metrics").await.expect("an answer");
        let text = String::from_utf8_lossy(&metrics.body).into_owned();
        let name = "bakehouse_token_key_loads_total{outcome=\"failed\"} ";
        let count = text.lines().find_map(|line| line.strip_prefix(name));
        count.and_then(|count| count.parse().ok()).unwrap_or(0_u64)
    };
    // Empty, malformed or without usable keys: the previous keys stay in use.
    for (count, bad) in (1..).zip([
        "{\"keys\":[]}",
        "<html>",
        &json!({ "keys": odd }).to_string(),
    ]) {
        issuer.publish(bad).expect("published");
        let is_seen = async || {
            let answer = list(&client, &token).await;
            assert_eq!(answer.status, 200, "{bad}");
            failed().await >= count
        };
        world::wait(Duration::from_secs(40), "a failed load", is_seen)
            .await
            .expect("seen");
    }
    let logs = world.final_logs().expect("they end");
    assert!(logs.contains("the previous keys stay in use"), "{logs}");
}

async fn a_separator_does_not_make_two_principals_one(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let mut settings = issuer.settings(&issuer.file().display().to_string());
    settings.push(("BAKEHOUSE_AUTH__OWNER_CLAIM", "tenant".into()));
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let mut operations: Vec<String> = Vec::new();
    for (subject, tenant) in [("a\nb", "c"), ("a", "b\nc"), ("a\nb\nc", "a\nb\nc")] {
        let mut claims = claims(subject, READ_WRITE);
        claims["tenant"] = json!(tenant);
        let authorization = bearer(&issuer.sign(&claims).expect("a token"));
        let headers = [
            ("Authorization", authorization.as_str()),
            ("Idempotency-Key", "k"),
            ("Content-Type", "application/json"),
        ];
        let body = ledger::order(&tenant.replace('\n', "-"));
        let answer = client.send(Method::POST, "/order", &headers, body).await;
        let answer = answer.expect("an answer");
        assert_eq!(answer.status, 202, "{answer:?}");
        let operation = answer.header("operation-location").to_owned();
        // Neither can read the other's receipt.
        for other in &operations {
            let read = client.get_with(other, &headers[..1]).await;
            assert_eq!(read.expect("an answer").status, 404);
        }
        operations.push(operation);
    }
    let different: BTreeSet<&String> = operations.iter().collect();
    assert_eq!(different.len(), 3, "{operations:?}");
}

/// Checks that commands that call a running server send the token of `--token-file`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commands_present_the_token_of_a_file() {
    let issuer = Issuer::new().expect("an issuer");
    let world = start_with_file(&issuer).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("token");
    let path = file.display().to_string();
    let run = |arguments: &[&str]| {
        let output = world.operate(arguments).expect("it runs");
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text).into_owned();
        (output.status.code(), text)
    };
    let id = uuid::Uuid::new_v4().to_string();
    let commands: [&[&str]; 6] = [
        &["parked"],
        &["parked", "list"],
        &["parked", "retry", &id],
        &["parked", "discard", &id, "--reason", "a test"],
        &["rebuild"],
        &["rebuild", "presentation"],
    ];
    let token = |scope: &str| issuer.token("root", scope).expect("a token");
    let (member, operator) = (token(READ_WRITE), token("orders:admin"));
    for command in commands {
        let with_token = [command, &["--token-file", &path]].concat();
        let _ = std::fs::remove_file(&file);
        let (code, text) = run(command);
        assert_eq!(code, Some(1), "{command:?}: {text}");
        assert!(
            text.contains("401") && text.contains("--token-file"),
            "{text}"
        );
        let (code, text) = run(&with_token);
        assert_eq!(code, Some(1), "{command:?}: {text}");
        assert!(text.contains(&path), "{text}");
        std::fs::write(&file, &member).expect("written");
        let (code, text) = run(&with_token);
        assert_eq!(code, Some(1), "{command:?}: {text}");
        assert!(
            text.contains("403") && text.contains("--token-file"),
            "{text}"
        );
        // A trailing newline in the file is ignored.
        std::fs::write(&file, format!("{operator}\n")).expect("written");
        let (code, text) = run(&with_token);
        // Retry and discard fail with 404, since no operation is parked.
        let is_not_found = command.contains(&id.as_str());
        let expected = if is_not_found { 1 } else { 0 };
        assert_eq!(code, Some(expected), "{command:?}: {text}");
        assert_eq!(text.contains("404"), is_not_found, "{text}");
        for token in [&member, &operator] {
            assert!(!text.contains(token.as_str()), "{text}");
        }
    }
}
