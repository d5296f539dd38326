//! Rules for event logs. A rule takes an empty log.

use std::sync::Arc;

use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{Appended, EventLog, Selection, Senders, SummaryQuery};
use bakehouse_engine::{EntryStatus, LogEntry, Operation, Position, Timestamp, Verb};

use crate::counter::Command;
use crate::operations::{identities, many, operation, with_identity};

/// Log under test.
pub type Log = Arc<dyn EventLog>;

/// Generates the suite's tests: `event_log_suite!(name, async { … })`.
#[macro_export]
macro_rules! event_log_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            event_log,
            $make,
            [
                positions_are_contiguous_and_in_the_order_given,
                what_is_read_equals_what_was_appended,
                a_repeated_operation_is_stored_once,
                a_repeat_amid_new_ones_leaves_no_gap,
                an_identity_with_other_content_is_a_conflict,
                an_equal_request_is_a_repeat_whatever_was_filled_in,
                two_writers_at_once_leave_no_gap_and_keep_their_orders,
                creation_time_never_decreases,
                reading_is_limited_and_starts_after_a_position,
                history_is_one_entitys_events_up_to_a_position,
                operations_of_one_correlation_are_found,
                summaries_are_pages_without_payloads,
                the_epoch_is_generated_once,
                an_empty_batch_changes_nothing,
                a_batch_of_any_size_is_stored_whole,
                limits_of_nothing_and_of_everything_are_kept,
            ]
        );
    };
}

/// Positions are 1, 2, 3, … in the given order, over several batches.
pub async fn positions_are_contiguous_and_in_the_order_given(log: Log) {
    let operations = many("a", 25);
    for batch in operations.chunks(10) {
        let answers = log.append(batch).await.unwrap();
        assert!(
            answers
                .iter()
                .all(|answer| matches!(answer, Appended::Stored(_)))
        );
    }
    let events = log.read(0, 100).await.unwrap();
    let positions: Vec<_> = events.iter().map(|event| event.position).collect();
    assert_eq!(positions, (1..=25).collect::<Vec<_>>());
    let expected: Vec<_> = operations
        .iter()
        .map(|operation| operation.operation_id)
        .collect();
    assert_eq!(identities(&events), expected);
}

/// Every field of an operation is stored.
pub async fn what_is_read_equals_what_was_appended(log: Log) {
    let mut sent = operation("a", &Command::Add(7));
    sent.causation_id = Some(ids::fresh());
    sent.conflicts_with = Some(ids::fresh());
    log.append(std::slice::from_ref(&sent)).await.unwrap();
    let event = log.find(sent.operation_id).await.unwrap().unwrap();
    assert_eq!(event.status, EntryStatus::Stored);
    assert_eq!(
        (event.execution_time, event.change, event.reason),
        (None, None, None)
    );
    let got = serde_json::to_value(&event.operation).unwrap();
    assert_eq!(got, serde_json::to_value(&sent).unwrap());
    assert_eq!(event.operation.payload.get(), sent.payload.get());
    assert!(log.find(ids::fresh()).await.unwrap().is_none());
}

/// Redelivery of a complete batch changes nothing.
pub async fn a_repeated_operation_is_stored_once(log: Log) {
    let operations = many("a", 5);
    log.append(&operations).await.unwrap();
    let answers = log.append(&operations).await.unwrap();
    assert_eq!(answers, vec![Appended::Duplicate; 5]);
    assert_eq!(log.read(0, 100).await.unwrap().len(), 5);
}

/// A part of the batch was stored before, and one operation occurs twice in the batch.
pub async fn a_repeat_amid_new_ones_leaves_no_gap(log: Log) {
    let mut operations = many("a", 6);
    log.append(&[operations[1].clone(), operations[4].clone()])
        .await
        .unwrap();
    operations.push(operations[0].clone());
    let answers = log.append(&operations).await.unwrap();
    let stored = Appended::Stored;
    let repeat = Appended::Duplicate;
    let expected = [
        stored(3),
        repeat,
        stored(4),
        stored(5),
        repeat,
        stored(6),
        repeat,
    ];
    assert_eq!(answers, expected);
    assert_eq!(log.read(0, 100).await.unwrap().len(), 6);
}

