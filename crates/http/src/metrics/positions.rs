//! Gauges of the stages' positions and lags. They are read from the stores on request, and so
//! cover all processes.

use std::time::Duration;

use actix_web::web;
use bakehouse_engine::ports::StoreError;
use bakehouse_engine::{Position, Timestamp};
use metrics::gauge;

use crate::cached::Cached;
use crate::state::AppState;

/// Time after which the stores count as unavailable, and the gauges are set to `NaN`.
const READ_TIMEOUT: Duration = Duration::from_secs(1);

/// Minimum interval between two reads of the stores, however many requests there are.
const CACHE_TTL: Duration = Duration::from_secs(1);

/// Reader of the positions; sets the gauges.
pub(crate) struct Positions {
    state: web::Data<AppState>,
    update: Cached<()>,
}

/// Values of the gauges; `NaN` if unknown.
struct Values {
    stored: f64,
    executed: f64,
    baked: f64,
    parked: f64,
    manager: Lag,
    baker: Lag,
}

/// Lag of a stage behind the previous one.
#[derive(Clone, Copy)]
struct Lag {
    events: f64,
    /// Age of the oldest event that the stage has not processed.
    seconds: f64,
}

impl Positions {
    pub(super) fn new(state: web::Data<AppState>) -> Self {
        Self {
            state,
            update: Cached::new(CACHE_TTL),
        }
    }

    /// Sets the gauges, unless that has been done within the last second.
    pub(super) async fn update(&self) {
        self.update.get(self.set()).await;
    }

    async fn set(&self) {
        let fed = self.state.feed.head_position();
        gauge!("bakehouse_position", "stage" => "fed").set(number(fed));
        let values = tokio::time::timeout(READ_TIMEOUT, self.read()).await;
        // Unknown values are reset, because stale ones would be taken for current.
        let values = values.ok().and_then(Result::ok).unwrap_or(Values::UNKNOWN);
        values.set();
    }

    async fn read(&self) -> Result<Values, StoreError> {
        // From the last stage to the first: in the opposite order a busy stage could appear to be
        // ahead of the previous one.
        let baked = self.state.presentation.head_if_any().await?;
        let baked = baked.map_or(0, |head| head.position);
        let executed = self.state.progress.checkpoint().await?;
        let stored = self.state.log.head().await?;
        Ok(Values {
            stored: number(stored),
            executed: number(executed.position),
            baked: number(baked),
            parked: number(executed.parked),
            manager: self.lag(executed.position, stored).await?,
            baker: self.lag(baked, executed.position).await?,
        })
    }

    /// Lag of a stage at `done` behind the previous one at `head`.
    async fn lag(&self, done: Position, head: Position) -> Result<Lag, StoreError> {
        let mut lag = Lag {
            events: number(head.saturating_sub(done)),
            seconds: 0.0,
        };
        if done < head {
            let next = self.state.log.read(done, 1).await?.pop();
            let stored_at = next.map_or_else(Timestamp::now, |entry| entry.creation_time);
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

impl Values {
    const UNKNOWN: Self = Self {
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
