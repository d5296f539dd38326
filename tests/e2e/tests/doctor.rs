//! Findings of doctor: each inconsistency is written to the stores and must be reported with its
//! code and field, without personal data, and the suggested fix must repair it.

use bakehouse_e2e::stores::{self, Change, PRESENTATION, SOURCE, Write, write};
use bakehouse_e2e::{Client, Kind, World, in_both_worlds};
use mongodb::bson::{DateTime, doc};
use serde_json::{Value, json};

in_both_worlds!(
    every_field_of_the_presentation_is_compared,
    every_field_of_the_source_is_compared,
    verdicts_are_compared,
    notifications_are_compared,
);

/// Places an order of a customer with recognizable personal data.
async fn place(client: &Client, name: &str) -> String {
    let body = json!({
        "products": [{ "name": "Tea", "price": "3.50", "quantity": 2 }],
        "customer": { "id": format!("secret-{name}"), "name": format!("Ada {name}"),
                      "email": format!("{name}@secret.example") },
        "reference": format!("ref-{name}"),
    });
    let placed = client.post(body.to_string()).await.expect("an answer");
    assert_eq!(
        placed.status,
        202,
        "{}",
        String::from_utf8_lossy(&placed.body)
    );
    let receipt = client.settled(&placed).await.expect("a receipt");
    receipt["order_id"].as_str().expect("an id").to_owned()
}

/// Starts a world with orders. Returns it with the ids of the orders.
pub(crate) async fn world_of(kind: Kind, count: usize) -> (World, Vec<String>) {
    let world = World::start(kind).await.expect("it starts");
    let client = world.client();
    let mut ids = Vec::new();
    for number in 1..=count {
        ids.push(place(&client, &format!("o{number}")).await);
    }
    (world, ids)
}

/// Runs doctor and returns its findings. Checks that they contain no personal data.
pub(crate) fn findings(world: &World) -> Vec<Value> {
    let (_, found) = world.doctor().expect("it runs");
    let text = found.to_string();
    for secret in ["Ada", "secret", "@", "Some(", "Some {"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    let listed = found["not_checked"].as_array().expect("a list");
    assert!(listed.len() >= 4, "{listed:?}");
    found["findings"].as_array().expect("findings").clone()
}

/// Returns the finding of a code, entity and field; an empty entity or field matches any.
#[track_caller]
pub(crate) fn find<'a>(all: &'a [Value], code: &str, entity: &str, field: &str) -> &'a Value {
    let is_it = |one: &&Value| {
        one["code"] == code
            && (entity.is_empty() || one["entity"] == entity)
            && (field.is_empty() || one["field"] == field)
    };
    let found = all.iter().find(is_it);
    found.unwrap_or_else(|| panic!("no {code} of {entity} in {field}: {all:#?}"))
}

#[track_caller]
pub(crate) fn assert_values(finding: &Value, expected: Value, found: Value) {
    assert_eq!(
        (&finding["expected"], &finding["found"]),
        (&expected, &found)
    );
}

/// Runs the command that a finding suggests as its fix, and checks that doctor finds no more
/// inconsistencies.
fn apply_fix(world: &World, finding: &Value) {
    let fix = finding["fix"].as_str().expect("a fix");
    let arguments: Vec<&str> = fix.split(' ').skip(1).collect();
    let repaired = world.operate(&arguments).expect("it runs");
    assert!(repaired.status.success(), "{fix}: {repaired:?}");
    let output = world.operate(&["doctor"]).expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.ends_with("ok: no inconsistencies found\n"), "{text}");
}

/// Returns a write that changes a metadata field of a document.
fn document(id: &str, column: &str, sql: &str, value: mongodb::bson::Bson) -> Write {
    Write {
        sql: format!("UPDATE documents SET {column} = {sql} WHERE id = '{id}'"),
        of: (PRESENTATION, "orders"),
        change: Change::Update(
            doc! { "_id": id },
            doc! { format!("_meta.{column}"): value },
        ),
    }
}

