//! Rules of transactions over the whole of a store. A rule takes an empty store.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::{
    Appended, Checkpoint, EventLog, PresentationReader, PresentationStore, SourceStore, StoreError,
    UnitOfWork, UnitsOfWork,
};

use super::presentation::baking;
use super::source::creation;
use crate::operations::many;

/// The store under test.
pub struct Whole {
    /// Begins the transactions.
    pub units: Arc<dyn UnitsOfWork>,
    /// The log, from outside.
    pub log: Arc<dyn EventLog>,
    /// The source state, from outside.
    pub source: Arc<dyn SourceStore>,
    /// The presentation, from outside.
    pub presentation: Arc<dyn PresentationStore>,
    /// The presentation, read from outside.
    pub reader: Arc<dyn PresentationReader>,
}

/// Writes the suite's tests: `units_of_work_suite!(name, async { Whole { … } })`.
#[macro_export]
macro_rules! units_of_work_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            units_of_work,
            $make,
            [
                what_was_written_is_read_within_and_stands_once_committed,
                what_was_dropped_was_never_there,
                nobody_else_sees_what_is_not_committed,
                one_after_the_other,
                a_call_that_failed_undoes_itself_alone,
            ]
        );
    };
}

/// Three operations, one of them executed, and frames.
async fn fill(unit: &dyn UnitOfWork) {
    let answers = unit.log().append(&many("a", 3)).await.unwrap();
    assert_eq!(answers[2], Appended::Stored(3));
    let execution = creation(Checkpoint::default(), "a-0", 5);
    unit.source().commit(&execution).await.unwrap();
    unit.presentation().commit(&baking(0, 2)).await.unwrap();
}

/// Positions of log, execution and presentation.
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

impl Whole {
    async fn positions(&self) -> (u64, u64, u64) {
        positions(
            self.log.as_ref(),
            self.source.as_ref(),
            self.reader.as_ref(),
        )
        .await
    }
}

/// The whole unit is visible within it, and stands at once when committed.
pub async fn what_was_written_is_read_within_and_stands_once_committed(whole: Whole) {
    whole.presentation.open("e").await.unwrap();
    let unit = whole.units.begin().await.unwrap();
    fill(unit.as_ref()).await;
    let (log, source, reader) = (unit.log(), unit.source(), unit.reader());
    let within = positions(log.as_ref(), source.as_ref(), reader.as_ref()).await;
    assert_eq!(within, (3, 1, 2));
    assert_eq!(source.load(&["a-0"]).await.unwrap().len(), 1);
    drop((log, source, reader));
    unit.commit().await.unwrap();
    assert_eq!(whole.positions().await, (3, 1, 2));
    assert!(whole.reader.document("d-2").await.unwrap().is_some());
}

/// The next unit begins where the dropped one began.
pub async fn what_was_dropped_was_never_there(whole: Whole) {
    whole.presentation.open("e").await.unwrap();
    for _ in 0..2 {
        let unit = whole.units.begin().await.unwrap();
        fill(unit.as_ref()).await;
        drop(unit);
        assert_eq!(whole.positions().await, (0, 0, 0));
        assert!(whole.source.load(&["a-0"]).await.unwrap().is_empty());
        assert!(whole.reader.document("d-2").await.unwrap().is_none());
    }
    let answers = whole.log.append(&many("b", 1)).await.unwrap();
    assert_eq!(answers, [Appended::Stored(1)]);
}

/// Readers outside see the state before it, now or when it is over.
pub async fn nobody_else_sees_what_is_not_committed(whole: Whole) {
    whole.presentation.open("e").await.unwrap();
    let unit = whole.units.begin().await.unwrap();
    fill(unit.as_ref()).await;
    let (log, reader) = (whole.log.clone(), whole.reader.clone());
    let asked = tokio::spawn(async move {
        let head = log.head().await.unwrap();
        (head, reader.head().await.unwrap().position)
    });
    // Long enough for an answer, where there is one meanwhile.
    let _ = tokio::time::timeout(Duration::from_millis(100), whole.log.head()).await;
    drop(unit);
    assert_eq!(asked.await.unwrap(), (0, 0));
}

/// Writers from outside wait, too.
pub async fn one_after_the_other(whole: Whole) {
    whole.presentation.open("e").await.unwrap();
    let first = whole.units.begin().await.unwrap();
    first.log().append(&many("a", 1)).await.unwrap();
    let (units, log) = (whole.units.clone(), whole.log.clone());
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
    let events = whole.log.read(0, 9).await.unwrap();
    let ids: Vec<&str> = events.iter().map(|event| event.entity_id()).collect();
    assert_eq!(ids[..2], ["a-0", "a-0"]);
    assert_eq!(ids.len(), 4);
}

/// Calls before and after the failed one stand.
pub async fn a_call_that_failed_undoes_itself_alone(whole: Whole) {
    whole.presentation.open("e").await.unwrap();
    let unit = whole.units.begin().await.unwrap();
    fill(unit.as_ref()).await;
    let stale = creation(Checkpoint::default(), "a-1", 5);
    assert_eq!(unit.source().commit(&stale).await, Err(StoreError::Fenced));
    let late = unit.presentation().commit(&baking(0, 5)).await;
    assert_eq!(late, Err(StoreError::Fenced));
    unit.log().append(&many("b", 1)).await.unwrap();
    unit.commit().await.unwrap();
    assert_eq!(whole.positions().await, (4, 1, 2));
    assert!(whole.source.load(&["a-1"]).await.unwrap().is_empty());
}
