//! Handlers of facts, as the engine runs them: pure, guarded, and strict about what
//! they have asked for.

use bakehouse_engine::handlers::{FeedEvent, HandlerError, Needs, ReadModel, Rows, read_model};
use bakehouse_engine::ports::StoredRow;
use bakehouse_engine::{Position, to_json};
use bakehouse_testkit::feed_sources;
use serde::{Deserialize, Serialize};
use serde_json::json;

/// teams: how many each team has, and who is in which.
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

    fn needs(fact: &FeedEvent) -> Needs {
        match fact.change.as_str() {
            "joined" => Needs::row(&fact.entity_id),
            "dissolved" => Needs::nothing().and_linked("red"),
            _ => Needs::nothing(),
        }
    }

    fn apply(fact: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
        match fact.change.as_str() {
            "joined" => {
                let team = fact.document::<String>()?.unwrap_or_default();
                rows.put(&fact.entity_id, Row { team });
            }
            "dissolved" => {
                for key in rows.linked("red") {
                    rows.remove(&key);
                }
            }
            "sneaked" => rows.put("somebody", Row { team: "red".into() }),
            other => panic!("{other} is unheard of"),
        }
        Ok(())
    }

    fn links(row: &Row) -> Vec<String> {
        vec![row.team.clone()]
    }
}

fn fact(position: Position, change: &str, id: &str, team: &str) -> FeedEvent {
    feed_sources::event(position, &format!("player.{change}"), id, &json!(team))
}

/// The rows that are there, and those that are not any more, after the facts.
fn after(facts: &[FeedEvent], stored: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
    let teams = read_model::<Teams>();
    let rows = stored.iter().map(|(key, team)| StoredRow {
        key: (*key).into(),
        body: to_json(&json!({ "team": team })).expect("JSON"),
    });
    let work = teams.handle(facts, rows.collect()).expect("handled");
    let writes = work.writes.into_iter().map(|write| {
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
        after(&[fact(1, "joined", "a", "red")], &[]),
        [("a".into(), red)]
    );
    // One joined within the run, one was there, and one has left for another team.
    let run = [
        fact(1, "joined", "a", "red"),
        fact(2, "joined", "b", "blue"),
        fact(3, "dissolved", "x", ""),
    ];
    let before = [("b", "red"), ("c", "red")];
    let expected = [("b".to_owned(), blue), ("c".to_owned(), None)];
    assert_eq!(after(&run, &before), expected);
}

#[test]
fn needs_cover_all_events() {
    let run = [fact(1, "joined", "a", "red"), fact(2, "dissolved", "x", "")];
    let needs = read_model::<Teams>().needs(&run).expect("needs");
    assert_eq!(needs, Needs::row("a").and_linked("red"));
}

#[test]
fn a_row_outside_the_needs_cannot_be_written() {
    let run = [
        fact(1, "joined", "a", "red"),
        fact(2, "sneaked", "b", "red"),
    ];
    let stuck = read_model::<Teams>()
        .handle(&run, Vec::new())
        .expect_err("stuck");
    assert_eq!((stuck.after, stuck.position), (1, 2));
    assert!(stuck.reason.contains("somebody"), "{stuck}");
}

#[test]
fn a_panic_is_a_handler_error() {
    let run = [fact(7, "kidnapped", "a", "red")];
    let stuck = read_model::<Teams>()
        .handle(&run, Vec::new())
        .expect_err("stuck");
    assert_eq!(stuck.after, 0);
    assert!(stuck.to_string().contains("position 7"), "{stuck}");
    assert!(stuck.reason.contains("kidnapped is unheard of"), "{stuck}");
}
