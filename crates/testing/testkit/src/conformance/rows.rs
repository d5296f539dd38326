//! Rules for stores of handlers' rows. A rule takes an empty store.

use std::sync::Arc;

use bakehouse_engine::handlers::{Generation, Needs};
use bakehouse_engine::model::notification::Request;
use bakehouse_engine::ports::{
    Feed, HandlerCommit, Notifications, RowPage, RowReader, RowStore, RowWrite, StoreError,
    StoredRow,
};
use bakehouse_engine::{Frame, Notification, Position, Timestamp, to_json};
use serde_json::json;
use uuid::Uuid;

/// Store under test, with its reader.
pub type Store = (Arc<dyn RowStore>, Arc<dyn RowReader>);

/// Store under test, with the record of notifications.
pub type States = (Arc<dyn RowStore>, Arc<dyn Notifications>);

/// Generates the suite's tests: `rows_suite!(name, async { … })`.
#[macro_export]
macro_rules! rows_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            rows,
            $make,
            [
                a_feed_continues_from_its_first_start_position,
                a_handling_from_elsewhere_is_fenced_and_changes_nothing,
                changes_of_another_feed_are_not_overwritten,
                rows_are_found_by_key_and_by_link,
                a_removed_row_is_gone_with_its_links,
                nothing_is_read_before_it_is_promoted,
                one_generation_is_read_while_another_is_built,
                versions_only_rise,
                lists_go_on_page_by_page,
                the_states_of_all_read_models_are_listed,
            ]
        );
    };
}

/// Generates the tests for stores of process states: `states_suite!(name, async { … })`.
#[macro_export]
macro_rules! states_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            rows,
            $make,
            [notifications_are_stored_with_the_rows_or_not_at_all]
        );
    };
}

fn generation(version: u32, round: u64) -> Generation {
    Generation {
        name: "things".into(),
        version,
        round,
    }
}

fn row(key: &str, links: &[&str], n: u64) -> RowWrite {
    RowWrite {
        key: key.into(),
        links: links.iter().map(|link| (*link).to_owned()).collect(),
        body: Some(
            to_json(&json!({ "n": n, "text": "ä \"q\" ", "deep": [null, { "a": 1 }] })).unwrap(),
        ),
    }
}

fn handling(generation: &Generation, from: Position, rows: Vec<RowWrite>) -> HandlerCommit {
    HandlerCommit {
        generation: generation.clone(),
        revision: from,
        feed: "thing".into(),
        from,
        to: from + 1,
        rows,
        notifications: Vec::new(),
    }
}

async fn open(
    store: &dyn RowStore,
    generation: &Generation,
    start: Position,
) -> Result<Position, StoreError> {
    let feed = Feed {
        name: "thing",
        epoch: "log",
    };
    store.open(generation, &feed, start).await
}

fn keys(rows: &[StoredRow]) -> Vec<&str> {
    let mut keys: Vec<&str> = rows.iter().map(|row| row.key.as_str()).collect();
    keys.sort_unstable();
    keys
}

async fn linked(reader: &dyn RowReader, link: &str) -> Vec<StoredRow> {
    let page = RowPage {
        link,
        after: None,
        limit: 100,
    };
    reader.rows("things", &page).await.unwrap()
}

/// Each generation has its own position in each feed; another log's epoch is an error.
pub async fn a_feed_continues_from_its_first_start_position((store, _): Store) {
    let of = generation(1, 0);
    assert_eq!(open(store.as_ref(), &of, 7).await, Ok(7));
    assert_eq!(open(store.as_ref(), &of, 0).await, Ok(7));
    assert_eq!(open(store.as_ref(), &generation(1, 1), 0).await, Ok(0));
    let first = HandlerCommit {
        revision: 0,
        ..handling(&of, 7, Vec::new())
    };
    store.commit(&first).await.unwrap();
    assert_eq!(open(store.as_ref(), &of, 0).await, Ok(8));
    let other = Feed {
        name: "other",
        epoch: "elsewhere",
    };
    assert_eq!(store.open(&of, &other, 0).await, Ok(0));
    let wrong = Feed {
        name: "thing",
        epoch: "elsewhere",
    };
    let refused = store.open(&of, &wrong, 0).await;
    assert!(
        matches!(refused, Err(StoreError::Corrupt(_))),
        "{refused:?}"
    );
}

