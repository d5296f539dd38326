//! Rules for calls whose answer nobody heard: given up at any moment, and repeated. A rule
//! takes empty stores.

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

/// The stores of one system.
pub struct Stores {
    /// The log.
    pub log: Arc<dyn EventLog>,
    /// Its source state.
    pub source: Arc<dyn SourceStore>,
    /// Its presentation, to be written.
    pub presentation: Arc<dyn PresentationStore>,
    /// Its presentation, to be read.
    pub reader: Arc<dyn PresentationReader>,
    /// Its record of notifications.
    pub notifications: Arc<dyn Notifications>,
    /// Its leases.
    pub leases: Arc<dyn Leases>,
}

/// Writes the suite's tests: `lost_suite!(name, async { Stores { … } })`.
#[macro_export]
macro_rules! lost_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            lost,
            $make,
            [
                an_append_that_was_given_up_is_there_once_when_repeated,
                an_execution_that_was_given_up_is_there_once_when_repeated,
                a_baking_that_was_given_up_is_there_once_when_repeated,
                a_recording_that_was_given_up_is_there_once_when_repeated,
            ]
        );
    };
}

/// Moments at which calls are given up: from before anything has been sent to long after
/// the answer has come.
const MOMENTS: [u64; 8] = [0, 50, 200, 500, 1_000, 2_000, 5_000, 200_000];

/// Begins a call, and hears no answer.
async fn abandon<T>(moment: u64, call: impl Future<Output = T>) {
    let _ = tokio::time::timeout(Duration::from_micros(moment), call).await;
}

/// Tells whether a repeated commit has succeeded, now or before.
fn is_settled(answer: &Result<(), StoreError>) -> bool {
    matches!(answer, Ok(()) | Err(StoreError::Fenced))
}

/// A repeat keeps the order of the batch, whether or not the first call was still under way.
pub async fn an_append_that_was_given_up_is_there_once_when_repeated(stores: Stores) {
    let log = stores.log;
    let mut sent = Vec::new();
    for (turn, moment) in MOMENTS.into_iter().enumerate() {
        let batch = many(&format!("turn-{turn}"), 20);
        abandon(moment, log.append(&batch)).await;
        let answers = log.append(&batch).await.unwrap();
        assert_eq!(answers.len(), 20);
        assert!(!answers.contains(&Appended::Conflict), "{answers:?}");
        sent.extend(batch.iter().map(|operation| operation.operation_id));
        let events = log.read(0, 1_000).await.unwrap();
        assert_eq!(identities(&events), sent, "given up after {moment} µs");
        for (answer, event) in answers.iter().zip(&events[turn * 20..]) {
            let there = Appended::Stored(event.position);
            assert!([there, Appended::Duplicate].contains(answer), "{answer:?}");
        }
    }
}

/// Whole, and without a second entity.
pub async fn an_execution_that_was_given_up_is_there_once_when_repeated(stores: Stores) {
    let Stores { log, source, .. } = stores;
    log.append(&many("a", MOMENTS.len())).await.unwrap();
    let mut from = Checkpoint::default();
    for moment in MOMENTS {
        let id = format!("a-{}", from.position);
        let execution = creation(from, &id, 5);
        abandon(moment, source.commit(&execution)).await;
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

/// Documents, frames and checkpoint.
pub async fn a_baking_that_was_given_up_is_there_once_when_repeated(stores: Stores) {
    let Stores {
        presentation,
        reader,
        ..
    } = stores;
    presentation.open("e").await.unwrap();
    for (turn, moment) in (0..).zip(MOMENTS) {
        let baking = baking(turn * 10, 10);
        abandon(moment, presentation.commit(&baking)).await;
        let answer = presentation.commit(&baking).await;
        assert!(is_settled(&answer), "{answer:?}");
        assert_eq!(reader.head().await.unwrap().position, baking.to);
        let frames = reader.frames(0, 1_000).await.unwrap();
        let positions: Vec<Position> = frames.iter().map(|frame| frame.position).collect();
        assert_eq!(positions, (1..=baking.to).collect::<Vec<_>>());
    }
}

/// Repeating a recording tells nobody twice.
pub async fn a_recording_that_was_given_up_is_there_once_when_repeated(stores: Stores) {
    let store = stores.notifications;
    store.open("log", 0).await.unwrap();
    for (turn, moment) in (0..).zip(MOMENTS) {
        let recording = recording(turn, vec![notification(turn + 1, "mail", "ada")]);
        abandon(moment, store.record(&recording)).await;
        let answer = store.record(&recording).await;
        assert!(is_settled(&answer), "{answer:?}");
        assert_eq!(store.open("log", 0).await, Ok(turn + 1));
    }
    let found = [
        store.of("e-0").await.unwrap(),
        store.of("e-1").await.unwrap(),
    ];
    assert_eq!(found.concat().len(), MOMENTS.len());
}
