//! Rules for source stores. A rule takes an empty log and its empty source store.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::{
    Checkpoint, EntityWrite, EventLog, Execution, ResolvedEntry, Selection, SourceStore,
    StoreError, SummaryQuery, Verdict,
};
use bakehouse_engine::{EntityRecord, EntryStatus, LogEntry, Rejection, Timestamp, Verb, to_json};

use crate::operations::many;

/// Store under test, with its log.
pub type Source = (Arc<dyn EventLog>, Arc<dyn SourceStore>);

/// Generates the suite's tests: `source_suite!(name, async { (log, source) })`.
#[macro_export]
macro_rules! source_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            source,
            $make,
            [
                a_new_store_is_empty,
                a_commit_is_seen_whole,
                parked_entries_are_found_until_they_are_resolved,
                executed_entries_are_read_in_pages,
                a_commit_from_elsewhere_is_fenced_and_changes_nothing,
                an_entity_at_another_position_fences_the_whole_commit,
                a_verdict_once_given_stays,
                the_latest_snapshot_up_to_a_position_is_found,
                of_two_concurrent_commits_one_succeeds,
                an_empty_commit_changes_nothing,
                a_commit_of_any_size_is_seen_whole,
            ]
        );
    };
}

fn record(id: &str, number: u64, position: u64, state: i64) -> EntityRecord {
    let time = Timestamp::from_millis(1_700_000_000_123).unwrap();
    EntityRecord {
        id: id.into(),
        owner: number.is_multiple_of(2).then(|| format!("owner-{number}")),
        number,
        position,
        version: 1,
        created_at: time,
        updated_at: time,
        state: to_json(&serde_json::json!({ "value": state })).unwrap(),
    }
}

fn executed() -> Verdict {
    Verdict::Executed {
        change: "raised".into(),
    }
}

/// Returns the execution of one entry, which creates an entity.
#[must_use]
pub fn creation(from: Checkpoint, id: &str, value: i64) -> Execution {
    let to = Checkpoint {
        position: from.position + 1,
        entities: from.entities + 1,
        ..from
    };
    Execution {
        from,
        to,
        executed_at: Timestamp::now(),
        entities: vec![EntityWrite {
            record: record(id, to.entities, to.position, value),
            expected: None,
        }],
        verdicts: vec![executed()],
        resolved: Vec::new(),
        snapshots: Vec::new(),
    }
}

/// A new store is at position 0 and has no entity.
pub async fn a_new_store_is_empty((_, source): Source) {
    assert_eq!(source.checkpoint().await.unwrap(), Checkpoint::default());
    assert!(source.load(&["a"]).await.unwrap().is_empty());
}

/// A commit stores entities, verdicts and the checkpoint together.
pub async fn a_commit_is_seen_whole((log, source): Source) {
    log.append(&many("a", 3)).await.unwrap();
    let mut execution = creation(Checkpoint::default(), "a-0", 5);
    execution.to.position = 3;
    execution.verdicts = vec![
        executed(),
        Verdict::Rejected(Rejection::new("no").with_code("never")),
        Verdict::Executed {
            change: "lowered".into(),
        },
    ];
    source.commit(&execution).await.unwrap();
    assert_eq!(source.checkpoint().await.unwrap(), execution.to);
    let found = source.load(&["a-0", "nobody"]).await.unwrap();
    assert_eq!(found.len(), 1);
    let (got, sent) = (&found["a-0"], &execution.entities[0].record);
    assert_eq!(got.state.get(), sent.state.get());
    assert_eq!((got.number, got.position, got.version), (1, 1, 1));
    assert_eq!(
        (got.created_at, got.updated_at),
        (sent.created_at, sent.updated_at)
    );
    let events = log.read(0, 9).await.unwrap();
    let changes: Vec<_> = events.iter().map(|event| event.change.as_deref()).collect();
    assert_eq!(changes, [Some("raised"), None, Some("lowered")]);
    assert_eq!(events[1].status, EntryStatus::Rejected);
    assert_eq!(
        events[1].rejection(),
        Rejection::new("no").with_code("never")
    );
    assert!(
        events
            .iter()
            .all(|event| event.execution_time == Some(execution.executed_at))
    );
}

fn parked(reason: &str) -> Verdict {
    let reason = reason.to_owned();
    Verdict::Parked { reason }
}

