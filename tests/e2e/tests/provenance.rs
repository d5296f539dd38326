//! Correlation ids and actors: operations of one request, and delegated tokens.

use bakehouse_e2e::issuer::{bearer, claims};
use bakehouse_e2e::{Issuer, Kind, World, in_both_worlds, ledger};
use hyper::Method;
use serde_json::{Value, json};

in_both_worlds!(
    operations_are_found_by_correlation_id,
    a_delegated_actor_is_recorded,
    a_correlation_shows_only_own_operations,
);

const CORRELATION_ID: &str = "0190f5fe-0000-7000-8000-00000000c0de";

async fn operations_are_found_by_correlation_id(kind: Kind) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let json = ("Content-Type", "application/json");
    let headers = [json, ("X-Correlation-ID", CORRELATION_ID)];
    let mut operations = Vec::new();
    for reference in ["first", "second", "third"] {
        let body = ledger::order(reference);
        let accepted = client.send(Method::POST, "/order", &headers, body).await;
        let receipt = client
            .settled(&accepted.expect("an answer"))
            .await
            .expect("an answer");
        operations.push(receipt["operation_id"].clone());
    }
    let other = client
        .post(ledger::order("another"))
        .await
        .expect("an answer");
    let other = client.settled(&other).await.expect("an answer");
    let at = format!("/correlation/{CORRELATION_ID}");
    let found = client.get(&at).await.expect("an answer").json();
    let ids: Vec<&Value> = found
        .as_array()
        .expect("a list")
        .iter()
        .map(|receipt| &receipt["operation_id"])
        .collect();
    assert_eq!(json!(ids), json!(operations));
    assert_eq!(found[2]["status"], "baked");
    let page = client
        .get(&format!("{at}?limit=2"))
        .await
        .expect("an answer");
    assert_eq!(page.json().as_array().map(Vec::len), Some(2));
    let next = format!("<{at}?limit=2&after=2>; rel=\"next\"");
    assert_eq!(page.header("link"), next);
    // Without `X-Correlation-ID` the correlation id is the operation's id.
    let id = other["operation_id"].as_str().expect("text");
    let alone = client
        .get(&format!("/correlation/{id}"))
        .await
        .expect("an answer");
    assert_eq!(alone.json(), json!([other]));
    // A correlation id need not be a UUID.
    let headers = [json, ("X-Correlation-ID", "gateway-7:abc")];
    let body = ledger::order("by a gateway");
    let accepted = client.send(Method::POST, "/order", &headers, body).await;
    let receipt = client.settled(&accepted.expect("an answer")).await;
    let found = client.get("/correlation/gateway-7:abc").await;
    let found = found.expect("an answer").json();
    assert_eq!(found, json!([receipt.expect("a receipt")]));
}

async fn a_delegated_actor_is_recorded(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let settings = issuer.settings(&issuer.file().display().to_string());
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let mut delegated = claims("ada", "orders:read orders:write");
    delegated["act"] = json!({ "sub": "support" });
    let authorization = bearer(&issuer.sign(&delegated).expect("a token"));
    let headers = [
        ("Content-Type", "application/json"),
        ("Authorization", authorization.as_str()),
    ];
    let body = ledger::order("for ada");
    let accepted = client.send(Method::POST, "/order", &headers, body).await;
    let location = accepted.expect("an answer").header("location").to_owned();
    let history = format!("{location}/history");
    let headers = [headers[1], ("Prefer", "wait=20")];
    let history = client
        .get_with(&history, &headers)
        .await
        .expect("an answer")
        .json();
    let (actor, other) = (&history[0]["actor"], &history[0]["on_behalf_of"]);
    assert_eq!((actor, other), (&json!("support"), &json!("ada")));
}

/// Checks that operations of other principals are neither listed nor counted for the next page.
async fn a_correlation_shows_only_own_operations(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let settings = issuer.settings(&issuer.file().display().to_string());
    let world = World::start_with(kind, &settings).await.expect("it starts");
    let client = world.client();
    let token = |name: &str| {
        let token = issuer.token(name, "orders:read orders:write");
        bearer(&token.expect("a token"))
    };
    let (ada, bob) = (token("ada"), token("bob"));
    for authorization in [&ada, &ada, &bob, &ada] {
        let headers = [
            ("Content-Type", "application/json"),
            ("Authorization", authorization.as_str()),
            ("X-Correlation-ID", CORRELATION_ID),
        ];
        let body = ledger::order("shared");
        let accepted = client.send(Method::POST, "/order", &headers, body).await;
        let accepted = accepted.expect("an answer");
        let receipt = accepted.header("operation-location");
        let wait = [headers[1], ("Prefer", "wait=20")];
        let receipt = client.get_with(receipt, &wait).await.expect("an answer");
        assert_eq!(receipt.json()["status"], "baked");
    }
    let at = format!("/correlation/{CORRELATION_ID}?limit=1");
    let seen = async |authorization: &str| {
        let headers = [("Authorization", authorization)];
        let page = client.get_with(&at, &headers).await.expect("a page");
        let count = page.json().as_array().map(Vec::len);
        (count, page.header("link").to_owned())
    };
    assert_eq!(seen(&bob).await, (Some(1), String::new()));
    let next = format!("</correlation/{CORRELATION_ID}?limit=1&after=1>; rel=\"next\"");
    assert_eq!(seen(&ada).await, (Some(1), next));
    assert_eq!(seen(&token("eve")).await, (Some(0), String::new()));
    assert_eq!(client.get(&at).await.expect("an answer").status, 401);
}