async fn every_field_of_the_presentation_is_compared(kind: Kind) {
    let (world, ids) = world_of(kind, 11).await;
    assert_eq!(findings(&world), [Value::Null; 0]);
    let damage = async |change| write(&world, kind, change).await;
    damage(document(&ids[0], "listed", "0", false.into())).await;
    let then = DateTime::from_millis(1_000);
    damage(document(&ids[1], "created_at", "1000", then.into())).await;
    damage(document(&ids[2], "owner", "'Ada'", "Ada".into())).await;
    damage(document(&ids[3], "version", "7", 7_i64.into())).await;
    let id = &ids[4];
    damage(Write {
        sql: format!(
            "UPDATE documents SET body = json_set(body, '$.customer.name', 'Ada x', \
             '$.total', '1.00') WHERE id = '{id}'"
        ),
        of: (PRESENTATION, "orders"),
        change: Change::Update(
            doc! { "_id": id },
            doc! { "customer.name": "Ada x", "total": "1.00" },
        ),
    })
    .await;
    let id = &ids[5];
    damage(Write {
        sql: format!("DELETE FROM documents WHERE id = '{id}'"),
        of: (PRESENTATION, "orders"),
        change: Change::Remove(doc! { "_id": id }),
    })
    .await;
    let meta = doc! { "number": 900_i64, "position": 7_i64, "version": 1_i64, "listed": false,
    "created_at": then, "owner": null };
    damage(Write {
        sql: "INSERT INTO documents VALUES (900, 'stranger', 7, 1, 1000, NULL, 0, '{}')".into(),
        of: (PRESENTATION, "orders"),
        change: Change::Insert(doc! { "_id": "stranger", "_meta": meta }),
    })
    .await;
    damage(Write {
        sql: "UPDATE frames SET owner = 'Ada' WHERE position = 7".into(),
        of: (PRESENTATION, "feed"),
        change: Change::Update(doc! { "_id": 7_i64 }, doc! { "owner": "Ada" }),
    })
    .await;
    stores::remove_frame(&world, kind, 6).await;
    damage(document(&ids[7], "number", "901", 901_i64.into())).await;
    damage(document(&ids[8], "position", "2", 2_i64.into())).await;
    for (position, column, field) in [(10_i64, "type", "type"), (11, "grouping", "group")] {
        damage(Write {
            sql: format!("UPDATE frames SET {column} = 'another' WHERE position = {position}"),
            of: (PRESENTATION, "feed"),
            change: Change::Update(doc! { "_id": position }, doc! { field: "another" }),
        })
        .await;
    }

    let all = findings(&world);
    assert_values(
        find(&all, "wrong-document", &ids[0], "listed"),
        json!(true),
        json!(false),
    );
    let time = find(&all, "wrong-document", &ids[1], "created_at");
    assert_eq!(time["found"], "1970-01-01T00:00:01.000Z");
    let owner = find(&all, "wrong-document", &ids[2], "owner");
    assert_values(owner, Value::Null, json!("text of 3 characters"));
    assert_values(
        find(&all, "wrong-document", &ids[3], "version"),
        json!(1),
        json!(7),
    );
    let total = find(&all, "wrong-document", &ids[4], "body.total");
    assert_values(total, json!("7.00"), json!("1.00"));
    let name = find(&all, "wrong-document", &ids[4], "body.customer.name");
    assert_eq!(name["expected"], "text of 6 characters");
    find(&all, "missing-document", &ids[5], "");
    find(&all, "unknown-document", "stranger", "");
    find(&all, "wrong-frame", &ids[6], "owner");
    let gone = find(&all, "missing-frame", &ids[5], "");
    assert_eq!(gone["position"], 6);
    let number = find(&all, "wrong-document", &ids[7], "number");
    assert_values(number, json!(8), json!(901));
    let stale = find(&all, "stale-document", &ids[8], "position");
    assert_values(stale, json!(9), json!(2));
    let other = find(&all, "wrong-document", &ids[8], "position");
    assert_eq!(other["expected"], "the position of one of its events");
    let word = find(&all, "wrong-frame", &ids[9], "type");
    assert_values(word, json!("order.created"), json!("another"));
    let group = find(&all, "wrong-frame", &ids[10], "group");
    assert_eq!(group["found"], "text of 7 characters");
    assert_eq!(all.len(), 15, "unexpected findings: {all:#?}");
    apply_fix(&world, name);
}

async fn every_field_of_the_source_is_compared(kind: Kind) {
    let (world, ids) = world_of(kind, 7).await;
    let damage = async |change| write(&world, kind, change).await;
    let state = |id: &str, column: &str, sql: &str, value: mongodb::bson::Bson| Write {
        sql: format!("UPDATE entities SET {column} = {sql} WHERE id = '{id}'"),
        of: (SOURCE, "orders"),
        change: Change::Update(doc! { "_id": id }, doc! { column: value }),
    };
    let then = DateTime::from_millis(1_000);
    damage(state(&ids[0], "created_at", "1000", then.into())).await;
    damage(state(&ids[1], "version", "9", 9_i64.into())).await;
    let id = &ids[2];
    damage(Write {
        sql: format!(
            "UPDATE entities SET state = json_set(state, '$.status', 'paid') WHERE id = '{id}'"
        ),
        of: (SOURCE, "orders"),
        change: Change::Update(doc! { "_id": id }, doc! { "state.status": "paid" }),
    })
    .await;
    let row = doc! { "_id": "stranger", "number": 9_i64, "position": 2_i64, "version": 1_i64,
    "created_at": then, "updated_at": then, "owner": null, "state": {} };
    damage(Write {
        sql: "INSERT INTO entities VALUES ('stranger', 9, 2, 1, 1000, 1000, NULL, '{}')".into(),
        of: (SOURCE, "orders"),
        change: Change::Insert(row.clone()),
    })
    .await;
    let id = &ids[3];
    let mut kept = row;
    kept.insert("_id", id);
    kept.insert("position", 4_i64);
    damage(Write {
        sql: format!("INSERT INTO snapshots VALUES ('{id}', 4, 4, 1, 1000, 1000, NULL, '{{}}')"),
        of: (SOURCE, "snapshots"),
        change: Change::Insert(doc! { "_id": { "id": id, "position": 4_i64 }, "record": kept }),
    })
    .await;
    let id = &ids[4];
    damage(Write {
        sql: format!("DELETE FROM entities WHERE id = '{id}'"),
        of: (SOURCE, "orders"),
        change: Change::Remove(doc! { "_id": id }),
    })
    .await;
    damage(state(&ids[5], "updated_at", "1000", then.into())).await;
    damage(state(&ids[6], "owner", "'Ada'", "Ada".into())).await;
    let all = findings(&world);
    find(&all, "wrong-state", &ids[0], "created_at");
    let time = find(&all, "wrong-state", &ids[5], "updated_at");
    assert_eq!(time["found"], "1970-01-01T00:00:01.000Z");
    let owner = find(&all, "wrong-state", &ids[6], "owner");
    assert_values(owner, Value::Null, json!("text of 3 characters"));
    assert_values(
        find(&all, "wrong-state", &ids[1], "version"),
        json!(1),
        json!(9),
    );
    let status = find(&all, "wrong-state", &ids[2], "state.status");
    assert_values(status, json!("placed"), json!("paid"));
    find(&all, "unknown-state", "stranger", "");
    find(&all, "wrong-snapshot", &ids[3], "created_at");
    let gone = find(&all, "missing-state", &ids[4], "");
    assert_eq!(gone["position"], 5);
    apply_fix(&world, gone);
}