/// Parked entries are found by entity and in total until they are resolved.
pub async fn parked_entries_are_found_until_they_are_resolved((log, source): Source) {
    let mut operations = many("a", 4);
    for (operation, id) in operations.iter_mut().zip(["a", "b", "a", "a"]) {
        operation.entity_id = id.to_owned();
    }
    log.append(&operations).await.unwrap();
    let first = Execution {
        from: Checkpoint::default(),
        to: Checkpoint {
            position: 3,
            parked: 3,
            ..Checkpoint::default()
        },
        executed_at: Timestamp::now(),
        entities: Vec::new(),
        verdicts: vec![parked("x"), parked("y"), parked("behind x")],
        resolved: Vec::new(),
        snapshots: Vec::new(),
    };
    source.commit(&first).await.unwrap();
    assert_eq!(source.checkpoint().await.unwrap(), first.to);
    let at = |events: &[LogEntry]| events.iter().map(|e| e.position).collect::<Vec<_>>();
    assert_eq!(at(&log.parked(0, 9).await.unwrap()), [1, 2, 3]);
    assert_eq!(at(&log.parked(1, 1).await.unwrap()), [2]);
    assert_eq!(
        at(&log.ever_parked(&["a", "nobody"]).await.unwrap()),
        [1, 3]
    );
    assert!(log.ever_parked(&["nobody"]).await.unwrap().is_empty());
    let event = &log.read(0, 1).await.unwrap()[0];
    assert_eq!(event.status, EntryStatus::Parked);
    assert_eq!(event.parked.as_deref(), Some("x"));
    assert_eq!((event.execution_time, event.resolved_by), (None, None));

    let mut second = creation(first.to, "a", 5);
    second.to.parked = 1;
    let resolve = |position, verdict| ResolvedEntry {
        position,
        by: 4,
        verdict,
    };
    let refused = Verdict::Rejected(Rejection::new("no"));
    // The last one has no effect: its entry has a verdict already.
    second.resolved = vec![
        resolve(1, refused),
        resolve(3, executed()),
        resolve(1, executed()),
    ];
    source.commit(&second).await.unwrap();
    assert_eq!(source.checkpoint().await.unwrap().parked, 1);
    assert_eq!(at(&log.parked(0, 9).await.unwrap()), [2]);
    let ever_parked = log.ever_parked(&["b", "a"]).await.unwrap();
    assert_eq!(at(&ever_parked), [1, 2, 3], "resolved ones too, in order");
    assert_eq!(ever_parked[0].status, EntryStatus::Rejected);
    assert_eq!(ever_parked[0].reason.as_deref(), Some("no"));
    assert_eq!(ever_parked[0].parked.as_deref(), Some("x"));
    assert_eq!(ever_parked[0].resolved_by, Some(4));
    assert_eq!(ever_parked[0].execution_time, Some(second.executed_at));
    assert_eq!(ever_parked[2].status, EntryStatus::Executed);
    assert_eq!(ever_parked[2].change.as_deref(), Some("raised"));
    assert_eq!(log.head().await.unwrap(), 4);
}

/// Pages of executed entries exclude rejected and parked ones; other selections are exact, too.
pub async fn executed_entries_are_read_in_pages((log, source): Source) {
    let mut operations = many("a", 5);
    for operation in &mut operations[..4] {
        operation.entity_id = "a".to_owned();
    }
    operations[1].operation = Verb::Insert;
    log.append(&operations).await.unwrap();
    let refused = Verdict::Rejected(Rejection::new("no"));
    let verdicts = vec![executed(), refused, parked("x"), executed(), executed()];
    let execution = Execution {
        from: Checkpoint::default(),
        to: Checkpoint {
            position: 5,
            parked: 1,
            ..Checkpoint::default()
        },
        executed_at: Timestamp::now(),
        entities: Vec::new(),
        verdicts,
        resolved: Vec::new(),
        snapshots: Vec::new(),
    };
    source.commit(&execution).await.unwrap();
    let at = |events: &[LogEntry]| events.iter().map(|e| e.position).collect::<Vec<_>>();
    for (after, up_to, limit, expected) in [
        (0, 9, 9, &[1, 4][..]),
        (1, 9, 9, &[4]),
        (0, 3, 9, &[1]),
        (0, 9, 1, &[1]),
        (4, 9, 9, &[]),
    ] {
        let found = log.executed("a", after, up_to, limit).await.unwrap();
        assert_eq!(at(&found), expected, "{after} to {up_to}");
        let has_payload = |event: &LogEntry| event.operation.payload.get() != "null";
        assert!(found.iter().all(has_payload));
    }
    for (selection, expected) in [
        (Selection::Creation("a"), &[][..]),
        (Selection::Parked(None), &[3]),
        (Selection::Parked(Some("a")), &[3]),
        (Selection::Parked(Some("a-4")), &[]),
    ] {
        let found = log
            .summaries(&SummaryQuery::first(selection, 9))
            .await
            .unwrap();
        assert_eq!(at(&found), expected, "{selection:?}");
    }
}