/// A commit from another position is fenced, as after a pause of the instance.
pub async fn a_handling_from_elsewhere_is_fenced_and_changes_nothing((store, _): Store) {
    let of = generation(1, 0);
    open(store.as_ref(), &of, 0).await.unwrap();
    store
        .commit(&handling(&of, 0, vec![row("a", &[], 1)]))
        .await
        .unwrap();
    for from in [0, 2] {
        let late = handling(&of, from, vec![row("a", &["x"], 2), row("b", &[], 2)]);
        assert_eq!(store.commit(&late).await, Err(StoreError::Fenced));
    }
    let needs = Needs::row("a").and_row("b").and_linked("x");
    let found = store.load(&of, &needs).await.unwrap().rows;
    assert_eq!(keys(&found), ["a"]);
    assert!(found[0].body.get().contains("\"n\":1"));
}

/// The feeds of a generation share its rows: a commit for one feed is fenced if another feed has
/// changed the generation since the rows were loaded.
pub async fn changes_of_another_feed_are_not_overwritten((store, _): Store) {
    let of = generation(1, 0);
    open(store.as_ref(), &of, 0).await.unwrap();
    let other = Feed {
        name: "other",
        epoch: "elsewhere",
    };
    store.open(&of, &other, 0).await.unwrap();
    let loaded = store.load(&of, &Needs::row("a")).await.unwrap();
    assert_eq!((loaded.rows.len(), loaded.revision), (0, 0));
    let of_other = HandlerCommit {
        feed: "other".into(),
        ..handling(&of, 0, vec![row("a", &[], 1)])
    };
    store.commit(&of_other).await.unwrap();
    let late = handling(&of, 0, vec![row("a", &[], 2)]);
    assert_eq!(store.commit(&late).await, Err(StoreError::Fenced));
    let loaded = store.load(&of, &Needs::row("a")).await.unwrap();
    assert_eq!((loaded.rows.len(), loaded.revision), (1, 1));
    let again = HandlerCommit {
        revision: 1,
        ..handling(&of, 0, vec![row("a", &[], 2)])
    };
    store.commit(&again).await.unwrap();
}

/// Rows are found by key and by link, each once and byte for byte.
pub async fn rows_are_found_by_key_and_by_link((store, _): Store) {
    let of = generation(1, 0);
    open(store.as_ref(), &of, 0).await.unwrap();
    let rows = vec![
        row("a", &["x", "y"], 1),
        row("b", &["y"], 2),
        row("c", &[], 3),
    ];
    let body = rows[0].body.clone().unwrap();
    store.commit(&handling(&of, 0, rows)).await.unwrap();
    let load = async |needs: Needs| store.load(&of, &needs).await.unwrap().rows;
    let found = load(Needs::row("a").and_row("none").and_linked("x")).await;
    assert_eq!(keys(&found), ["a"]);
    assert_eq!(found[0].body.get(), body.get());
    assert_eq!(
        keys(&load(Needs::nothing().and_linked("y")).await),
        ["a", "b"]
    );
    assert_eq!(
        keys(&load(Needs::row("c").and_linked("y")).await),
        ["a", "b", "c"]
    );
    // The links of the current row replace the former ones.
    store
        .commit(&handling(&of, 1, vec![row("a", &["z"], 4)]))
        .await
        .unwrap();
    assert_eq!(keys(&load(Needs::nothing().and_linked("y")).await), ["b"]);
    assert_eq!(keys(&load(Needs::nothing().and_linked("z")).await), ["a"]);
    let elsewhere = store
        .load(&generation(1, 1), &Needs::row("a"))
        .await
        .unwrap()
        .rows;
    assert!(elsewhere.is_empty());
}

