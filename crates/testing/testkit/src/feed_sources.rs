//! Given some facts, then these rows: what read models and processes make of feeds, as
//! the engine sees it.
//!
//! Every check is made twice, fact by fact and all at once: a handler whose
//! needs are not those that it has comes to something else.

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

/// Rows by their keys.
pub type Table = BTreeMap<String, Value>;

/// What happened to the entity `id`: `kind` is `order.created` and so on, `document` what
/// it is since then (`null`: nothing has changed).
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
    FeedEvent::of(&frame).expect("a fact")
}

/// The rows of a read model after these facts.
///
/// # Panics
/// When a fact cannot be handled.
#[must_use]
pub fn project<M: ReadModel>(facts: &[FeedEvent]) -> Table {
    both_ways(read_model::<M>().as_ref(), facts).0
}

/// The state of a process manager after these facts, and what it had done.
///
/// # Panics
/// When a fact cannot be handled.
#[must_use]
pub fn react<P: ProcessManager>(facts: &[FeedEvent]) -> (Table, Vec<Effect>) {
    both_ways(process::<P>().as_ref(), facts)
}

fn both_ways(handler: &dyn Handler, facts: &[FeedEvent]) -> (Table, Vec<Effect>) {
    let singly = follow(handler, facts.chunks(1));
    let at_once = follow(handler, facts.chunks(facts.len().max(1)));
    assert_eq!(singly.0, at_once.0, "fact by fact, and all at once");
    let told = |effects: &[Effect]| format!("{effects:?}");
    assert_eq!(told(&singly.1), told(&at_once.1), "what is to be done");
    at_once
}

fn follow<'a>(
    handler: &dyn Handler,
    runs: impl Iterator<Item = &'a [FeedEvent]>,
) -> (Table, Vec<Effect>) {
    let mut stored: BTreeMap<String, (Vec<String>, StoredRow)> = BTreeMap::new();
    let mut effects = Vec::new();
    for run in runs {
        let needs = handler.needs(run).expect("needs");
        let is_needed = |(key, (links, _)): &(&String, &(Vec<String>, StoredRow))| {
            needs.keys.contains(*key) || links.iter().any(|link| needs.links.contains(link))
        };
        let rows = stored.iter().filter(is_needed);
        let rows = rows.map(|(_, (_, row))| row.clone()).collect();
        let HandlerOutput {
            writes,
            effects: more,
        } = handler.handle(run, rows).expect("handled");
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