/// A commit from an old or a future checkpoint is fenced, as after a pause of the instance.
pub async fn a_commit_from_elsewhere_is_fenced_and_changes_nothing((log, source): Source) {
    log.append(&many("a", 3)).await.unwrap();
    let first = creation(Checkpoint::default(), "a-0", 5);
    source.commit(&first).await.unwrap();
    let stale = creation(Checkpoint::default(), "a-1", 6);
    assert_eq!(source.commit(&stale).await, Err(StoreError::Fenced));
    let mut ahead = creation(first.to, "a-1", 6);
    ahead.from.position += 1;
    assert_eq!(source.commit(&ahead).await, Err(StoreError::Fenced));
    assert_eq!(source.checkpoint().await.unwrap(), first.to);
    assert!(source.load(&["a-1"]).await.unwrap().is_empty());
    let events = log.read(1, 9).await.unwrap();
    assert!(
        events
            .iter()
            .all(|event| event.status == EntryStatus::Stored)
    );
}

/// A wrong expected position of one entity fences the commit, even at the right checkpoint.
pub async fn an_entity_at_another_position_fences_the_whole_commit((log, source): Source) {
    log.append(&many("a", 3)).await.unwrap();
    let first = creation(Checkpoint::default(), "a-0", 5);
    source.commit(&first).await.unwrap();
    for expected in [None, Some(9)] {
        let mut next = creation(first.to, "a-1", 6);
        let mut second = next.entities[0].clone();
        second.record.id = "a-0".into();
        second.expected = expected;
        next.entities.push(second);
        assert_eq!(
            source.commit(&next).await,
            Err(StoreError::Fenced),
            "{expected:?}"
        );
    }
    assert_eq!(source.checkpoint().await.unwrap(), first.to);
    assert!(source.load(&["a-1"]).await.unwrap().is_empty());
}

/// A second verdict changes nothing, as when the source state is rebuilt from the log. Only a
/// resolution gives a parked entry another one.
pub async fn a_verdict_once_given_stays((log, source): Source) {
    log.append(&many("a", 3)).await.unwrap();
    let rejected = || Verdict::Rejected(Rejection::new("no").with_code("never"));
    let judged = |from, verdicts| Execution {
        verdicts,
        // The verdicts apply to the entries after the checkpoint, which does not move.
        to: Checkpoint {
            position: 0,
            ..from
        },
        entities: Vec::new(),
        ..creation(from, "a", 5)
    };
    let start = Checkpoint::default();
    let first = judged(start, vec![executed(), rejected(), parked("x")]);
    source.commit(&first).await.unwrap();
    let given = log.read(0, 9).await.unwrap();
    let statuses: Vec<_> = given.iter().map(|event| event.status).collect();
    let (done, refused) = (EntryStatus::Executed, EntryStatus::Rejected);
    assert_eq!(statuses, [done, refused, EntryStatus::Parked]);
    for verdicts in [
        vec![rejected(), parked("y"), executed()],
        vec![parked("y"), executed(), rejected()],
        vec![executed(), executed(), executed()],
    ] {
        let mut again = judged(start, verdicts);
        again.executed_at = first.executed_at.after(Duration::from_secs(1));
        source.commit(&again).await.unwrap();
        let events = log.read(0, 9).await.unwrap();
        assert_eq!(outcomes(&events), outcomes(&given));
    }
}

/// Returns all fields of the entries that a verdict may change, as text.
fn outcomes(events: &[LogEntry]) -> Vec<String> {
    let outcome = |event: &LogEntry| {
        let LogEntry {
            status,
            execution_time,
            resolved_by,
            ..
        } = event;
        let texts = [&event.change, &event.reason, &event.code, &event.parked];
        format!("{status:?} {execution_time:?} {resolved_by:?} {texts:?}")
    };
    events.iter().map(outcome).collect()
}

