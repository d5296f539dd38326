//! Properties of the pure halves of manager and baker: however the log is cut
//! into batches, by whoever and however often, the outcome is the same.

use std::collections::{BTreeMap, HashMap};

use bakehouse_pipeline::bake::{bake, needs_history};
use bakehouse_pipeline::execute::execute;
use bakehouse_pipeline::ports::{Checkpoint, Verdict};
use bakehouse_pipeline::{Domain, EntityRecord, Event, EventStatus, Frame, Timestamp};
use bakehouse_testkit::counter::{Command, Counter, Document};
use bakehouse_testkit::operations::operation;
use proptest::prelude::*;

/// Commands on a few counters, so that they meet often.
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

fn log(commands: &[(u8, Command)]) -> Vec<Event> {
    let start = 1_700_000_000_000;
    let entries = commands.iter().zip(1_u64..);
    entries
        .map(|((id, command), position)| {
            let time = Timestamp::from_millis(start + i64::try_from(position).expect("small"));
            let operation = operation(&format!("c-{id}"), command);
            Event::stored(position, time.expect("in range"), operation)
        })
        .collect()
}

/// Runs of `cuts` sizes that cover `events`.
fn batches<'a>(events: &'a [Event], cuts: &[usize]) -> Vec<&'a [Event]> {
    let mut rest = events;
    let mut runs = Vec::new();
    let mut sizes = cuts
        .iter()
        .copied()
        .chain(std::iter::repeat(cuts[cuts.len() - 1]));
    while !rest.is_empty() {
        let size = sizes.next().unwrap_or(1).min(rest.len());
        let (run, more) = rest.split_at(size);
        runs.push(run);
        rest = more;
    }
    runs
}

type Records = HashMap<String, EntityRecord>;

/// Executes the whole log in batches and puts the verdicts on it.
fn run(events: &mut [Event], cuts: &[usize]) -> (Records, Checkpoint) {
    let mut records = Records::new();
    let mut checkpoint = Checkpoint::default();
    let mut verdicts = Vec::new();
    for batch in batches(events, cuts) {
        let now = Timestamp::from_millis(1_800_000_000_000).expect("in range");
        let execution = execute::<Counter>(checkpoint, batch, records.clone(), now)
            .expect("the log can be executed");
        assert_eq!(execution.verdicts.len(), batch.len());
        for write in execution.entities {
            let before = records.get(&write.record.id).map(|record| record.position);
            assert_eq!(before, write.expected);
            records.insert(write.record.id.clone(), write.record);
        }
        verdicts.extend(execution.verdicts);
        checkpoint = execution.to;
    }
    for (event, verdict) in events.iter_mut().zip(verdicts) {
        match verdict {
            Verdict::Executed { change } => {
                event.status = EventStatus::Executed;
                event.change = Some(change);
            }
            Verdict::Rejected { reason } => {
                event.status = EventStatus::Rejected;
                event.reason = Some(reason);
            }
        }
    }
    (records, checkpoint)
}

/// Bakes the whole executed log in batches against the final source state:
/// data-baker as far behind orders-manager as can be.
fn bake_all(
    events: &[Event],
    records: &Records,
    cuts: &[usize],
) -> (Vec<Frame>, BTreeMap<String, String>) {
    let mut frames = Vec::new();
    let mut documents = BTreeMap::new();
    let mut from = 0;
    for batch in batches(events, cuts) {
        let wanted = needs_history(batch, records);
        let histories = wanted.into_iter().map(|id| {
            let last = batch.last().map_or(0, |event| event.position);
            let all = events
                .iter()
                .filter(|e| e.entity_id() == id && e.position <= last);
            (id.clone(), all.cloned().collect())
        });
        let histories: HashMap<String, Vec<Event>> = histories.collect();
        let baking = bake::<Counter>(from, batch, records, &histories).expect("it can be baked");
        assert_eq!(baking.frames.len(), batch.len());
        frames.extend(baking.frames);
        for document in baking.documents {
            let is_first = !documents.contains_key(&document.id);
            assert_eq!(
                document.created, is_first,
                "created: no document stands yet"
            );
            documents.insert(document.id, document.body.get().to_owned());
        }
        from = baking.to;
    }
    (frames, documents)
}