async fn verdicts_are_compared(kind: Kind) {
    let (world, ids) = world_of(kind, 3).await;
    let client = world.client();
    let path = format!("/order/{}/status", ids[2]);
    let refused = client.put(&path, &[], r#"{"status":"delivered"}"#).await;
    let receipt = client.settled(&refused.expect("202")).await;
    assert_eq!(receipt.expect("a receipt")["status"], "rejected");
    let verdict = |position: i64, sql: &str, set| Write {
        sql: format!("UPDATE events SET {sql} WHERE position = {position}"),
        of: (SOURCE, "events"),
        change: Change::Update(doc! { "_id": position }, set),
    };
    let change = verdict(1, "change = 'deleted'", doc! { "change": "deleted" });
    write(&world, kind, change).await;
    let never = verdict(2, "execution_time = NULL", doc! { "execution_time": null });
    write(&world, kind, never).await;
    let reason = verdict(
        4,
        "reason = 'Ada said so'",
        doc! { "reason": "Ada said so" },
    );
    write(&world, kind, reason).await;
    let all = findings(&world);
    let change = find(&all, "wrong-verdict", &ids[0], "change");
    assert_values(change, json!("created"), json!("deleted"));
    let never = find(&all, "wrong-verdict", &ids[1], "execution_time");
    assert_values(never, json!("present"), json!("absent"));
    // Frames are compared with the log; differing texts are reported without their content.
    let reason = find(&all, "wrong-frame", &ids[2], "reason");
    assert_eq!(reason["position"], 4);
    assert!(change["fix"].as_str().expect("a text").contains("backup"));
}

async fn notifications_are_compared(kind: Kind) {
    let (world, ids) = world_of(kind, 2).await;
    let (id, entity) = (uuid::Uuid::now_v7().to_string(), &ids[0]);
    let then = DateTime::from_millis(1_000);
    write(
        &world,
        kind,
        Write {
            sql: format!(
                "INSERT INTO notifications VALUES ('{id}', 2, 'order.created', '{entity}', \
                 'mail', 'email', 'ada@secret.example', '{{}}', 'sent', 0, 1000, 1000, NULL, \
                 NULL, 1000, NULL)"
            ),
            of: (SOURCE, "notifications"),
            change: Change::Insert(doc! {
                "_id": &id, "position": 2_i64, "type": "order.created", "entity_id": entity,
                "lane": "mail", "channel": "email", "to": "ada@secret.example", "message": {},
                "status": "sent", "attempts": 0_i64, "occurred_at": then, "requested_at": then,
                "accepted_at": null, "ended_at": null, "due_at": then, "reason": null,
            }),
        },
    )
    .await;
    let all = findings(&world);
    for field in [
        "entity_id",
        "occurred_at",
        "id",
        "due_at",
        "ended_at",
        "attempts",
    ] {
        find(&all, "wrong-notification", entity, field);
    }
}

/// Checks the text output: code, location, both values, and the fix.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn findings_are_printed_as_text() {
    let (world, ids) = world_of(Kind::Embedded, 2).await;
    let damage = document(&ids[1], "listed", "0", false.into());
    write(&world, Kind::Embedded, damage).await;
    let output = world.operate(&["doctor"]).expect("it runs");
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = format!(
        "! wrong-document at 2 of {}: field listed: expected true, found false\n  \
         fix: bakehouse rebuild presentation\n",
        ids[1]
    );
    assert!(text.contains(&line), "{text}");
    assert!(text.contains("\nnot checked: "), "{text}");
    assert!(text.ends_with("FAILED: 1 inconsistency\n"), "{text}");
}