/// An empty commit is fenced like any other.
pub async fn an_empty_commit_changes_nothing((log, source): Source) {
    log.append(&many("a", 1)).await.unwrap();
    let first = creation(Checkpoint::default(), "a-0", 5);
    let empty = |from| Execution {
        to: from,
        entities: Vec::new(),
        verdicts: Vec::new(),
        ..creation(from, "", 0)
    };
    source.commit(&empty(first.from)).await.unwrap();
    assert_eq!(source.checkpoint().await.unwrap(), first.from);
    source.commit(&first).await.unwrap();
    source.commit(&empty(first.to)).await.unwrap();
    assert_eq!(source.checkpoint().await.unwrap(), first.to);
    let stale = source.commit(&empty(first.from)).await;
    assert_eq!(stale, Err(StoreError::Fenced));
    assert!(source.load(&[]).await.unwrap().is_empty());
}

/// A commit may have more entities than any stage writes at once, and more bytes than a document of
/// a database may have.
pub async fn a_commit_of_any_size_is_seen_whole((log, source): Source) {
    log.append(&many("a", 2_040)).await.unwrap();
    let mut from = Checkpoint::default();
    for (count, size) in [(2_000, 10), (40, 512 * 1_024)] {
        let mut execution = creation(from, "", 0);
        execution.to.position = from.position + count;
        execution.to.entities = from.entities + count;
        execution.entities.clear();
        for number in from.position + 1..=execution.to.position {
            let mut record = record(&format!("a-{number}"), number, number, 1);
            record.state = to_json(&serde_json::json!({ "text": "x".repeat(size) })).unwrap();
            execution.entities.push(EntityWrite {
                record,
                expected: None,
            });
        }
        execution.verdicts = vec![executed(); count as usize];
        source.commit(&execution).await.unwrap();
        from = execution.to;
        assert_eq!(source.checkpoint().await.unwrap(), from);
    }
    let ids: Vec<String> = (1..=2_040).map(|number| format!("a-{number}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let found = source.load(&ids).await.unwrap();
    assert_eq!(found.len(), 2_040);
    assert!(found["a-2040"].state.get().len() > 512 * 1_024);
    let events = log.read(0, 9_999).await.unwrap();
    assert!(
        events
            .iter()
            .all(|event| event.status == EntryStatus::Executed)
    );
}

/// Two concurrent instances: one commits at each checkpoint, and the other one is fenced.
pub async fn of_two_concurrent_commits_one_succeeds((log, source): Source) {
    log.append(&many("a", 40)).await.unwrap();
    let race = |name: &'static str| {
        let source = source.clone();
        tokio::spawn(async move {
            let mut won = 0;
            for turn in 0..40 {
                let from = source.checkpoint().await.unwrap();
                if from.position == 40 {
                    break;
                }
                let execution = creation(from, &format!("{name}-{turn}"), 1);
                match source.commit(&execution).await {
                    Ok(()) => won += 1,
                    Err(error) => assert_eq!(error, StoreError::Fenced),
                }
            }
            won
        })
    };
    let (left, right) = (race("left"), race("right"));
    let won = left.await.unwrap() + right.await.unwrap();
    let end = source.checkpoint().await.unwrap();
    assert_eq!((end.position, end.entities), (won, won));
    assert!(won > 0);
}

/// Reads return each entity's latest snapshot up to a position; storing a snapshot twice changes
/// nothing.
pub async fn the_latest_snapshot_up_to_a_position_is_found((log, source): Source) {
    log.append(&many("a", 2)).await.unwrap();
    let mut first = creation(Checkpoint::default(), "a", 5);
    first.snapshots = vec![record("a", 1, 2, 20), record("b", 2, 3, 30)];
    source.commit(&first).await.unwrap();
    let mut second = creation(first.to, "b", 5);
    second.snapshots = vec![record("a", 1, 2, 20), record("a", 1, 7, 70)];
    source.commit(&second).await.unwrap();
    let found = async |up_to| {
        let found = source.snapshots(&["a", "b", "nobody"], up_to).await;
        let mut found: Vec<_> = found.unwrap().into_values().collect();
        found.sort_unstable_by_key(|record| record.number);
        found
            .iter()
            .map(|record| (record.position, record.state.get().to_owned()))
            .collect::<Vec<_>>()
    };
    let state = |value: i64| to_json(&serde_json::json!({ "value": value })).unwrap();
    let a = |position, value| (position, state(value).get().to_owned());
    assert_eq!(found(1).await, []);
    assert_eq!(found(2).await, [a(2, 20)]);
    assert_eq!(found(6).await, [a(2, 20), a(3, 30)]);
    assert_eq!(found(7).await, [a(7, 70), a(3, 30)]);
    let whole = source.snapshots(&["b"], 9).await.unwrap().remove("b");
    let whole = whole.expect("a snapshot");
    assert_eq!(
        (whole.version, whole.owner.as_deref()),
        (1, Some("owner-2"))
    );
}