/// The first content stays; the second is answered with `Conflict`, not dropped silently.
pub async fn an_identity_with_other_content_is_a_conflict(log: Log) {
    let identity = ids::fresh();
    let first = with_identity(identity, "a", &Command::Add(1));
    let other = with_identity(identity, "a", &Command::Add(2));
    log.append(std::slice::from_ref(&first)).await.unwrap();
    let new = operation("b", &Command::Add(3));
    let answers = log.append(&[other, new, first]).await.unwrap();
    let expected = [Appended::Conflict, Appended::Stored(2), Appended::Duplicate];
    assert_eq!(answers, expected);
    let event = log.find(identity).await.unwrap().unwrap();
    assert_eq!(event.operation.payload.get(), r#"{"Add":1}"#);
}

/// A repeated request is a duplicate even if a changed setting led to other content. Entries of
/// earlier versions have the hash of the content only.
pub async fn an_equal_request_is_a_repeat_whatever_was_filled_in(log: Log) {
    let first = operation("a", &Command::Add(1));
    let content = first.fingerprint.clone();
    let with = |content: &str, request: &str| Operation {
        fingerprint: Operation::fingerprint_with_request(content, request),
        ..first.clone()
    };
    let answers = log.append(&[with(&content, "r")]).await.unwrap();
    assert_eq!(answers, [Appended::Stored(1)]);
    let again = [
        with("other", "r"),
        first.clone(),
        with(&content, "s"),
        with("other", "s"),
    ];
    let answers = log.append(&again).await.unwrap();
    let (repeat, conflict) = (Appended::Duplicate, Appended::Conflict);
    assert_eq!(answers, [repeat, repeat, repeat, conflict]);
    let earlier = operation("b", &Command::Add(1));
    let answers = log.append(std::slice::from_ref(&earlier)).await.unwrap();
    assert_eq!(answers, [Appended::Stored(2)]);
    let fingerprint = Operation::fingerprint_with_request(&earlier.fingerprint, "r");
    let later = Operation {
        fingerprint,
        ..earlier
    };
    assert_eq!(log.append(&[later]).await.unwrap(), [repeat]);
}

/// Concurrent writers, without lock or lease, leave no gap and keep the order of each.
pub async fn two_writers_at_once_leave_no_gap_and_keep_their_orders(log: Log) {
    let batches = |prefix: &'static str| {
        let log = log.clone();
        tokio::spawn(async move {
            let operations = many(prefix, 200);
            for batch in operations.chunks(20) {
                log.append(batch).await.unwrap();
            }
            operations
                .iter()
                .map(|operation| operation.operation_id)
                .collect::<Vec<_>>()
        })
    };
    let (left, right) = (batches("left"), batches("right"));
    let sent = [left.await.unwrap(), right.await.unwrap()];
    let events = log.read(0, 1_000).await.unwrap();
    assert_eq!(events.len(), 400);
    for ids in sent {
        let mut stored = identities(&events);
        stored.retain(|id| ids.contains(id));
        assert_eq!(stored, ids, "a writer's own order is kept");
    }
}

/// Creation time stays monotonic with clocks that run fast, are set back, or run slow.
pub async fn creation_time_never_decreases(log: Log) {
    let at = |minutes: i64| Timestamp::from_millis(1_700_000_000_123 + minutes * 60_000).unwrap();
    let operations = many("a", 10);
    for (batch, minutes) in operations.chunks(2).zip([60, 0, 59, 61, 0]) {
        log.append_at(batch, at(minutes)).await.unwrap();
    }
    let events = log.read(0, 100).await.unwrap();
    let times: Vec<_> = events.iter().map(|event| event.creation_time).collect();
    let expected = [60, 60, 60, 60, 60, 60, 61, 61, 61, 61].map(at);
    assert_eq!(times, expected);
}

/// An empty batch changes nothing, in an empty log and in a filled one.
pub async fn an_empty_batch_changes_nothing(log: Log) {
    assert_eq!(log.append(&[]).await.unwrap(), []);
    assert_eq!(log.head().await.unwrap(), 0);
    log.append(&many("a", 2)).await.unwrap();
    assert_eq!(log.append(&[]).await.unwrap(), []);
    assert_eq!(log.head().await.unwrap(), 2);
}

