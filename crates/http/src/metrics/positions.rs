//! How far the stages have come, and how far behind they are: looked up in the
//! stores when somebody asks, so that it is true of all processes together.

use std::time::Duration;

use actix_web::web;
use bakehouse_engine::ports::StoreError;
use bakehouse_engine::{Position, Timestamp};
use metrics::gauge;

use crate::cached::Cached;
use crate::state::AppState;

/// How long the stores may take; what is not known then is `NaN`.
const PATIENCE: Duration = Duration::from_secs(1);

/// Time for which the positions are kept: however many ask, the stores are asked once.
const LIFETIME: Duration = Duration::from_secs(1);

/// Looks the positions up.
pub(crate) struct Positions {
    state: web::Data<AppState>,
    looked: Cached<()>,
}

/// Where the stages stand; not known is `NaN`.
struct Found {
    stored: f64,
    executed: f64,
    baked: f64,
    parked: f64,
    manager: Lag,
    baker: Lag,
}

/// How far a stage is behind the one before it.
#[derive(Clone, Copy)]
struct Lag {
    events: f64,
    /// Age of the oldest event that the stage has yet to do.
    seconds: f64,
}

impl Positions {
    pub(super) fn new(state: web::Data<AppState>) -> Self {
        Self {
            state,
            looked: Cached::new(LIFETIME),
        }
    }

    /// Sets the gauges, unless that has just been done.
    pub(super) async fn look(&self) {
        self.looked.get(self.set()).await;
    }

    async fn set(&self) {
        let fed = self.state.feed.head_position();
        gauge!("bakehouse_position", "stage" => "fed").set(number(fed));
        let found = tokio::time::timeout(PATIENCE, self.find()).await;
        // A figure from before would be taken for one of now.
        let found = found.ok().and_then(Result::ok).unwrap_or(Found::NOTHING);
        found.set();
    }

    async fn find(&self) -> Result<Found, StoreError> {
        // From the last stage to the first: the other way round a busy stage
        // would seem to be ahead of the one before it.
        let baked = self.state.presentation.head_if_any().await?;
        let baked = baked.map_or(0, |head| head.position);
        let executed = self.state.progress.checkpoint().await?;
        let stored = self.state.log.head().await?;
        Ok(Found {
            stored: number(stored),
            executed: number(executed.position),
            baked: number(baked),
            parked: number(executed.parked),
            manager: self.lag(executed.position, stored).await?,
            baker: self.lag(baked, executed.position).await?,
        })
    }

    /// Of a stage that has come to `done`, where the one before it is at `head`.
    async fn lag(&self, done: Position, head: Position) -> Result<Lag, StoreError> {
        let mut lag = Lag {
            events: number(head.saturating_sub(done)),
            seconds: 0.0,
        };
        if done < head {
            let next = self.state.log.read(done, 1).await?.pop();
            let stored_at = next.map_or_else(Timestamp::now, |event| event.creation_time);
            let age = Timestamp::now().millis() - stored_at.millis();
            lag.seconds = number(age.max(0).unsigned_abs()) / 1_000.0;
        }
        Ok(lag)
    }
}

impl Lag {
    const UNKNOWN: Self = Self {
        events: f64::NAN,
        seconds: f64::NAN,
    };
}

impl Found {
    const NOTHING: Self = Self {
        stored: f64::NAN,
        executed: f64::NAN,
        baked: f64::NAN,
        parked: f64::NAN,
        manager: Lag::UNKNOWN,
        baker: Lag::UNKNOWN,
    };

    fn set(&self) {
        let stages = [
            ("stored", self.stored),
            ("executed", self.executed),
            ("baked", self.baked),
        ];
        for (stage, position) in stages {
            gauge!("bakehouse_position", "stage" => stage).set(position);
        }
        for (stage, lag) in [("orders-manager", self.manager), ("data-baker", self.baker)] {
            gauge!("bakehouse_stage_lag_events", "stage" => stage).set(lag.events);
            gauge!("bakehouse_stage_lag_seconds", "stage" => stage).set(lag.seconds);
        }
        gauge!("bakehouse_parked_events").set(self.parked);
    }
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}