/// A removed row and its links are gone; the row may be written again.
pub async fn a_removed_row_is_gone_with_its_links((store, _): Store) {
    let of = generation(1, 0);
    open(store.as_ref(), &of, 0).await.unwrap();
    let both = vec![row("a", &["x"], 1), row("b", &["x"], 1)];
    store.commit(&handling(&of, 0, both)).await.unwrap();
    let gone = RowWrite {
        key: "a".into(),
        links: Vec::new(),
        body: None,
    };
    store.commit(&handling(&of, 1, vec![gone])).await.unwrap();
    let needs = Needs::row("a").and_linked("x");
    assert_eq!(keys(&store.load(&of, &needs).await.unwrap().rows), ["b"]);
    store
        .commit(&handling(&of, 2, vec![row("a", &["x"], 2)]))
        .await
        .unwrap();
    assert_eq!(
        keys(&store.load(&of, &needs).await.unwrap().rows),
        ["a", "b"]
    );
}

/// Reads before the promotion return `NotYet`, not an empty result.
pub async fn nothing_is_read_before_it_is_promoted((store, reader): Store) {
    let registered = store.register("things", 1).await.unwrap();
    assert_eq!(
        (registered.wanted, registered.serving),
        (generation(1, 0), None)
    );
    let of = generation(1, 0);
    open(store.as_ref(), &of, 0).await.unwrap();
    store
        .commit(&handling(&of, 0, vec![row("a", &[], 1)]))
        .await
        .unwrap();
    let early = reader.row("things", "a").await;
    assert!(matches!(early, Err(StoreError::NotYet(_))), "{early:?}");
    store.promote(&of).await.unwrap();
    store.promote(&of).await.unwrap();
    assert_eq!(store.register("things", 1).await.unwrap().serving, Some(of));
    assert!(reader.row("things", "a").await.unwrap().is_some());
    assert!(reader.row("things", "b").await.unwrap().is_none());
}

/// The promoted generation is kept up to date during a rebuild, and removed when it is replaced.
pub async fn one_generation_is_read_while_another_is_built((store, reader): Store) {
    let old = generation(1, 0);
    store.register("things", 1).await.unwrap();
    open(store.as_ref(), &old, 0).await.unwrap();
    store
        .commit(&handling(&old, 0, vec![row("a", &["x"], 1)]))
        .await
        .unwrap();
    store.promote(&old).await.unwrap();
    assert_eq!(reader.rebuild("nothing").await, Ok(None));
    let new = reader.rebuild("things").await.unwrap().unwrap();
    assert_eq!(new, generation(1, 1));
    open(store.as_ref(), &new, 0).await.unwrap();
    store
        .commit(&handling(&new, 0, vec![row("b", &["x"], 2)]))
        .await
        .unwrap();
    store
        .commit(&handling(&old, 1, vec![row("c", &["x"], 1)]))
        .await
        .unwrap();
    assert_eq!(keys(&linked(reader.as_ref(), "x").await), ["a", "c"]);
    // A generation that is not wanted any more cannot be promoted again.
    store.promote(&old).await.unwrap();
    assert_eq!(keys(&linked(reader.as_ref(), "x").await), ["a", "c"]);
    store.promote(&new).await.unwrap();
    assert_eq!(keys(&linked(reader.as_ref(), "x").await), ["b"]);
    assert!(
        store
            .load(&old, &Needs::row("a"))
            .await
            .unwrap()
            .rows
            .is_empty()
    );
}

/// A program of an earlier version that still runs does not undo an upgrade.
pub async fn versions_only_rise((store, reader): Store) {
    store.register("things", 1).await.unwrap();
    reader.rebuild("things").await.unwrap();
    assert_eq!(
        store.register("things", 2).await.unwrap().wanted,
        generation(2, 0)
    );
    assert_eq!(
        store.register("things", 1).await.unwrap().wanted,
        generation(2, 0)
    );
    assert_eq!(
        store.register("others", 1).await.unwrap().wanted.name,
        "others"
    );
}