/// A batch may have more operations than any stage appends at once, and more bytes than one message
/// of a database protocol may have.
pub async fn a_batch_of_any_size_is_stored_whole(log: Log) {
    let mut count = 0;
    let large: Vec<_> = (0..50)
        .map(|n| operation(&format!("large-{n}"), &"x".repeat(1_024 * 1_024)))
        .collect();
    for mut batch in [many("a", 3_000), large] {
        let repeated = batch[1].clone();
        batch.push(repeated);
        let answers = log.append(&batch).await.unwrap();
        let stored = (count + 1..).take(batch.len() - 1).map(Appended::Stored);
        let expected: Vec<_> = stored.chain([Appended::Duplicate]).collect();
        assert!(answers == expected, "{} of {count}", answers.len());
        count += batch.len() as u64 - 1;
        assert_eq!(log.head().await.unwrap(), count);
    }
    let last = log.read(3_049, 9).await.unwrap().remove(0);
    assert_eq!(last.operation.payload.get().len(), 1_024 * 1_024 + 2);
}

/// All reads accept the limits 0 and `usize::MAX`; nothing follows `Position::MAX`.
pub async fn limits_of_nothing_and_of_everything_are_kept(log: Log) {
    log.append(&many("a", 3)).await.unwrap();
    assert_eq!(log.read(0, 0).await.unwrap().len(), 0);
    assert_eq!(log.read(0, usize::MAX).await.unwrap().len(), 3);
    assert_eq!(log.read(Position::MAX, 9).await.unwrap().len(), 0);
    let history = log.history("a-0", Position::MAX, Position::MAX).await;
    assert_eq!(history.unwrap().len(), 0);
    assert_eq!(log.history("a-0", 0, Position::MAX).await.unwrap().len(), 1);
    let executed = log.executed("a-0", Position::MAX, Position::MAX, 9).await;
    assert_eq!(executed.unwrap().len(), 0);
    assert_eq!(log.parked(Position::MAX, 9).await.unwrap().len(), 0);
    for (limit, expected) in [(0, 0), (usize::MAX, 3)] {
        let query = SummaryQuery::first(Selection::Log, limit);
        assert_eq!(log.summaries(&query).await.unwrap().len(), expected);
    }
    assert!(log.ever_parked(&[]).await.unwrap().is_empty());
}

/// Reads return at most `limit` entries after a position.
pub async fn reading_is_limited_and_starts_after_a_position(log: Log) {
    log.append(&many("a", 10)).await.unwrap();
    let positions = |events: Vec<bakehouse_engine::LogEntry>| {
        events
            .iter()
            .map(|event| event.position)
            .collect::<Vec<_>>()
    };
    assert_eq!(positions(log.read(4, 3).await.unwrap()), [5, 6, 7]);
    assert_eq!(positions(log.read(8, 100).await.unwrap()), [9, 10]);
    assert!(log.read(10, 100).await.unwrap().is_empty());
}

/// The history excludes entries of other entities and later ones.
pub async fn history_is_one_entitys_events_up_to_a_position(log: Log) {
    let add = Command::Add(1);
    let operations: Vec<_> = ["a", "b", "a", "b", "a"]
        .map(|id| operation(id, &add))
        .into();
    log.append(&operations).await.unwrap();
    let history = log.history("a", 0, 4).await.unwrap();
    let positions: Vec<_> = history.iter().map(|event| event.position).collect();
    assert_eq!(positions, [1, 3]);
    let later = log.history("a", 1, 5).await.unwrap();
    let positions: Vec<_> = later.iter().map(|event| event.position).collect();
    assert_eq!(positions, [3, 5]);
    assert!(log.history("c", 0, 100).await.unwrap().is_empty());
}

/// The epoch is not empty and does not change as the log grows.
pub async fn the_epoch_is_generated_once(log: Log) {
    let epoch = log.epoch().await.unwrap();
    log.append(&many("a", 3)).await.unwrap();
    assert_eq!(log.epoch().await.unwrap(), epoch);
    assert!(!epoch.is_empty());
}

