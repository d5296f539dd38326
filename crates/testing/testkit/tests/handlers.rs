//! Handlers as the engine runs them: pure functions whose panics are caught, and which may access
//! only the rows that they declared as needs.

use bakehouse_engine::handlers::{FeedEvent, HandlerError, Needs, ReadModel, Rows, read_model};
use bakehouse_engine::ports::StoredRow;
use bakehouse_engine::{Position, to_json};
use bakehouse_testkit::feed_sources;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Read model `teams`: the team of each player.
struct Teams;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Row {
    team: String,
}

impl ReadModel for Teams {
    const NAME: &'static str = "teams";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["player"];
    type Row = Row;

    fn needs(event: &FeedEvent) -> Needs {
        match event.change.as_str() {
            "joined" => Needs::row(&event.entity_id),
            "dissolved" => Needs::nothing().and_linked("red"),
            _ => Needs::nothing(),
        }
    }

    fn apply(event: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
        match event.change.as_str() {
            "joined" => {
                let team = event.document::<String>()?.unwrap_or_default();
                rows.put(&event.entity_id, Row { team });
            }
            "dissolved" => {
                for key in rows.linked("red") {
                    rows.remove(&key);
                }
            }
            "sneaked" => rows.put("somebody", Row { team: "red".into() }),
            other => panic!("unknown change: {other}"),
        }
        Ok(())
    }

    fn links(row: &Row) -> Vec<String> {
        vec![row.team.clone()]
    }
}

fn event(position: Position, change: &str, id: &str, team: &str) -> FeedEvent {
    feed_sources::event(position, &format!("player.{change}"), id, &json!(team))
}

/// Returns the rows that the events write or remove.
fn writes_of(events: &[FeedEvent], stored: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    let teams = read_model::<Teams>();
    let rows = stored.iter().map(|(key, team)| StoredRow {
        key: (*key).into(),
        body: to_json(&json!({ "team": team })).expect("JSON"),
    });
    let output = teams.handle(events, rows.collect()).expect("handled");
    let writes = output.writes.into_iter().map(|write| {
        let body = write.body.map(|body| body.get().to_owned());
        (write.key, body)
    });
    writes.collect()
}

#[test]
fn rows_are_found_by_what_they_are_linked_to_now() {
    let red = Some(r#"{"team":"red"}"#.to_owned());
    let blue = Some(r#"{"team":"blue"}"#.to_owned());
    assert_eq!(
        writes_of(&[event(1, "joined", "a", "red")], &[]),
        [("a".into(), red)]
    );
    // One player joined within the batch, one was there before, and one has left for another team.
    let batch = [
        event(1, "joined", "a", "red"),
        event(2, "joined", "b", "blue"),
        event(3, "dissolved", "x", ""),
    ];
    let before = [("b", "red"), ("c", "red")];
    let expected = [("b".to_owned(), blue), ("c".to_owned(), None)];
    assert_eq!(writes_of(&batch, &before), expected);
}

#[test]
fn needs_cover_all_events() {
    let batch = [
        event(1, "joined", "a", "red"),
        event(2, "dissolved", "x", ""),
    ];
    let needs = read_model::<Teams>().needs(&batch).expect("needs");
    assert_eq!(needs, Needs::row("a").and_linked("red"));
}

#[test]
fn a_row_outside_the_needs_cannot_be_written() {
    let batch = [
        event(1, "joined", "a", "red"),
        event(2, "sneaked", "b", "red"),
    ];
    let error = read_model::<Teams>()
        .handle(&batch, Vec::new())
        .expect_err("a handler error");
    assert_eq!((error.after, error.position), (1, 2));
    assert!(error.reason.contains("somebody"), "{error}");
}

#[test]
fn a_panic_is_a_handler_error() {
    let batch = [event(7, "kidnapped", "a", "red")];
    let error = read_model::<Teams>()
        .handle(&batch, Vec::new())
        .expect_err("a handler error");
    assert_eq!(error.after, 0);
    assert!(error.to_string().contains("position 7"), "{error}");
    assert!(
        error.reason.contains("unknown change: kidnapped"),
        "{error}"
    );
}