/// Everything that there is to a frame.
fn whole(frames: &[Frame]) -> Vec<String> {
    frames.iter().map(|frame| format!("{frame:?}")).collect()
}

fn texts(records: &Records) -> BTreeMap<String, String> {
    let text = |record: &EntityRecord| format!("{record:?}");
    records
        .iter()
        .map(|(id, record)| (id.clone(), text(record)))
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_source_state_does_not_depend_on_how_the_log_is_cut(
        commands in commands(), left in cuts(), right in cuts(),
    ) {
        let (mut one, mut other) = (log(&commands), log(&commands));
        // The same operations, identities included.
        for (a, b) in one.iter().zip(&mut other) { b.operation = a.operation.clone(); }
        let (left, at_left) = run(&mut one, &left);
        let (right, at_right) = run(&mut other, &right);
        prop_assert_eq!(texts(&left), texts(&right));
        prop_assert_eq!(at_left, at_right);
    }

    #[test]
    fn replaying_a_log_with_verdicts_gives_the_same_state(commands in commands(), cuts in cuts()) {
        let mut events = log(&commands);
        let (first, _) = run(&mut events, &cuts);
        let mut again = events.clone();
        let (second, _) = run(&mut again, &[7]);
        prop_assert_eq!(texts(&first), texts(&second));
        let statuses = |events: &[Event]| events.iter().map(|e| e.status).collect::<Vec<_>>();
        prop_assert_eq!(statuses(&events), statuses(&again));
    }

    #[test]
    fn numbers_have_no_gap_and_follow_creation(commands in commands(), cuts in cuts()) {
        let mut events = log(&commands);
        let (records, checkpoint) = run(&mut events, &cuts);
        let mut by_number: Vec<_> = records.values().map(|r| (r.number, r.created_at)).collect();
        by_number.sort_unstable();
        prop_assert!(by_number.is_sorted_by_key(|(_, created)| *created));
        let numbers: Vec<u64> = by_number.iter().map(|(number, _)| *number).collect();
        prop_assert_eq!(numbers, (1..=checkpoint.entities).collect::<Vec<_>>());
    }

    #[test]
    fn every_frame_shows_the_document_as_of_its_position(
        commands in commands(), cuts in cuts(), baked in cuts(),
    ) {
        let mut events = log(&commands);
        let (records, _) = run(&mut events, &cuts);
        let (frames, documents) = bake_all(&events, &records, &baked);
        let mut values: HashMap<&str, i64> = HashMap::new();
        for (event, frame) in events.iter().zip(&frames) {
            let group = frame.group.as_deref();
            let frame: serde_json::Value = serde_json::from_str(frame.body.get()).expect("JSON");
            prop_assert_eq!(&frame["position"], &serde_json::json!(event.position));
            if event.status == EventStatus::Rejected {
                prop_assert_eq!(&frame["type"], "counter.rejected");
                let value = values.get(event.entity_id());
                prop_assert_eq!(group, value.and_then(Counter::group));
                continue;
            }
            let value = values.entry(event.entity_id()).or_default();
            let command = serde_json::from_str(event.operation.payload.get()).expect("a command");
            *value += match command { Command::Add(by) => by, Command::Take(by) => -by };
            let document: Document =
                serde_json::from_value(frame["counter"].clone()).expect("a document");
            prop_assert_eq!(document.position, event.position);
            prop_assert_eq!(document.value, *value);
        }
        let (frames_again, documents_again) = bake_all(&events, &records, &[5]);
        prop_assert_eq!(whole(&frames), whole(&frames_again));
        prop_assert_eq!(documents, documents_again);
    }
}