/// A correlation includes the first operation and all that it caused, of any entity.
pub async fn operations_of_one_correlation_are_found(log: Log) {
    let mut operations = many("a", 6);
    for operation in &mut operations {
        operation.correlation_id = operation.operation_id;
    }
    let first = operations[1].operation_id;
    for caused in [3, 4] {
        operations[caused].correlation_id = first;
        operations[caused].causation_id = Some(first);
    }
    operations[5].terms.on_behalf_of = Some("somebody".into());
    log.append(&operations).await.unwrap();
    let correlated = async |id, senders, after, limit| {
        let query = SummaryQuery {
            senders,
            after,
            ..SummaryQuery::first(Selection::Correlation(id), limit)
        };
        positions(&log.summaries(&query).await.unwrap())
    };
    assert_eq!(correlated(first, Senders::Any, 0, 9).await, [2, 4, 5]);
    assert_eq!(correlated(first, Senders::Any, 2, 1).await, [4]);
    assert_eq!(correlated(first, Senders::Any, 0, 2).await, [2, 4]);
    let own = operations[0].operation_id;
    assert_eq!(correlated(own, Senders::Any, 0, 9).await, [1]);
    assert!(
        correlated(ids::fresh(), Senders::Any, 0, 9)
            .await
            .is_empty()
    );
    // A correlation id given by the client is no operation's identity.
    let outside = ids::fresh();
    let mut more = many("b", 2);
    for operation in &mut more {
        operation.correlation_id = outside;
    }
    more[1].terms.owner = Some("ada".into());
    log.append(&more).await.unwrap();
    assert_eq!(correlated(outside, Senders::Any, 0, 9).await, [7, 8]);
    let (adas, bobs) = (Senders::Owner("ada"), Senders::Owner("bob"));
    assert_eq!(correlated(outside, adas, 0, 9).await, [8]);
    assert!(correlated(outside, bobs, 0, 9).await.is_empty());
    let events = log.read(3, 9).await.unwrap();
    assert_eq!(events[0].operation.causation_id, Some(first));
    assert_eq!(
        events[2].operation.terms.on_behalf_of.as_deref(),
        Some("somebody")
    );
}

/// Summaries are paged for every selection and sender, and carry no payload.
pub async fn summaries_are_pages_without_payloads(log: Log) {
    let mut operations: Vec<_> = ["a", "b", "a", "a", "b"]
        .map(|id| operation(id, &Command::Add(1)))
        .into();
    operations[2].terms.owner = Some("ada".into());
    operations[3].terms.owner = Some("bob".into());
    operations[4].operation = Verb::Insert;
    log.append(&operations).await.unwrap();
    let page = async |selection, senders, after, limit| {
        let query = SummaryQuery {
            senders,
            after,
            ..SummaryQuery::first(selection, limit)
        };
        log.summaries(&query).await.unwrap()
    };
    let ids = [operations[4].operation_id, operations[0].operation_id];
    let (any, ada) = (Senders::Any, Senders::Owner("ada"));
    let ada_or_none = Senders::OwnerOrNone("ada");
    for (selection, senders, after, limit, expected) in [
        (Selection::Log, any, 0, 9, &[1, 2, 3, 4, 5][..]),
        (Selection::Log, any, 2, 1, &[3]),
        (Selection::Operations(&ids), any, 0, 9, &[1, 5]),
        (Selection::Operations(&ids), any, 0, 1, &[1]),
        (Selection::Operations(&[]), any, 0, 9, &[]),
        (Selection::Operations(&ids), ada, 0, 9, &[]),
        (Selection::Entity("a"), any, 0, 9, &[1, 3, 4]),
        (Selection::Entity("a"), ada, 0, 9, &[3]),
        (Selection::Entity("a"), ada_or_none, 0, 9, &[1, 3]),
        (Selection::Entity("a"), ada_or_none, 1, 9, &[3]),
        (Selection::Entity("nobody"), any, 0, 9, &[]),
        (Selection::Creation("b"), any, 0, 9, &[5]),
        (Selection::Parked(None), any, 0, 9, &[]),
        (Selection::Parked(Some("a")), any, 0, 9, &[]),
    ] {
        let found = page(selection, senders, after, limit).await;
        assert_eq!(
            positions(&found),
            expected,
            "{selection:?} {senders:?} {after}"
        );
        let has_none = |event: &LogEntry| event.operation.payload.get() == "null";
        assert!(found.iter().all(has_none), "{selection:?}");
    }
    let whole = log.find(operations[0].operation_id).await.unwrap();
    let (selection, whole) = (Selection::Entity("a"), whole.unwrap());
    let found = page(selection, any, 0, 1).await.pop().unwrap();
    assert_eq!(found.operation.fingerprint, whole.operation.fingerprint);
    assert_eq!(found.creation_time, whole.creation_time);
}

fn positions(events: &[LogEntry]) -> Vec<Position> {
    events.iter().map(|event| event.position).collect()
}
