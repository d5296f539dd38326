//! Rules for units of work: transactions over all stores. A rule takes empty stores.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::{
    Appended, Checkpoint, EventLog, PresentationReader, PresentationStore, SourceStore, StoreError,
    UnitOfWork, UnitsOfWork,
};

use super::presentation::baking;
use super::source::creation;
use crate::operations::many;

/// Stores under test.
pub struct UnitStores {
    /// Starts units of work.
    pub units: Arc<dyn UnitsOfWork>,
    /// Log, outside the unit.
    pub log: Arc<dyn EventLog>,
    /// Source state, outside the unit.
    pub source: Arc<dyn SourceStore>,
    /// Presentation, outside the unit.
    pub presentation: Arc<dyn PresentationStore>,
    /// Presentation, read outside the unit.
    pub reader: Arc<dyn PresentationReader>,
}

/// Generates the suite's tests: `units_of_work_suite!(name, async { UnitStores { … } })`.
#[macro_export]
macro_rules! units_of_work_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            units_of_work,
            $make,
            [
                writes_are_visible_within_the_unit_and_outside_after_commit,
                a_dropped_unit_leaves_nothing,
                uncommitted_writes_are_not_visible_outside,
                units_run_one_after_the_other,
                a_failed_call_is_rolled_back_alone,
            ]
        );
    };
}

/// Appends three operations, executes one of them, and bakes two frames.
async fn fill(unit: &dyn UnitOfWork) {
    let answers = unit.log().append(&many("a", 3)).await.unwrap();
    assert_eq!(answers[2], Appended::Stored(3));
    let execution = creation(Checkpoint::default(), "a-0", 5);
    unit.source().commit(&execution).await.unwrap();
    unit.presentation().commit(&baking(0, 2)).await.unwrap();
}

/// Returns the positions of log, source state and presentation.
async fn positions(
    log: &dyn EventLog,
    source: &dyn SourceStore,
    reader: &dyn PresentationReader,
) -> (u64, u64, u64) {
    (
        log.head().await.unwrap(),
        source.checkpoint().await.unwrap().position,
        reader.head().await.unwrap().position,
    )
}

impl UnitStores {
    async fn positions(&self) -> (u64, u64, u64) {
        positions(
            self.log.as_ref(),
            self.source.as_ref(),
            self.reader.as_ref(),
        )
        .await
    }
}

/// Writes are visible within the unit at once, and outside after the commit.
pub async fn writes_are_visible_within_the_unit_and_outside_after_commit(stores: UnitStores) {
    stores.presentation.open("e").await.unwrap();
    let unit = stores.units.begin().await.unwrap();
    fill(unit.as_ref()).await;
    let (log, source, reader) = (unit.log(), unit.source(), unit.reader());
    let within = positions(log.as_ref(), source.as_ref(), reader.as_ref()).await;
    assert_eq!(within, (3, 1, 2));
    assert_eq!(source.load(&["a-0"]).await.unwrap().len(), 1);
    drop((log, source, reader));
    unit.commit().await.unwrap();
    assert_eq!(stores.positions().await, (3, 1, 2));
    assert!(stores.reader.document("d-2").await.unwrap().is_some());
}

/// A dropped unit is rolled back; the next one starts from the same state.
pub async fn a_dropped_unit_leaves_nothing(stores: UnitStores) {
    stores.presentation.open("e").await.unwrap();
    for _ in 0..2 {
        let unit = stores.units.begin().await.unwrap();
        fill(unit.as_ref()).await;
        drop(unit);
        assert_eq!(stores.positions().await, (0, 0, 0));
        assert!(stores.source.load(&["a-0"]).await.unwrap().is_empty());
        assert!(stores.reader.document("d-2").await.unwrap().is_none());
    }
    let answers = stores.log.append(&many("b", 1)).await.unwrap();
    assert_eq!(answers, [Appended::Stored(1)]);
}

/// Readers outside see the state before the unit, or wait until it ends.
pub async fn uncommitted_writes_are_not_visible_outside(stores: UnitStores) {
    stores.presentation.open("e").await.unwrap();
    let unit = stores.units.begin().await.unwrap();
    fill(unit.as_ref()).await;
    let (log, reader) = (stores.log.clone(), stores.reader.clone());
    let asked = tokio::spawn(async move {
        let head = log.head().await.unwrap();
        (head, reader.head().await.unwrap().position)
    });
    // Long enough for an answer from adapters whose readers do not wait.
    let _ = tokio::time::timeout(Duration::from_millis(100), stores.log.head()).await;
    drop(unit);
    assert_eq!(asked.await.unwrap(), (0, 0));
}

/// Units run one after the other; writers outside wait, too.
pub async fn units_run_one_after_the_other(stores: UnitStores) {
    stores.presentation.open("e").await.unwrap();
    let first = stores.units.begin().await.unwrap();
    first.log().append(&many("a", 1)).await.unwrap();
    let (units, log) = (stores.units.clone(), stores.log.clone());
    let second = tokio::spawn(async move {
        let unit = units.begin().await.unwrap();
        let head = unit.log().head().await.unwrap();
        unit.log().append(&many("b", 1)).await.unwrap();
        unit.commit().await.unwrap();
        head
    });
    let outside = tokio::spawn(async move { log.append(&many("c", 1)).await.unwrap() });
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!second.is_finished() && !outside.is_finished());
    first.log().append(&many("a", 1)).await.unwrap();
    first.commit().await.unwrap();
    assert!(second.await.unwrap() >= 2);
    outside.await.unwrap();
    let events = stores.log.read(0, 9).await.unwrap();
    let ids: Vec<&str> = events.iter().map(|event| event.entity_id()).collect();
    assert_eq!(ids[..2], ["a-0", "a-0"]);
    assert_eq!(ids.len(), 4);
}

/// A failed call is rolled back; calls before and after it are committed.
pub async fn a_failed_call_is_rolled_back_alone(stores: UnitStores) {
    stores.presentation.open("e").await.unwrap();
    let unit = stores.units.begin().await.unwrap();
    fill(unit.as_ref()).await;
    let stale = creation(Checkpoint::default(), "a-1", 5);
    assert_eq!(unit.source().commit(&stale).await, Err(StoreError::Fenced));
    let late = unit.presentation().commit(&baking(0, 5)).await;
    assert_eq!(late, Err(StoreError::Fenced));
    unit.log().append(&many("b", 1)).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(stores.positions().await, (4, 1, 2));
    assert!(stores.source.load(&["a-1"]).await.unwrap().is_empty());
}