/// Lists are paged by key, for any number of rows and any limit.
pub async fn lists_go_on_page_by_page((store, reader): Store) {
    let of = generation(1, 0);
    store.register("things", 1).await.unwrap();
    open(store.as_ref(), &of, 0).await.unwrap();
    let rows = (0..25).map(|n| row(&format!("k-{n:02}"), &["x"], n));
    let rows = rows.chain([row("other", &["y"], 0)]);
    store
        .commit(&handling(&of, 0, rows.collect()))
        .await
        .unwrap();
    store.promote(&of).await.unwrap();
    let mut found: Vec<String> = Vec::new();
    for expected in [10, 10, 5, 0] {
        let page = RowPage {
            link: "x",
            after: found.last().map(String::as_str),
            limit: 10,
        };
        let more = reader.rows("things", &page).await.unwrap();
        assert_eq!(more.len(), expected);
        found.extend(more.into_iter().map(|row| row.key));
    }
    let all: Vec<String> = (0..25).map(|n| format!("k-{n:02}")).collect();
    assert_eq!(found, all);
    for (limit, expected) in [(0, 0), (usize::MAX, 25)] {
        let page = RowPage {
            link: "x",
            after: None,
            limit,
        };
        assert_eq!(reader.rows("things", &page).await.unwrap().len(), expected);
    }
}

/// The states of all read models are listed, for monitoring.
pub async fn the_states_of_all_read_models_are_listed((store, reader): Store) {
    assert!(reader.states().await.unwrap().is_empty());
    let of = generation(1, 0);
    store.register("things", 1).await.unwrap();
    store.register("others", 3).await.unwrap();
    open(store.as_ref(), &of, 0).await.unwrap();
    store.commit(&handling(&of, 0, Vec::new())).await.unwrap();
    let states = reader.states().await.unwrap();
    let names: Vec<&str> = states
        .iter()
        .map(|state| state.registration.wanted.name.as_str())
        .collect();
    assert_eq!(names, ["others", "things"]);
    assert_eq!(states[1].building.get("thing"), Some(&1));
    assert!(states[1].served.is_empty());
    store.promote(&of).await.unwrap();
    let states = reader.states().await.unwrap();
    assert_eq!(states[1].served.get("thing"), Some(&1));
    assert!(states[1].building.is_empty());
}

/// Notifications are stored with the rows, once per id, or not at all if the commit is fenced.
pub async fn notifications_are_stored_with_the_rows_or_not_at_all((store, record): States) {
    let of = Generation {
        name: "process-p".into(),
        version: 0,
        round: 0,
    };
    open(store.as_ref(), &of, 0).await.unwrap();
    let notification = || {
        let frame = Frame {
            position: 1,
            kind: "thing.made".into(),
            entity_id: "e".into(),
            owner: None,
            group: None,
            left_group: None,
            body: to_json(&()).unwrap(),
        };
        let request = Request {
            lane: "log".into(),
            channel: "log",
            to: "us".into(),
            message: to_json(&json!({ "n": 1 })).unwrap(),
        };
        let now = Timestamp::from_millis(1_700_000_000_000).unwrap();
        Notification::requested(Uuid::from_u128(1), &frame, now, request, now)
    };
    let with = |from| HandlerCommit {
        notifications: vec![notification()],
        ..handling(&of, from, vec![row("a", &[], from)])
    };
    assert_eq!(store.commit(&with(5)).await, Err(StoreError::Fenced));
    assert!(record.of("e").await.unwrap().is_empty());
    store.commit(&with(0)).await.unwrap();
    store.commit(&with(1)).await.unwrap();
    assert_eq!(record.of("e").await.unwrap().len(), 1);
}
