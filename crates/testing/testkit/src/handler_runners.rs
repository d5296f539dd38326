//! Handlers for tests of the engine: a read model and a process over the feed of counters and a
//! second feed.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::handlers::{
    Effect, FeedEvent, HandlerError, Needs, ProcessManager, ReadModel, Rows,
};
use bakehouse_engine::model::notification::Request;
use bakehouse_engine::ports::{
    EventLog, FeedSource, Head, RowPage, RowReader, ScheduleError, Scheduler, StoreError,
};
use bakehouse_engine::{Frame, Operation, Position, to_json};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::counter::{Command, Counter};

/// Read model `tally`: counts the events of both feeds in one row.
pub struct Tally;

/// Number of events, by feed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Events of the service's own feed.
    pub counters: u64,
    /// Events of the other service's feed.
    pub guests: u64,
}

impl ReadModel for Tally {
    const NAME: &'static str = "tally";
    const VERSION: u32 = 1;
    const FEEDS: &'static [&'static str] = &["counter", "guest"];
    type Row = Row;

    fn needs(_: &FeedEvent) -> Needs {
        Needs::row("all")
    }

    fn apply(event: &FeedEvent, rows: &mut Rows<Row>) -> Result<(), HandlerError> {
        let mut row = rows.get_or_default("all");
        match event.feed.as_str() {
            "counter" => row.counters += 1,
            _ => row.guests += 1,
        }
        rows.put("all", row);
        Ok(())
    }

    fn links(_: &Row) -> Vec<String> {
        vec!["rows".into()]
    }
}

/// Returns the row of the read model [`Tally`]; `None` if nothing can be read yet.
pub async fn tally(rows: &dyn RowReader) -> Option<Row> {
    let page = RowPage {
        link: "rows",
        after: None,
        limit: 10,
    };
    let found = rows.rows(Tally::NAME, &page).await.ok()?;
    serde_json::from_str(found.first()?.body.get()).ok()
}

/// Process `thirds`: issues a command and two notifications for every third change of a counter
/// other than `echo`; counts guests in the same row.
pub struct Thirds;

impl ProcessManager for Thirds {
    const NAME: &'static str = "thirds";
    const FEEDS: &'static [&'static str] = &["counter", "guest"];
    type State = Row;

    fn needs(_: &FeedEvent) -> Needs {
        Needs::row("seen")
    }

    fn react(event: &FeedEvent, state: &mut Rows<Row>) -> Result<Vec<Effect>, HandlerError> {
        let mut seen = state.get_or_default("seen");
        let is_original = event.entity_id != "echo" && event.feed == "counter" && event.is_change();
        match event.feed.as_str() {
            "guest" => seen.guests += 1,
            _ => seen.counters += u64::from(is_original),
        }
        let is_third = is_original && seen.counters.is_multiple_of(3);
        state.put("seen", seen);
        if !is_third {
            return Ok(Vec::new());
        }
        let notify = |text: &str| -> Result<Effect, HandlerError> {
            Ok(Effect::Notify(Request {
                lane: "log".into(),
                channel: "log",
                to: "us".into(),
                message: to_json(&text)?,
            }))
        };
        let echo = Effect::command::<Counter>("echo", &Command::Add(1))?;
        Ok(vec![echo, notify("once")?, notify("and once more")?])
    }
}

/// Feed of another service with this number of events.
pub struct Guests(pub u64);

#[async_trait]
impl FeedSource for Guests {
    async fn head(&self) -> Result<Head, StoreError> {
        // Start position 0, so that handlers process all events.
        Ok(Head {
            epoch: "elsewhere".into(),
            position: 0,
        })
    }

    async fn frames(&self, after: Position, limit: usize) -> Result<Vec<Frame>, StoreError> {
        let frame = |position: Position| {
            let body = json!({
                "type": "guest.came", "position": position, "guest_id": "g",
                "operation_id": "0190f5fe-0000-7000-8000-000000000001",
                "at": "2026-01-01T12:00:00.000Z", "guest": {},
            });
            Frame {
                position,
                kind: "guest.came".into(),
                entity_id: "g".into(),
                owner: None,
                group: None,
                left_group: None,
                body: to_json(&body).expect("JSON"),
            }
        };
        Ok((after + 1..=self.0).take(limit).map(frame).collect())
    }

    fn is_live(&self) -> bool {
        true
    }
}

/// Scheduler that appends to the log directly; the answer may be lost.
pub struct Direct(pub Arc<dyn EventLog>);

#[async_trait]
impl Scheduler for Direct {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        let stored = self.0.append(std::slice::from_ref(operation)).await;
        let lost = |error: StoreError| ScheduleError::Unconfirmed(error.to_string());
        stored.map(|_| ()).map_err(lost)
    }
}
