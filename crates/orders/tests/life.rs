//! Lifecycle of an order: given, when, then.

use bakehouse_engine::Domain;
use bakehouse_orders::decide::MAX_CHANGES;
use bakehouse_orders::parse::{self, Defaults};
use bakehouse_orders::{Command, Orders, Status};
use bakehouse_testkit::scenario::{ENTITY, Scenario};
use serde_json::json;

fn place(body: &serde_json::Value) -> Command {
    parse::place(body.to_string().as_bytes(), &Defaults::default()).expect("a valid order")
}

fn tea() -> Command {
    place(&json!({
        "products": [
            { "name": "Tea", "price": "3.50", "quantity": 2, "sku": "A-1" },
            { "name": "Cake", "price": 4 },
        ],
        "customer": { "id": "c-1", "name": "Ada", "email": "ada@example.org" },
        "reference": "R-7",
    }))
}

fn amend(command: Command) -> Command {
    match command {
        Command::Place(draft) => Command::Amend(draft),
        other => other,
    }
}

fn set_status(status: Status) -> Command {
    Command::SetStatus { status }
}

#[test]
fn a_placed_order_is_presented_whole() {
    Scenario::<Orders>::given([])
        .when(tea())
        .then_changed("created")
        .then_document(&json!({
            "id": ENTITY,
            "number": 1,
            "status": "placed",
            "position": 1,
            "version": 1,
            "created_at": "2026-01-01T12:00:01.000Z",
            "updated_at": "2026-01-01T12:00:01.000Z",
            "customer": { "id": "c-1", "name": "Ada", "email": "ada@example.org" },
            "currency": "EUR",
            "products": [
                { "sku": "A-1", "name": "Tea", "quantity": 2, "price": "3.50", "total": "7.00" },
                { "sku": null, "name": "Cake", "quantity": 1, "price": "4.00", "total": "4.00" },
            ],
            "items_count": 3,
            "total": "11.00",
            "reference": "R-7",
            "timeline": [
                { "position": 1, "type": "order.created", "at": "2026-01-01T12:00:01.000Z" },
            ],
        }));
}

#[test]
fn a_placed_order_can_be_replaced_but_keeps_its_identity() {
    let other = json!({ "products": [{ "name": "Milk", "price": "1.10" }] });
    Scenario::<Orders>::given([tea()])
        .when(amend(place(&other)))
        .then_changed("updated")
        .then_document(&json!({
            "id": ENTITY,
            "number": 1,
            "status": "placed",
            "position": 2,
            "version": 2,
            "created_at": "2026-01-01T12:00:01.000Z",
            "updated_at": "2026-01-01T12:00:02.000Z",
            "customer": null,
            "currency": "EUR",
            "products": [
                { "sku": null, "name": "Milk", "quantity": 1, "price": "1.10", "total": "1.10" },
            ],
            "items_count": 1,
            "total": "1.10",
            "reference": null,
            "timeline": [
                { "position": 1, "type": "order.created", "at": "2026-01-01T12:00:01.000Z" },
                { "position": 2, "type": "order.updated", "at": "2026-01-01T12:00:02.000Z" },
            ],
        }));
}

#[test]
fn a_paid_order_cannot_be_replaced() {
    Scenario::<Orders>::given([tea(), set_status(Status::Paid)])
        .when(amend(tea()))
        .then_refused("the order is paid; only a placed one can be changed");
}

#[test]
fn an_order_keeps_its_currency() {
    let dollars = json!({ "currency": "USD", "products": [{ "name": "Milk", "price": "1.10" }] });
    Scenario::<Orders>::given([tea()])
        .when(amend(place(&dollars)))
        .then_refused("the order is in EUR, not in USD");
}

#[test]
fn an_order_is_placed_once() {
    Scenario::<Orders>::given([tea()])
        .when(tea())
        .then_refused("the order exists already");
}

#[test]
fn an_order_that_does_not_exist_cannot_be_changed() {
    for command in [amend(tea()), set_status(Status::Paid), Command::Delete] {
        Scenario::<Orders>::given([])
            .when(command)
            .then_refused("there is no such order");
    }
}

#[test]
fn a_deleted_order_is_cancelled_unlisted_and_final() {
    Scenario::<Orders>::given([tea()])
        .when(Command::Delete)
        .then_changed("deleted")
        .then_state(|order| {
            assert_eq!(order.status, Status::Cancelled);
            assert!(order.is_deleted);
        });
    for command in [amend(tea()), set_status(Status::Paid), Command::Delete] {
        Scenario::<Orders>::given([tea(), Command::Delete])
            .when(command)
            .then_refused("the order has been deleted");
    }
}

#[test]
fn deleting_cancels_only_what_has_not_been_shipped() {
    for status in Status::ALL {
        let expected = match status {
            Status::Placed | Status::Paid => Status::Cancelled,
            other => other,
        };
        Scenario::<Orders>::given(commands_to(status))
            .when(Command::Delete)
            .then_changed("deleted")
            .then_state(|order| {
                assert_eq!((order.status, order.is_deleted), (expected, true));
                let last = order.timeline.last().expect("a timeline");
                assert_eq!(last.kind, "order.deleted");
            });
    }
}

