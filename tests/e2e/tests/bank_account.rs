//! Example bank account: unreadable passwords, expected versions, snapshots and several read
//! models.

use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::issuer::{bearer, claims};
use bakehouse_e2e::stores::{Change, PRESENTATION, Write, actors, write};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Answer, Client, Issuer, Kind, World, in_both_worlds};
use mongodb::bson::doc;
use serde_json::{Value, json};

in_both_worlds!(
    write_side_and_read_models_agree_on_the_balance,
    no_password_can_be_read_anywhere,
    stale_versions_conflict_and_invalid_fields_are_named,
    read_models_are_rebuilt_while_they_are_read,
    commands_carry_their_actor_and_accounts_are_private,
    doctor_compares_the_rows_of_read_models,
);

const LIMIT: Duration = Duration::from_secs(20);
const WAIT: (&str, &str) = ("Prefer", "wait=20");
const SECRET: &str = "correct horse battery";
const OTHER_SECRET: &str = "staple in the stable";

async fn start(kind: Kind) -> World {
    World::start_domain(kind, &["bank-account"], "/accounts-events")
        .await
        .expect("it starts")
}

async fn open(client: &Client, username: &str) -> String {
    let email = format!("{username}@example.org");
    let body = json!({ "username": username, "email": email, "password": SECRET });
    let headers = [("X-Correlation-ID", "opening")];
    let answer = client
        .post_with("/accounts", &headers, body.to_string())
        .await;
    let answer = answer.expect("an answer");
    assert_eq!(answer.status, 202, "{answer:?}");
    answer.json()["id"].as_str().expect("an id").to_owned()
}

async fn post(client: &Client, at: &str, headers: &[(&str, &str)], body: Value) -> Answer {
    client
        .post_with(at, headers, body.to_string())
        .await
        .expect("an answer")
}

async fn read(client: &Client, path: &str) -> Value {
    client.get(path).await.expect("an answer").json()
}

