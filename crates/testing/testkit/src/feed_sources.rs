//! Given/then tests of handlers: the rows, commands and notifications that read models and
//! processes derive from feed events, as the engine runs them.
//!
//! Every check runs twice, event by event and in one batch: a handler that declares the wrong needs
//! gives different results.

use std::collections::BTreeMap;

use bakehouse_engine::handlers::handler::HandlerOutput;
use bakehouse_engine::handlers::{
    Effect, FeedEvent, Handler, ProcessManager, ReadModel, process, read_model,
};
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::StoredRow;
use bakehouse_engine::{Frame, Position, to_json};
use serde_json::{Value, json};

use crate::scenario::at;

/// Rows by key.
pub type Table = BTreeMap<String, Value>;

/// Returns a feed event of the entity `id`. `kind` is the type, such as `order.created`; `document`
/// is the entity's document after the event (`null`: no change).
///
/// # Panics
/// If `kind` contains no dot.
#[must_use]
pub fn event(position: Position, kind: &str, id: &str, document: &Value) -> FeedEvent {
    let (name, _) = kind.split_once('.').expect("a kind such as order.created");
    let mut body = json!({
        "type": kind, "position": position, format!("{name}_id"): id,
        "operation_id": ids::derived(&[kind, id, &position.to_string()]),
        "at": at(position),
    });
    if !document.is_null() {
        body[name] = document.clone();
    }
    let frame = Frame {
        position,
        kind: kind.into(),
        entity_id: id.into(),
        owner: None,
        group: None,
        left_group: None,
        body: to_json(&body).expect("JSON"),
    };
    FeedEvent::of(&frame).expect("a feed event")
}

/// Returns the rows of a read model after these events.
///
/// # Panics
/// If an event cannot be handled.
#[must_use]
pub fn project<M: ReadModel>(events: &[FeedEvent]) -> Table {
    both_ways(read_model::<M>().as_ref(), events).0
}

/// Returns the state of a process manager after these events, and its effects.
///
/// # Panics
/// If an event cannot be handled.
#[must_use]
pub fn react<P: ProcessManager>(events: &[FeedEvent]) -> (Table, Vec<Effect>) {
    both_ways(process::<P>().as_ref(), events)
}

fn both_ways(handler: &dyn Handler, events: &[FeedEvent]) -> (Table, Vec<Effect>) {
    let singly = handle(handler, events.chunks(1));
    let batched = handle(handler, events.chunks(events.len().max(1)));
    assert_eq!(
        singly.0, batched.0,
        "rows: event by event, and in one batch"
    );
    let text = |effects: &[Effect]| format!("{effects:?}");
    assert_eq!(
        text(&singly.1),
        text(&batched.1),
        "effects: event by event, and in one batch"
    );
    batched
}

fn handle<'a>(
    handler: &dyn Handler,
    batches: impl Iterator<Item = &'a [FeedEvent]>,
) -> (Table, Vec<Effect>) {
    let mut stored: BTreeMap<String, (Vec<String>, StoredRow)> = BTreeMap::new();
    let mut effects = Vec::new();
    for batch in batches {
        let needs = handler.needs(batch).expect("needs");
        let is_needed = |(key, (links, _)): &(&String, &(Vec<String>, StoredRow))| {
            needs.keys.contains(*key) || links.iter().any(|link| needs.links.contains(link))
        };
        let rows = stored.iter().filter(is_needed);
        let rows = rows.map(|(_, (_, row))| row.clone()).collect();
        let HandlerOutput {
            writes,
            effects: more,
        } = handler.handle(batch, rows).expect("handled");
        for write in writes {
            let (key, links) = (write.key, write.links);
            match write.body {
                Some(body) => {
                    let row = StoredRow {
                        key: key.clone(),
                        body,
                    };
                    stored.insert(key, (links, row));
                }
                None => drop(stored.remove(&key)),
            }
        }
        effects.extend(more.into_iter().map(|(_, effect)| effect));
    }
    let parsed = |(key, (_, row)): (String, (Vec<String>, StoredRow))| {
        (key, serde_json::from_str(row.body.get()).expect("JSON"))
    };
    (stored.into_iter().map(parsed).collect(), effects)
}
