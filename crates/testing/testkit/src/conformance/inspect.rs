//! Rules for inspectors, which the audit reads with. A rule takes empty stores and their
//! inspectors.

use std::sync::Arc;

use bakehouse_engine::ports::{
    Checkpoint, EventLog, Notifications, Page, PresentationInspector, PresentationReader,
    PresentationStore, SourceInspector, SourceStore,
};

use super::notifications::filled;
use super::presentation::{at, baking};
use super::source::creation;
use crate::operations::many;

/// Stores under test, with their inspectors.
pub struct InspectedStores {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Source state.
    pub source: Arc<dyn SourceStore>,
    /// Notifications.
    pub notifications: Arc<dyn Notifications>,
    /// Presentation, to be written.
    pub presentation: Arc<dyn PresentationStore>,
    /// Presentation, to be read.
    pub reader: Arc<dyn PresentationReader>,
    /// Inspector of the source database.
    pub source_inspector: Arc<dyn SourceInspector>,
    /// Inspector of the presentation database.
    pub presentation_inspector: Arc<dyn PresentationInspector>,
}

/// Generates the suite's tests: `inspect_suite!(name, async { InspectedStores { … } })`.
#[macro_export]
macro_rules! inspect_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            inspect,
            $make,
            [
                empty_stores_hold_nothing,
                documents_have_all_of_their_fields,
                keys_are_paged_in_order,
                snapshots_are_paged_by_entity_and_position,
                notifications_are_paged_by_id,
                entities_without_a_log_entry_are_found,
            ]
        );
    };
}

fn keys<T>(page: &Page<T>) -> Vec<&str> {
    page.iter().map(|(key, _)| key.as_str()).collect()
}

/// Inspectors of empty stores find nothing, and no checkpoint of the notifier.
pub async fn empty_stores_hold_nothing(stores: InspectedStores) {
    let (source, presentation) = (stores.source_inspector, stores.presentation_inspector);
    assert!(source.entities("", 9).await.unwrap().is_empty());
    assert!(source.snapshots(("", 0), 9).await.unwrap().is_empty());
    assert!(source.notifications("", 9).await.unwrap().is_empty());
    assert_eq!(source.notified().await, Ok(None));
    assert!(presentation.document_ids("", 9).await.unwrap().is_empty());
    assert!(presentation.documents(&["a"]).await.unwrap().is_empty());
}

/// Documents come with all fields, including those that readers never see.
pub async fn documents_have_all_of_their_fields(stores: InspectedStores) {
    stores.presentation.open("epoch-1").await.unwrap();
    let mut baking = baking(0, 3);
    baking.documents[1].listed = false;
    stores.presentation.commit(&baking).await.unwrap();
    let inspector = stores.presentation_inspector;
    let found = inspector.documents(&["d-2", "d-3", "nobody"]).await;
    let mut found = found.unwrap();
    assert_eq!(found.len(), 2);
    let hidden = found.remove("d-2").unwrap().expect("readable");
    assert!(!hidden.listed);
    assert_eq!((hidden.number, hidden.position, hidden.version), (2, 2, 4));
    assert_eq!(hidden.created_at, at(2));
    assert_eq!(hidden.body.get(), baking.documents[1].body.get());
    let owned = found.remove("d-3").unwrap().expect("readable");
    assert!(owned.listed);
    assert_eq!(owned.owner.as_deref(), Some("ada"));
}

/// Pages of keys start after a key.
pub async fn keys_are_paged_in_order(stores: InspectedStores) {
    stores.presentation.open("epoch-1").await.unwrap();
    stores.presentation.commit(&baking(0, 5)).await.unwrap();
    let inspector = stores.presentation_inspector;
    let first = inspector.document_ids("", 2).await.unwrap();
    assert_eq!(keys(&first), ["d-1", "d-2"]);
    let rest = inspector.document_ids("d-2", 9).await.unwrap();
    assert_eq!(keys(&rest), ["d-3", "d-4", "d-5"]);
    assert_eq!(rest[0].1, Ok(3));
    stores.log.append(&many("a", 2)).await.unwrap();
    let mut checkpoint = Checkpoint::default();
    for id in ["a-1", "a-0"] {
        let execution = creation(checkpoint, id, 1);
        stores.source.commit(&execution).await.unwrap();
        checkpoint = execution.to;
    }
    let found = stores.source_inspector.entities("", 9).await.unwrap();
    assert_eq!(keys(&found), ["a-0", "a-1"]);
    let rest = stores.source_inspector.entities("a-0", 9).await.unwrap();
    assert_eq!(rest, [("a-1".to_owned(), Ok(1))]);
}

/// Snapshots are ordered by entity, then by position.
pub async fn snapshots_are_paged_by_entity_and_position(stores: InspectedStores) {
    stores.log.append(&many("a", 3)).await.unwrap();
    let mut checkpoint = Checkpoint::default();
    for id in ["b", "a", "c"] {
        let mut execution = creation(checkpoint, id, 1);
        let mut record = execution.entities[0].record.clone();
        execution.snapshots.push(record.clone());
        record.position += 100;
        execution.snapshots.push(record);
        stores.source.commit(&execution).await.unwrap();
        checkpoint = execution.to;
    }
    let inspector = stores.source_inspector;
    let mut all = Vec::new();
    let mut after = (String::new(), 0);
    loop {
        let page = inspector.snapshots((&after.0, after.1), 2).await.unwrap();
        let Some((id, last)) = page.last() else { break };
        after = (id.clone(), last.as_ref().expect("readable").position);
        all.extend(
            page.into_iter()
                .map(|(id, one)| (id, one.unwrap().position)),
        );
    }
    let expected = [
        ("a", 2),
        ("a", 102),
        ("b", 1),
        ("b", 101),
        ("c", 3),
        ("c", 103),
    ];
    let expected = expected.map(|(id, position)| (id.to_owned(), position));
    assert_eq!(all, expected);
}

/// Notifications are ordered by id; the notifier's checkpoint is readable.
pub async fn notifications_are_paged_by_id(stores: InspectedStores) {
    filled(&stores.notifications, 5).await;
    let inspector = stores.source_inspector;
    let first = inspector.notifications("", 3).await.unwrap();
    let last = first[2].0.clone();
    let rest = inspector.notifications(&last, 9).await.unwrap();
    let mut ids = [keys(&first), keys(&rest)].concat();
    assert_eq!(ids.len(), 5);
    assert!(ids.is_sorted());
    ids.dedup();
    assert_eq!(ids.len(), 5);
    let one = first[0].1.as_ref().expect("readable");
    assert_eq!(one.id.to_string(), first[0].0);
    let head = inspector.notified().await.unwrap().expect("a checkpoint");
    assert_eq!((head.epoch.as_str(), head.position), ("log", 1));
}

/// Finds entities whose position holds no entry, or the entry of another entity.
pub async fn entities_without_a_log_entry_are_found(stores: InspectedStores) {
    stores.log.append(&many("a", 2)).await.unwrap();
    let inspector = stores.source_inspector;
    let asked = [("a-0", 1), ("a-1", 1), ("a-0", 9), ("b", 2)];
    let found = inspector.without_entry(&asked).await.unwrap();
    assert_eq!(found, ["a-1", "a-0", "b"]);
    assert_eq!(inspector.inconsistent_fields(0, 2).await, Ok(Vec::new()));
}
