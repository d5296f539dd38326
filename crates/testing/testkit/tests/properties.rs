//! Properties of the pure functions of manager and baker: the outcome does not depend on how the
//! log is cut into batches, or on how often it is replayed.

mod pure_engine;

use std::collections::HashMap;

use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{Appended, EventLog};
use bakehouse_engine::{Domain, EntryStatus, LogEntry, Timestamp};
use bakehouse_memory::MemoryLog;
use bakehouse_testkit::cases::cases;
use bakehouse_testkit::counter::{Command, Counter, Document};
use bakehouse_testkit::operations::{operation, with_identity};
use proptest::prelude::*;
use pure_engine::{PureEngine, frame_texts};
use uuid::Uuid;

/// Commands on a few counters, so that several affect the same one.
fn commands() -> impl Strategy<Value = Vec<(u8, Command)>> {
    let command = prop_oneof![
        (1..9_i64).prop_map(Command::Add),
        (1..9_i64).prop_map(Command::Take),
    ];
    proptest::collection::vec((0..5_u8, command), 1..60)
}

/// Sizes of batches; the last one repeats.
fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(1..12_usize, 1..12)
}

fn log(commands: &[(u8, Command)]) -> Vec<LogEntry> {
    let start = 1_700_000_000_000;
    let entries = commands.iter().zip(1_u64..);
    entries
        .map(|((id, command), position)| {
            let time = Timestamp::from_millis(start + i64::try_from(position).expect("small"));
            let operation = operation(&format!("c-{id}"), command);
            LogEntry::stored(position, time.expect("in range"), operation)
        })
        .collect()
}

/// Deliveries of a few identities, each with one of a few contents.
fn deliveries() -> impl Strategy<Value = Vec<(u8, i64)>> {
    proptest::collection::vec((0..6_u8, 0..3_i64), 1..40)
}