/// Runs the scenario on a new account, and returns its id.
async fn scenario(client: &Client) -> Result<String> {
    let id = open(client, "ada").await;
    let at = |what: &str| format!("/accounts/{id}/{what}");
    let password = json!({ "password": OTHER_SECRET }).to_string();
    let answer = client.put(&at("password"), &[WAIT], password).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    let email = json!({ "email": "lovelace@example.org" }).to_string();
    let answer = client.put(&at("email"), &[WAIT], email).await?;
    assert_eq!(answer.status, 200, "{answer:?}");
    for amount in [50, 50, 150] {
        let answer = post(client, &at("credit"), &[WAIT], json!({ "amount": amount })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let answer = post(client, &at("debit"), &[WAIT], json!({ "amount": 200 })).await;
    assert_eq!(answer.json()["balance"], 50, "{answer:?}");
    Ok(id)
}

async fn write_side_and_read_models_agree_on_the_balance(kind: Kind) {
    let mut world = start(kind).await;
    let client = world.client();
    let id = scenario(&client).await.expect("the scenario");
    let expected = json!({
        "id": id, "username": "ada", "email": "lovelace@example.org", "balance": 50,
    });
    assert_eq!(read(&client, &format!("/accounts/{id}")).await, expected);
    let row = json!([{ "id": id, "balance": 50, "movements": 4 }]);
    let user = json!({ "username": "ada", "email": "lovelace@example.org", "accounts": [id] });
    let are_up_to_date = async || {
        read(&client, "/accounts").await == row && read(&client, "/users/ada").await == user
    };
    wait(LIMIT, "the read models", are_up_to_date)
        .await
        .expect("up to date");
    assert_eq!(read(&client, "/users").await, json!([user]));
    // The write side refuses a debit over the balance, and accepts the complete balance.
    let debit = format!("/accounts/{id}/debit");
    let too_much = post(&client, &debit, &[WAIT], json!({ "amount": 51 })).await;
    assert_eq!(too_much.status, 409);
    assert_eq!(too_much.json()["code"], "insufficient-funds");
    assert_eq!(
        too_much.json()["detail"],
        "the balance must not become negative"
    );
    // The requested snapshot is there after a kill.
    let snapshot = post(
        &client,
        &format!("/accounts/{id}/snapshot"),
        &[WAIT],
        json!({}),
    )
    .await;
    assert_eq!(snapshot.status, 200, "{snapshot:?}");
    world.process("bank-account").kill();
    world.begin().await.expect("it is back");
    let rest = post(&client, &debit, &[WAIT], json!({ "amount": 50 })).await;
    assert_eq!(rest.json()["balance"], 0, "{rest:?}");
    // Each event is in the journal once, also the rejection, in spite of the kill.
    let journal = format!("/accounts/{id}/journal");
    wait(LIMIT, "the journal", async || {
        let lines = read(&client, &journal).await;
        let lines = lines.as_array().expect("an array");
        lines.len() == 10 && lines.iter().all(|line| line["status"] == "sent")
    })
    .await
    .expect("ten lines");
    let lines = read(&client, &journal).await;
    let kinds: Vec<&str> = lines
        .as_array()
        .expect("an array")
        .iter()
        .map(|line| line["event"]["what"].as_str().expect("a word"))
        .collect();
    assert_eq!(
        kinds,
        [
            "created",
            "password_changed",
            "email_changed",
            "credited",
            "credited",
            "credited",
            "debited",
            "rejected",
            "snapshotted",
            "debited",
        ]
    );
    let operations = read(&client, "/correlation/opening").await;
    assert_eq!(operations.as_array().map(Vec::len), Some(1), "{operations}");
}

/// Checks that neither passwords nor their hashes appear in answers, frames and logs.
async fn no_password_can_be_read_anywhere(kind: Kind) {
    let programs = &["bank-account"];
    let mut world = World::prepare_domain(kind, programs, "/accounts-events").expect("prepared");
    let trace_own_crates = "info,bakehouse=trace,bank_account=trace";
    world.set("BAKEHOUSE_LOG__FILTER", trace_own_crates);
    world.begin().await.expect("it starts");
    let client = world.client();
    let id = scenario(&client).await.expect("the scenario");
    let keyed = [("Idempotency-Key", "once"), WAIT];
    let password = json!({ "password": SECRET }).to_string();
    let at = format!("/accounts/{id}/password");
    let first = client
        .put(&at, &keyed, password.clone())
        .await
        .expect("an answer");
    let again = client.put(&at, &keyed, password).await.expect("an answer");
    assert_eq!((first.status, again.status), (first.status, first.status));
    assert_eq!(first.status, 200, "{first:?}");
    wait(LIMIT, "the read models", async || {
        read(&client, "/users/ada").await["username"] == "ada"
    })
    .await
    .expect("up to date");
    let mut seen = String::new();
    for path in ["/accounts", "/users", "/users/ada", "/correlation/opening"] {
        seen += &read(&client, path).await.to_string();
    }
    for path in [format!("/accounts/{id}"), format!("/accounts/{id}/journal")] {
        seen += &read(&client, &path).await.to_string();
    }
    seen += &read(&client, first.header("operation-location"))
        .await
        .to_string();
    let mut feed = world.feed("since=0").await.expect("a feed");
    for frame in feed.events_up_to(8).await.expect("frames") {
        seen += &frame.to_string();
    }
    assert!(seen.contains("lovelace@example.org"));
    let logs = world.final_logs().expect("they end");
    // The most detailed log line about a command.
    let operation = first.header("operation-location").rsplit('/').next();
    let operation = operation.expect("an id");
    let is_it = |line: &str| line.contains("\"accepted\"") && line.contains(operation);
    assert!(logs.lines().any(is_it), "{logs}");
    seen += &logs;
    for secret in [SECRET, OTHER_SECRET, "argon2", "password_hash"] {
        assert!(!seen.contains(secret), "{secret}");
    }
}

async fn stale_versions_conflict_and_invalid_fields_are_named(kind: Kind) {
    let world = start(kind).await;
    let client = world.client();
    let id = open(&client, "bob").await;
    let credit = format!("/accounts/{id}/credit");
    let based = |version: &'static str| [WAIT, ("If-Match", version)];
    let first = post(&client, &credit, &based("\"1\""), json!({ "amount": 5 })).await;
    assert_eq!(first.status, 200, "{first:?}");
    let late = post(&client, &credit, &based("\"1\""), json!({ "amount": 5 })).await;
    assert_eq!(late.status, 412);
    assert_eq!(late.json()["code"], "version-conflict");
    for amount in [json!(0), json!(-5), json!(0.5), json!("5")] {
        let wrong = post(&client, &credit, &[WAIT], json!({ "amount": amount })).await;
        assert_eq!(wrong.status, 400);
        assert_eq!(wrong.json()["errors"][0]["pointer"], "/amount");
    }
    let body = json!({ "username": "", "email": "nowhere", "password": "short" });
    let wrong = post(&client, "/accounts", &[], body).await;
    let faults = wrong.json()["errors"].clone();
    let pointers: Vec<&Value> = faults
        .as_array()
        .expect("faults")
        .iter()
        .map(|fault| &fault["pointer"])
        .collect();
    assert_eq!(pointers, ["/username", "/email", "/password"]);
    assert_eq!(
        read(&client, &format!("/accounts/{id}")).await["balance"],
        5
    );
}

/// Checks that a read model stays readable and current during a rebuild.
async fn read_models_are_rebuilt_while_they_are_read(kind: Kind) {
    let world = start(kind).await;
    let client = world.client();
    let id = open(&client, "eve").await;
    let credit = format!("/accounts/{id}/credit");
    for _ in 0..30 {
        let answer = post(&client, &credit, &[], json!({ "amount": 1 })).await;
        assert_eq!(answer.status, 202);
    }
    let balance = async || read(&client, "/accounts").await[0]["balance"].as_i64();
    wait(LIMIT, "the read model", async || {
        balance().await == Some(30)
    })
    .await
    .expect("30");
    let rebuild = post(&client, "/read-models/accounts/rebuild", &[], json!({})).await;
    assert_eq!(rebuild.status, 202);
    let unknown = post(&client, "/read-models/nothing/rebuild", &[], json!({})).await;
    assert_eq!(unknown.status, 404);
    for expected in 31..=40 {
        let answer = post(&client, &credit, &[WAIT], json!({ "amount": 1 })).await;
        assert_eq!(answer.json()["balance"], expected);
        let seen = balance().await.expect("a balance during the rebuild");
        assert!((30..=expected).contains(&seen), "{seen}");
    }
    wait(LIMIT, "the rebuild", async || {
        let models = read(&client, "/read-models").await;
        let accounts = &models[0];
        accounts["name"] == "accounts"
            && accounts["serving"]["round"] == 1
            && accounts["building"].is_null()
            && accounts["serving"]["positions"]["account"] == 41
    })
    .await
    .expect("rebuilt");
    let row = json!([{ "id": id, "balance": 40, "movements": 40 }]);
    assert_eq!(read(&client, "/accounts").await, row);
    assert_eq!(
        read(&client, "/read-models").await[1]["serving"]["round"],
        0
    );
}

async fn commands_carry_their_actor_and_accounts_are_private(kind: Kind) {
    let issuer = Issuer::new().expect("an issuer");
    let programs = &["bank-account"];
    let mut world = World::prepare_domain(kind, programs, "/accounts-events").expect("prepared");
    for (variable, value) in issuer.settings(&issuer.file().display().to_string()) {
        world.set(variable, &value);
    }
    world.begin().await.expect("it starts");
    let client = world.client();
    let mut delegated = claims("ada", "account:read account:write");
    delegated["act"] = json!({ "sub": "teller" });
    let delegated = bearer(&issuer.sign(&delegated).expect("a token"));
    let token = |name: &str, scope: &str| bearer(&issuer.token(name, scope).expect("a token"));
    let ada = token("ada", "account:read account:write");
    let bob = token("bob", "account:read account:write");
    let operator = token("root", "account:admin");
    let body = json!({ "username": "ada", "email": "ada@example.org", "password": SECRET });
    let by_teller = [("Authorization", delegated.as_str())];
    let opened = post(&client, "/accounts", &by_teller, body).await;
    let id = opened.json()["id"].as_str().expect("an id").to_owned();
    let at = format!("/accounts/{id}");
    let as_ada = [("Authorization", ada.as_str()), WAIT];
    let account = client.get_with(&at, &as_ada).await.expect("an answer");
    assert_eq!(account.status, 200);
    let expected = ("teller".to_owned(), "ada".to_owned());
    assert_eq!(actors(&world, kind, 1).await, expected);
    let journal = format!("{at}/journal");
    for (path, others, own, operators) in [
        (at.as_str(), 404, 200, 200),
        (&journal, 404, 200, 200),
        ("/accounts", 403, 403, 200),
        ("/users", 403, 403, 200),
        ("/read-models", 403, 403, 200),
    ] {
        for (token, expected) in [(&bob, others), (&ada, own), (&operator, operators)] {
            let headers = [("Authorization", token.as_str())];
            let answer = client.get_with(path, &headers).await.expect("an answer");
            assert_eq!(answer.status, expected, "{path}");
        }
    }
    let as_bob = [("Authorization", bob.as_str()), WAIT];
    let stolen = post(
        &client,
        &format!("{at}/debit"),
        &as_bob,
        json!({ "amount": 1 }),
    )
    .await;
    assert_eq!(stolen.status, 409, "{stolen:?}");
}

async fn doctor_compares_the_rows_of_read_models(kind: Kind) {
    let world = start(kind).await;
    let client = world.client();
    let mut ids = Vec::new();
    for name in ["ada", "bob", "cyd"] {
        ids.push(open(&client, name).await);
    }
    wait(LIMIT, "the read models", async || {
        let users = read(&client, "/users").await;
        let accounts = read(&client, "/accounts").await;
        [users, accounts]
            .iter()
            .all(|rows| rows.as_array().is_some_and(|rows| rows.len() == 3))
    })
    .await
    .expect("up to date");
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!((code, &found["faults"]), (Some(0), &json!(0)), "{found:#}");
    assert_eq!(found["rows"], 6);
    let of = (PRESENTATION, "rows.accounts.1.0");
    let row = "name = 'accounts' AND key =";
    let changed = Write {
        sql: format!(
            "UPDATE rows SET body = json_set(body, '$.balance', 7) WHERE {row} '{}'",
            ids[0]
        ),
        of,
        change: Change::Update(doc! { "_id": &ids[0] }, doc! { "row.balance": 7_i64 }),
    };
    let removed = Write {
        sql: format!("DELETE FROM rows WHERE {row} '{}'", ids[1]),
        of,
        change: Change::Remove(doc! { "_id": &ids[1] }),
    };
    let added = Write {
        sql: "INSERT INTO rows VALUES ('accounts', 1, 0, 'unknown-account', '{}')".into(),
        of,
        change: Change::Insert(doc! { "_id": "unknown-account", "links": [], "row": {} }),
    };
    for one in [changed, removed, added] {
        write(&world, kind, one).await;
    }
    let (code, found) = world.doctor().expect("it runs");
    assert_eq!(code, Some(1));
    let findings = found["findings"].as_array().expect("findings");
    let has = |entity: Value, field: &str, expected: Value, found: Value| {
        findings.iter().any(|one| {
            let field = format!("read_models.accounts.{field}");
            one["code"] == "wrong-row"
                && one["entity"] == entity
                && one["field"] == field
                && one["expected"] == expected
                && one["found"] == found
        })
    };
    let (absent, present) = (json!("absent"), json!("present"));
    let number = json!("number");
    let other = json!("another number");
    assert!(has(json!(ids[0]), "balance", number, other), "{found:#}");
    let is_missing = has(json!(ids[1]), "row", present.clone(), absent.clone());
    assert!(is_missing, "{found:#}");
    // The key of the unknown row may be personal data and is not shown.
    assert!(has(Value::Null, "row", absent, present), "{found:#}");
    assert!(!found.to_string().contains("unknown-account"), "{found:#}");
}
