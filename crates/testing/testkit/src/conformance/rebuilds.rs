//! Rules for stores with a live and a shadow slot. A rule takes empty stores.

use std::sync::Arc;

use bakehouse_engine::ports::{
    Checkpoint, EventLog, ListQuery, PresentationReader, PresentationStore, RebuildState,
    ShadowStores, SourceStore, StoreError,
};
use bakehouse_engine::{EntryStatus, to_json};
use serde_json::json;

use super::presentation::{FACETS, baking};
use super::source::creation;
use crate::operations::many;

/// Presentation and source state under test, with their shadow stores.
pub struct RebuildStores {
    /// Live presentation, to be written.
    pub presentation: Arc<dyn PresentationStore>,
    /// Live presentation, to be read.
    pub reader: Arc<dyn PresentationReader>,
    /// Shadow stores of the presentation.
    pub presentations: Arc<dyn ShadowStores<dyn PresentationStore>>,
    /// Log of the source state.
    pub log: Arc<dyn EventLog>,
    /// Live source state.
    pub source: Arc<dyn SourceStore>,
    /// Shadow stores of the source state.
    pub sources: Arc<dyn ShadowStores<dyn SourceStore>>,
}

/// Generates the suite's tests: `rebuilds_suite!(name, async { RebuildStores { … } })`.
#[macro_export]
macro_rules! rebuilds_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            rebuilds,
            $make,
            [
                one_rebuild_runs_at_a_time,
                a_shadow_store_is_read_after_the_swap,
                a_swap_requires_equal_positions,
                an_abandoned_rebuild_leaves_nothing,
                nothing_of_the_replaced_store_is_left,
                entities_are_rebuilt_in_a_shadow_store,
                a_late_commit_or_swap_changes_nothing,
            ]
        );
    };
}

async fn remove_obsolete<S: ?Sized + Send + Sync>(rebuilds: &dyn ShadowStores<S>) {
    while rebuilds.remove_obsolete().await.unwrap() {}
}

/// A second request while a rebuild is in progress returns that rebuild.
pub async fn one_rebuild_runs_at_a_time(store: RebuildStores) {
    let rebuilds = &store.presentations;
    let none = rebuilds.last().await.unwrap();
    assert_eq!((none.rebuild_id, none.in_progress()), (0, None));
    assert_eq!(rebuilds.request().await.unwrap().in_progress(), Some(1));
    assert_eq!(rebuilds.request().await.unwrap().in_progress(), Some(1));
    rebuilds.abandon(1, "no more").await.unwrap();
    let ended = rebuilds.last().await.unwrap();
    assert_eq!(ended.state, RebuildState::Abandoned);
    assert_eq!(ended.reason.as_deref(), Some("no more"));
    rebuilds.abandon(1, "again").await.unwrap();
    assert_eq!(rebuilds.last().await.unwrap(), ended);
    let next = rebuilds.request().await.unwrap();
    assert_eq!((next.in_progress(), next.reason), (Some(2), None));
    rebuilds.abandon(1, "too late").await.unwrap();
    assert_eq!(rebuilds.last().await.unwrap().in_progress(), Some(2));
    // The source state has rebuilds of its own.
    assert_eq!(store.sources.last().await.unwrap().rebuild_id, 0);
}