/// Deletions that programs of schema version 1 executed cancelled orders in any status; a rebuild
/// must yield the same documents.
#[test]
fn deletions_of_schema_version_1_cancel_as_they_did() {
    let old = Orders::upcast(1, r#"{"command":"delete"}"#).expect("a command");
    assert_eq!(old, Command::DeleteAndCancel);
    for status in Status::ALL {
        Scenario::<Orders>::given(commands_to(status))
            .when(old.clone())
            .then_changed("deleted")
            .then_state(|order| assert_eq!(order.status, Status::Cancelled));
    }
    let place = serde_json::to_string(&tea()).expect("JSON");
    assert_eq!(Orders::upcast(1, &place).expect("a command"), tea());
    // Only the command whose meaning has changed needs the new schema version.
    assert_eq!(Orders::version_of(&Command::Delete), 2);
    assert_eq!(Orders::version_of(&tea()), 1);
    assert_eq!(Orders::version_of(&set_status(Status::Paid)), 1);
}

/// Commands that lead to a status.
fn commands_to(status: Status) -> Vec<Command> {
    let steps: &[Status] = match status {
        Status::Placed => &[],
        Status::Paid => &[Status::Paid],
        Status::Shipped => &[Status::Paid, Status::Shipped],
        Status::Delivered => &[Status::Paid, Status::Shipped, Status::Delivered],
        Status::Cancelled => &[Status::Cancelled],
    };
    let steps = steps.iter().map(|status| set_status(*status));
    std::iter::once(tea()).chain(steps).collect()
}

#[test]
fn exactly_the_documented_transitions_are_carried_out() {
    use Status::{Cancelled, Delivered, Paid, Placed, Shipped};
    let allowed = [
        (Placed, Paid),
        (Paid, Shipped),
        (Shipped, Delivered),
        (Placed, Cancelled),
        (Paid, Cancelled),
    ];
    for from in Status::ALL {
        for to in Status::ALL {
            let outcome = Scenario::<Orders>::given(commands_to(from)).when(set_status(to));
            if allowed.contains(&(from, to)) {
                outcome.then_changed("status").then_state(|order| {
                    assert_eq!(order.status, to);
                    let last = order.timeline.last().expect("a timeline");
                    assert_eq!(last.kind, format!("order.{to}"));
                });
            } else {
                outcome.then_refused(&format!("the order is {from}; it cannot become {to}"));
            }
        }
    }
}

fn file(id: &str) -> bakehouse_orders::File {
    bakehouse_orders::File {
        id: id.into(),
        name: "receipt.pdf".into(),
        media_type: "application/pdf".into(),
        size: 3,
        sha256: "ab".repeat(32),
    }
}

fn detach(id: &str) -> Command {
    Command::Detach { id: id.into() }
}

#[test]
fn files_come_and_go_whatever_the_status() {
    let paid = set_status(Status::Paid);
    let attached = [
        tea(),
        paid,
        Command::Attach(file("a")),
        Command::Attach(file("b")),
    ];
    let document = Scenario::<Orders>::given(attached)
        .when(detach("a"))
        .then_changed("updated")
        .document();
    let names: Vec<_> = document["attachments"]
        .as_array()
        .expect("files")
        .iter()
        .collect();
    assert_eq!(names, [&json!(file("b"))]);
    assert_eq!(document["timeline"][4]["type"], "order.detached");
}

#[test]
fn files_are_refused_twice_once_gone_and_on_deleted_orders() {
    let attached = || Scenario::<Orders>::given([tea(), Command::Attach(file("a"))]);
    attached()
        .when(Command::Attach(file("a")))
        .then_refused("the order has this attachment already");
    attached()
        .when(detach("b"))
        .then_refused("the order has no such attachment");
    Scenario::<Orders>::given([tea(), Command::Delete])
        .when(Command::Attach(file("a")))
        .then_refused("the order has been deleted");
}

#[test]
fn the_number_of_files_is_limited() {
    let files = (0..50).map(|number| Command::Attach(file(&number.to_string())));
    Scenario::<Orders>::given([tea()].into_iter().chain(files))
        .when(Command::Attach(file("one more")))
        .then_refused("the order has 50 attachments, and can have no more");
}

#[test]
fn the_number_of_changes_is_limited() {
    let changes = std::iter::repeat_with(|| amend(tea())).take(MAX_CHANGES);
    let life = || Scenario::<Orders>::given(std::iter::once(tea()).chain(changes.clone()));
    life().when(amend(tea())).then_refused(
        "the order has been changed 1000 times; only its status can still be changed, or the order deleted",
    );
    life().when(set_status(Status::Paid)).then_changed("status");
}