proptest! {
    #![proptest_config(cases(400))]

    /// For any number of deliveries and any batches the first content is stored, and every delivery
    /// is answered according to it.
    #[test]
    fn an_identity_is_stored_once_and_stays_what_it_was(
        deliveries in deliveries(), cuts in cuts(),
    ) {
        let identity = |which: u8| Uuid::from_u128(u128::from(which) + 1);
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let log = MemoryLog::default();
        let (mut rest, mut sizes) = (deliveries.as_slice(), cuts.iter().chain(std::iter::repeat(&cuts[0])));
        let mut answers = Vec::new();
        while !rest.is_empty() {
            let (batch, more) = rest.split_at(rest.len().min(*sizes.next().expect("a size")));
            let one = |(which, by): &(u8, i64)| {
                with_identity(identity(*which), &format!("c-{which}"), &Command::Add(*by))
            };
            let batch: Vec<_> = batch.iter().map(one).collect();
            answers.extend(runtime.block_on(log.append(&batch)).expect("appended"));
            rest = more;
        }
        let mut first: Vec<(u8, i64)> = Vec::new();
        for ((which, by), answer) in deliveries.iter().zip(&answers) {
            let expected = match first.iter().find(|(known, _)| known == which) {
                Some((_, known)) if known == by => Appended::Duplicate,
                Some(_) => Appended::Conflict,
                None => {
                    first.push((*which, *by));
                    Appended::Stored(first.len() as u64)
                }
            };
            prop_assert_eq!(answer, &expected);
        }
        let stored = runtime.block_on(log.read(0, 99)).expect("events");
        prop_assert_eq!(stored.len(), first.len());
        for (event, (which, by)) in stored.iter().zip(&first) {
            prop_assert_eq!(event.operation.operation_id, identity(*which));
            prop_assert_eq!(event.operation.payload.get(), format!("{{\"Add\":{by}}}"));
        }
    }

    /// A conflict has an identity of its own, which is the same for the same content.
    #[test]
    fn a_conflict_has_a_stable_identity_of_its_own(which in 0..6_u8, by: i64, other: i64) {
        let identity = Uuid::from_u128(u128::from(which));
        let conflict = |by| with_identity(identity, "a", &Command::Add(by)).into_conflict();
        let one = conflict(by);
        prop_assert_eq!(one.conflicts_with, Some(identity));
        prop_assert_ne!(one.operation_id, identity);
        prop_assert_eq!(one.operation_id, conflict(by).operation_id);
        prop_assert_eq!(one.operation_id == conflict(other).operation_id, by == other);
    }

    /// An identity is determined by the subject and the key alone.
    #[test]
    fn each_key_has_one_identity(
        subject in ".{0,4}", other_subject in ".{0,4}", key in ".{0,4}", other_key in ".{0,4}",
    ) {
        let one = ids::issued_for_key(&subject, &key);
        prop_assert_eq!(one, ids::issued_for_key(&subject, &key));
        let is_same = (&subject, &key) == (&other_subject, &other_key);
        prop_assert_eq!(one == ids::issued_for_key(&other_subject, &other_key), is_same);
        // The boundary between subject and key must matter.
        let moved = ids::issued_for_key(&format!("{subject}{key}"), "");
        prop_assert_eq!(one == moved, key.is_empty());
    }

    #[test]
    fn the_source_state_does_not_depend_on_how_the_log_is_cut(
        commands in commands(), left in cuts(), right in cuts(),
    ) {
        let events = log(&commands);
        let left = PureEngine::<Counter>::new(events.clone()).executed(&left);
        let right = PureEngine::<Counter>::new(events).executed(&right);
        prop_assert_eq!(left.texts(), right.texts());
        prop_assert_eq!(left.checkpoint, right.checkpoint);
    }

    #[test]
    fn replaying_a_log_with_verdicts_gives_the_same_state(commands in commands(), cuts in cuts()) {
        let first = PureEngine::<Counter>::new(log(&commands)).executed(&cuts);
        let second = first.unexecuted().executed(&[7]);
        prop_assert_eq!(first.texts(), second.texts());
        prop_assert_eq!(first.statuses(), second.statuses());
    }

    #[test]
    fn numbers_have_no_gap_and_follow_creation(commands in commands(), cuts in cuts()) {
        let engine = PureEngine::<Counter>::new(log(&commands)).executed(&cuts);
        let records = engine.records.values();
        let mut by_number: Vec<_> = records.map(|r| (r.number, r.created_at)).collect();
        by_number.sort_unstable();
        prop_assert!(by_number.is_sorted_by_key(|(_, created)| *created));
        let numbers: Vec<u64> = by_number.iter().map(|(number, _)| *number).collect();
        prop_assert_eq!(numbers, (1..=engine.checkpoint.entities).collect::<Vec<_>>());
    }

    #[test]
    fn every_frame_shows_the_document_as_of_its_position(
        commands in commands(), cuts in cuts(), baked in cuts(),
    ) {
        let engine = PureEngine::<Counter>::new(log(&commands)).executed(&cuts);
        let (frames, documents) = engine.baked(&baked);
        let mut values: HashMap<&str, i64> = HashMap::new();
        for (event, frame_sent) in engine.events.iter().zip(&frames) {
            let group = frame_sent.group.as_deref();
            let frame: serde_json::Value = serde_json::from_str(frame_sent.body.get()).expect("JSON");
            prop_assert_eq!(&frame["position"], &serde_json::json!(event.position));
            if event.status == EntryStatus::Rejected {
                prop_assert_eq!(&frame["type"], "counter.rejected");
                let value = values.get(event.entity_id());
                prop_assert_eq!(group, value.and_then(Counter::group));
                continue;
            }
            let is_new = !values.contains_key(event.entity_id());
            let value = values.entry(event.entity_id()).or_default();
            let before = Counter::group(value).filter(|_| !is_new).map(str::to_owned);
            let command = serde_json::from_str(event.operation.payload.get()).expect("a command");
            *value += match command { Command::Add(by) => by, Command::Take(by) => -by };
            // The former group is compared only for changes that may change it.
            let may_change = frame_sent.kind == "counter.lowered";
            let left = before.filter(|group| may_change && Counter::group(value) != Some(group));
            prop_assert_eq!(&frame_sent.left_group, &left);
            let document: Document =
                serde_json::from_value(frame["counter"].clone()).expect("a document");
            prop_assert_eq!(document.position, event.position);
            prop_assert_eq!(document.value, *value);
        }
        let (frames_again, documents_again) = engine.baked(&[5]);
        prop_assert_eq!(frame_texts(&frames), frame_texts(&frames_again));
        prop_assert_eq!(&documents, &documents_again);
        let (frames_from_log, documents_from_log) = engine.baked_from_the_log(&baked);
        prop_assert_eq!(frame_texts(&frames), frame_texts(&frames_from_log));
        prop_assert_eq!(documents, documents_from_log);
    }
}
