//! Rules for persistent stores: closed and reopened, they have the same content. A rule takes a
//! function that opens the same store, which is empty at first.

use bakehouse_engine::ports::{Appended, Checkpoint, StoreError};
use futures_util::future::BoxFuture;
use std::time::Duration;

use super::lost_answers::AllStores;
use super::notifications::{claim, filled};
use super::presentation::baking;
use super::source::creation;
use crate::operations::many;

/// Opens the store; the previous instance must have been dropped.
pub type Reopen = Box<dyn Fn() -> BoxFuture<'static, AllStores> + Send + Sync>;

/// Generates the suite's tests: `reopening_suite!(name, async { reopen })`.
#[macro_export]
macro_rules! reopening_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            reopening,
            $make,
            [
                the_log_is_the_same_after_reopening,
                the_source_state_is_the_same_after_reopening,
                the_presentation_is_the_same_after_reopening,
                notifications_are_the_same_after_reopening,
                lease_epochs_keep_rising_after_reopening,
            ]
        );
    };
}

/// The reopened log has the same entries and recognises duplicates.
pub async fn the_log_is_the_same_after_reopening(open: Reopen) {
    let batch = many("a", 3);
    let log = open().await.log;
    let epoch = log.epoch().await.unwrap();
    log.append(&batch).await.unwrap();
    let before = log.read(0, 9).await.unwrap();
    drop(log);
    let log = open().await.log;
    assert_eq!(log.epoch().await.unwrap(), epoch);
    let after = log.read(0, 9).await.unwrap();
    assert_eq!(format!("{after:?}"), format!("{before:?}"));
    let more = [batch[2].clone(), many("b", 1).remove(0)];
    let answers = log.append(&more).await.unwrap();
    assert_eq!(answers, [Appended::Duplicate, Appended::Stored(4)]);
}

/// The reopened source state is the same; a commit from before is still fenced.
pub async fn the_source_state_is_the_same_after_reopening(open: Reopen) {
    let stores = open().await;
    stores.log.append(&many("a", 2)).await.unwrap();
    let mut first = creation(Checkpoint::default(), "a-0", 5);
    first.snapshots = vec![first.entities[0].record.clone()];
    stores.source.commit(&first).await.unwrap();
    drop(stores);
    let source = open().await.source;
    assert_eq!(source.checkpoint().await.unwrap(), first.to);
    let record = &first.entities[0].record;
    for found in [
        source.load(&["a-0"]).await,
        source.snapshots(&["a-0"], 1).await,
    ] {
        assert_eq!(
            format!("{:?}", found.unwrap()["a-0"]),
            format!("{record:?}")
        );
    }
    assert_eq!(source.commit(&first).await, Err(StoreError::Fenced));
    let second = creation(first.to, "a-1", 5);
    assert_eq!(source.commit(&second).await, Ok(()));
}

/// The reopened presentation is the same and still belongs to the same log.
pub async fn the_presentation_is_the_same_after_reopening(open: Reopen) {
    let stores = open().await;
    stores.presentation.open("epoch-1").await.unwrap();
    stores.presentation.commit(&baking(0, 4)).await.unwrap();
    let documents = stores.reader.documents(&[1, 2, 3, 4]).await.unwrap();
    let frames = stores.reader.frames(0, 9).await.unwrap();
    drop(stores);
    let AllStores {
        presentation,
        reader,
        ..
    } = open().await;
    let head = reader.head().await.unwrap();
    assert_eq!((head.epoch.as_str(), head.position), ("epoch-1", 4));
    let again = reader.documents(&[1, 2, 3, 4]).await.unwrap();
    assert_eq!(format!("{again:?}"), format!("{documents:?}"));
    let again = reader.frames(0, 9).await.unwrap();
    assert_eq!(format!("{again:?}"), format!("{frames:?}"));
    let other = presentation.open("epoch-2").await;
    assert!(matches!(other, Err(StoreError::Corrupt(_))), "{other:?}");
    assert_eq!(presentation.open("epoch-1").await, Ok(4));
    assert_eq!(presentation.commit(&baking(4, 1)).await, Ok(()));
}

/// A claim lasts until its deadline, across a restart.
pub async fn notifications_are_the_same_after_reopening(open: Reopen) {
    let store = open().await.notifications;
    filled(&store, 2).await;
    let taken = store.take("mail", claim(1, 60, 1)).await.unwrap();
    drop(store);
    let store = open().await.notifications;
    assert_eq!(store.open("log", 9).await, Ok(1));
    let other = store.take("mail", claim(2, 60, 9)).await.unwrap();
    assert_eq!(other.len(), 1);
    assert_ne!(other[0].id, taken[0].id);
    let again = store.take("mail", claim(61, 90, 9)).await.unwrap();
    let counted = again.iter().find(|one| one.id == taken[0].id).unwrap();
    assert_eq!((again.len(), counted.attempts), (2, 2));
}

/// A holder from before the restart is distinguished from a current one.
pub async fn lease_epochs_keep_rising_after_reopening(open: Reopen) {
    let long = Duration::from_secs(60);
    let leases = open().await.leases;
    let first = leases.acquire("work", "a", long).await.unwrap().unwrap();
    leases.release("work", &first).await.unwrap();
    drop(leases);
    let leases = open().await.leases;
    let second = leases.acquire("work", "b", long).await.unwrap().unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(leases.renew("work", &first, long).await, Ok(false));
}