/// Lists, filters and frames come from the shadow store after the swap; several rebuilds in a row.
pub async fn a_shadow_store_is_read_after_the_swap(store: RebuildStores) {
    store.presentation.open("e").await.unwrap();
    store.presentation.commit(&baking(0, 6)).await.unwrap();
    for rebuild_id in 1..=3 {
        let at = 6 + 2 * (rebuild_id - 1);
        assert_eq!(
            store.presentations.request().await.unwrap().in_progress(),
            Some(rebuild_id)
        );
        let shadow = store.presentations.shadow(rebuild_id).await.unwrap();
        assert_eq!(shadow.open("e").await, Ok(0));
        let mut all = baking(0, at);
        for document in &mut all.documents {
            let body = json!({ "round": rebuild_id, "colour": "red", "number": document.number });
            document.body = to_json(&body).unwrap();
        }
        shadow.commit(&all).await.unwrap();
        let before = store.reader.document("d-1").await.unwrap().unwrap();
        assert!(
            !before
                .body
                .get()
                .contains(&format!("\"round\":{rebuild_id}}}"))
        );
        assert_eq!(store.presentations.progress(rebuild_id).await, Ok((at, at)));
        store.presentations.swap(rebuild_id, at).await.unwrap();
        remove_obsolete(store.presentations.as_ref()).await;
        let last = store.presentations.last().await.unwrap();
        assert_eq!(
            (last.rebuild_id, last.state),
            (rebuild_id, RebuildState::Done)
        );
        let after = store.reader.document("d-1").await.unwrap().unwrap();
        assert!(
            after
                .body
                .get()
                .contains(&format!("\"round\":{rebuild_id}}}"))
        );
        assert_eq!(store.reader.head().await.unwrap().position, at);
        let mut query = ListQuery::newest(99);
        query.facets.push((FACETS[0], "red".into()));
        assert_eq!(store.reader.list(&query).await.unwrap().len() as u64, at);
        assert_eq!(store.reader.frames(0, 99).await.unwrap().len() as u64, at);
        assert_eq!(store.presentation.open("e").await, Ok(at));
        store.presentation.commit(&baking(at, 2)).await.unwrap();
    }
    assert_eq!(store.reader.frames(0, 99).await.unwrap().len(), 12);
}

/// A swap before the shadow store has reached the live one, or at another position, is fenced.
pub async fn a_swap_requires_equal_positions(store: RebuildStores) {
    store.presentation.open("e").await.unwrap();
    store.presentation.commit(&baking(0, 5)).await.unwrap();
    let rebuilds = &store.presentations;
    assert_eq!(rebuilds.swap(1, 5).await, Err(StoreError::Fenced));
    rebuilds.request().await.unwrap();
    let shadow = rebuilds.shadow(1).await.unwrap();
    shadow.open("e").await.unwrap();
    shadow.commit(&baking(0, 3)).await.unwrap();
    for at in [3, 5] {
        assert_eq!(rebuilds.swap(1, at).await, Err(StoreError::Fenced));
    }
    shadow.commit(&baking(3, 2)).await.unwrap();
    assert_eq!(rebuilds.swap(2, 5).await, Err(StoreError::Fenced));
    assert_eq!(rebuilds.last().await.unwrap().in_progress(), Some(1));
    store.presentation.commit(&baking(5, 1)).await.unwrap();
    assert_eq!(rebuilds.swap(1, 5).await, Err(StoreError::Fenced));
    assert_eq!(store.reader.head().await.unwrap().position, 6);
    shadow.commit(&baking(5, 1)).await.unwrap();
    assert_eq!(rebuilds.swap(1, 6).await, Ok(()));
}

/// A rebuild after an abandoned one starts with an empty shadow store.
pub async fn an_abandoned_rebuild_leaves_nothing(store: RebuildStores) {
    store.presentation.open("e").await.unwrap();
    store.presentation.commit(&baking(0, 2)).await.unwrap();
    let rebuilds = &store.presentations;
    rebuilds.request().await.unwrap();
    let shadow = rebuilds.shadow(1).await.unwrap();
    shadow.open("e").await.unwrap();
    shadow.commit(&baking(0, 2)).await.unwrap();
    rebuilds.abandon(1, "no more").await.unwrap();
    assert_eq!(rebuilds.swap(1, 2).await, Err(StoreError::Fenced));
    assert!(matches!(rebuilds.shadow(1).await, Err(StoreError::Fenced)));
    remove_obsolete(rebuilds.as_ref()).await;
    assert_eq!(store.reader.frames(0, 9).await.unwrap().len(), 2);
    rebuilds.request().await.unwrap();
    let shadow = rebuilds.shadow(2).await.unwrap();
    assert_eq!(shadow.open("e").await, Ok(0));
    remove_obsolete(rebuilds.as_ref()).await;
    shadow.commit(&baking(0, 2)).await.unwrap();
    assert_eq!(rebuilds.swap(2, 2).await, Ok(()));
}

