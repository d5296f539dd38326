//! Rules for calls whose answer is lost: cancelled at any micros, and repeated. A rule takes empty
//! stores.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::{
    Appended, Checkpoint, EventLog, Leases, Notifications, PresentationReader, PresentationStore,
    SourceStore, StoreError,
};
use bakehouse_engine::{EntryStatus, Position};

use super::notifications::{notification, recording};
use super::presentation::baking;
use super::source::creation;
use crate::operations::{identities, many};

/// All stores of one system.
pub struct AllStores {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Source state.
    pub source: Arc<dyn SourceStore>,
    /// Presentation, to be written.
    pub presentation: Arc<dyn PresentationStore>,
    /// Presentation, to be read.
    pub reader: Arc<dyn PresentationReader>,
    /// Record of notifications.
    pub notifications: Arc<dyn Notifications>,
    /// Leases.
    pub leases: Arc<dyn Leases>,
}

/// Generates the suite's tests: `lost_answers_suite!(name, async { AllStores { … } })`.
#[macro_export]
macro_rules! lost_answers_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            lost_answers,
            $make,
            [
                a_cancelled_append_is_stored_once_when_repeated,
                a_cancelled_execution_is_stored_once_when_repeated,
                a_cancelled_baking_is_stored_once_when_repeated,
                a_cancelled_recording_is_stored_once_when_repeated,
            ]
        );
    };
}

/// Times in µs after which calls are cancelled: from before anything has been sent to long after
/// the answer has arrived.
const CANCEL_AFTER: [u64; 8] = [0, 50, 200, 500, 1_000, 2_000, 5_000, 200_000];

/// Starts a call and cancels it after `micros`.
async fn cancel<T>(micros: u64, call: impl Future<Output = T>) {
    let _ = tokio::time::timeout(Duration::from_micros(micros), call).await;
}

/// Checks whether a repeated commit has succeeded, now or before.
fn is_settled(answer: &Result<(), StoreError>) -> bool {
    matches!(answer, Ok(()) | Err(StoreError::Fenced))
}

/// A repeated batch is stored once and in its order, even if the first call is still running.
pub async fn a_cancelled_append_is_stored_once_when_repeated(stores: AllStores) {
    let log = stores.log;
    let mut sent = Vec::new();
    for (turn, micros) in CANCEL_AFTER.into_iter().enumerate() {
        let batch = many(&format!("turn-{turn}"), 20);
        cancel(micros, log.append(&batch)).await;
        let answers = log.append(&batch).await.unwrap();
        assert_eq!(answers.len(), 20);
        assert!(!answers.contains(&Appended::Conflict), "{answers:?}");
        sent.extend(batch.iter().map(|operation| operation.operation_id));
        let events = log.read(0, 1_000).await.unwrap();
        assert_eq!(identities(&events), sent, "cancelled after {micros} µs");
        for (answer, event) in answers.iter().zip(&events[turn * 20..]) {
            let there = Appended::Stored(event.position);
            assert!([there, Appended::Duplicate].contains(answer), "{answer:?}");
        }
    }
}

/// A repeated execution is stored completely, and creates no second entity.
pub async fn a_cancelled_execution_is_stored_once_when_repeated(stores: AllStores) {
    let AllStores { log, source, .. } = stores;
    log.append(&many("a", CANCEL_AFTER.len())).await.unwrap();
    let mut from = Checkpoint::default();
    for micros in CANCEL_AFTER {
        let id = format!("a-{}", from.position);
        let execution = creation(from, &id, 5);
        cancel(micros, source.commit(&execution)).await;
        let answer = source.commit(&execution).await;
        assert!(is_settled(&answer), "{answer:?}");
        assert_eq!(source.checkpoint().await.unwrap(), execution.to);
        let found = source.load(&[&id]).await.unwrap();
        assert_eq!(found[&id].number, execution.to.entities);
        let event = log.read(from.position, 1).await.unwrap().remove(0);
        assert_eq!(event.status, EntryStatus::Executed);
        from = execution.to;
    }
}

/// A repeated baking is stored once: documents, frames and checkpoint.
pub async fn a_cancelled_baking_is_stored_once_when_repeated(stores: AllStores) {
    let AllStores {
        presentation,
        reader,
        ..
    } = stores;
    presentation.open("e").await.unwrap();
    for (turn, micros) in (0..).zip(CANCEL_AFTER) {
        let baking = baking(turn * 10, 10);
        cancel(micros, presentation.commit(&baking)).await;
        let answer = presentation.commit(&baking).await;
        assert!(is_settled(&answer), "{answer:?}");
        assert_eq!(reader.head().await.unwrap().position, baking.to);
        let frames = reader.frames(0, 1_000).await.unwrap();
        let positions: Vec<Position> = frames.iter().map(|frame| frame.position).collect();
        assert_eq!(positions, (1..=baking.to).collect::<Vec<_>>());
    }
}

/// A repeated recording adds no second notification.
pub async fn a_cancelled_recording_is_stored_once_when_repeated(stores: AllStores) {
    let store = stores.notifications;
    store.open("log", 0).await.unwrap();
    for (turn, micros) in (0..).zip(CANCEL_AFTER) {
        let recording = recording(turn, vec![notification(turn + 1, "mail", "ada")]);
        cancel(micros, store.record(&recording)).await;
        let answer = store.record(&recording).await;
        assert!(is_settled(&answer), "{answer:?}");
        assert_eq!(store.open("log", 0).await, Ok(turn + 1));
    }
    let found = [
        store.of("e-0").await.unwrap(),
        store.of("e-1").await.unwrap(),
    ];
    assert_eq!(found.concat().len(), CANCEL_AFTER.len());
}