/// Documents that only the replaced store had are gone.
pub async fn nothing_of_the_replaced_store_is_left(store: RebuildStores) {
    store.presentation.open("e").await.unwrap();
    let mut first = baking(0, 3);
    first.documents[2].id = "never again".into();
    store.presentation.commit(&first).await.unwrap();
    store.presentations.request().await.unwrap();
    let shadow = store.presentations.shadow(1).await.unwrap();
    shadow.open("e").await.unwrap();
    shadow.commit(&baking(0, 3)).await.unwrap();
    store.presentations.swap(1, 3).await.unwrap();
    remove_obsolete(store.presentations.as_ref()).await;
    let reader = &store.reader;
    assert!(reader.document("never again").await.unwrap().is_none());
    assert!(reader.document("d-3").await.unwrap().is_some());
    let list = reader.list(&ListQuery::newest(9)).await.unwrap();
    assert_eq!(list.len(), 3);
}

/// Entities, snapshots and counts are rebuilt; verdicts in the log do not change.
pub async fn entities_are_rebuilt_in_a_shadow_store(store: RebuildStores) {
    store.log.append(&many("a", 2)).await.unwrap();
    let first = creation(Checkpoint::default(), "a-0", 5);
    store.source.commit(&first).await.unwrap();
    store.sources.request().await.unwrap();
    let shadow = store.sources.shadow(1).await.unwrap();
    assert_eq!(shadow.checkpoint().await.unwrap(), Checkpoint::default());
    let mut again = creation(Checkpoint::default(), "a-0", 6);
    again.snapshots = vec![again.entities[0].record.clone()];
    shadow.commit(&again).await.unwrap();
    let events = store.log.read(0, 9).await.unwrap();
    assert_eq!(events[0].execution_time, Some(first.executed_at));
    assert_eq!(events[1].status, EntryStatus::Stored);
    let value = async || {
        let found = store.source.load(&["a-0"]).await.unwrap();
        found["a-0"].state.get().to_owned()
    };
    assert!(value().await.contains('5'));
    assert!(
        store
            .source
            .snapshots(&["a-0"], 9)
            .await
            .unwrap()
            .is_empty()
    );
    store.sources.swap(1, 1).await.unwrap();
    remove_obsolete(store.sources.as_ref()).await;
    assert!(value().await.contains('6'));
    assert_eq!(store.source.snapshots(&["a-0"], 9).await.unwrap().len(), 1);
    let next = creation(store.source.checkpoint().await.unwrap(), "a-1", 7);
    store.source.commit(&next).await.unwrap();
    let events = store.log.read(0, 9).await.unwrap();
    assert_eq!(events[1].status, EntryStatus::Executed);
}

/// A writer of a shadow store that is live by now can neither commit nor swap.
pub async fn a_late_commit_or_swap_changes_nothing(store: RebuildStores) {
    store.presentation.open("e").await.unwrap();
    store.presentation.commit(&baking(0, 2)).await.unwrap();
    let rebuilds = &store.presentations;
    rebuilds.request().await.unwrap();
    let late = rebuilds.shadow(1).await.unwrap();
    late.open("e").await.unwrap();
    late.commit(&baking(0, 2)).await.unwrap();
    rebuilds.swap(1, 2).await.unwrap();
    remove_obsolete(rebuilds.as_ref()).await;
    assert!(late.commit(&baking(2, 1)).await.is_err());
    assert_eq!(rebuilds.swap(1, 2).await, Err(StoreError::Fenced));
    assert_eq!(store.reader.head().await.unwrap().position, 2);
    assert_eq!(store.presentation.open("e").await, Ok(2));
    store.presentation.commit(&baking(2, 1)).await.unwrap();
    assert_eq!(store.reader.frames(0, 9).await.unwrap().len(), 3);
}
