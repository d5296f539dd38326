//! How far the stages have come, and how far behind they are: looked up in the
//! stores when somebody asks, so that it is true of all processes together.

use std::time::Duration;

use actix_web::web;
use bakehouse_pipeline::ports::StoreError;
use bakehouse_pipeline::{Position, Timestamp};
use metrics::gauge;

use crate::server::Doors;

/// How long the stores may take; what is not known then is `NaN`.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks the positions up.
pub(crate) struct Positions(web::Data<Doors>);

/// Where the stages stand.
struct Found {
    stored: Position,
    executed: Position,
    baked: Position,
    parked: u64,
    /// Age of the oldest event that orders-manager has yet to execute, and of
    /// the oldest that data-baker has yet to bake.
    ages: [f64; 2],
}

impl Positions {
    pub(super) fn new(doors: web::Data<Doors>) -> Self {
        Self(doors)
    }

    /// Sets the gauges.
    pub(super) async fn look(&self) {
        let fed = self.0.feed.head_position();
        gauge!("bakehouse_position", "stage" => "fed").set(number(fed));
        let found = tokio::time::timeout(PATIENCE, self.find()).await;
        match found {
            Ok(Ok(found)) => found.set(),
            // A figure from before would be taken for one of now.
            Ok(Err(_)) | Err(_) => unknown(),
        }
    }

    async fn find(&self) -> Result<Found, StoreError> {
        // From the last stage to the first: the other way round a busy stage
        // would seem to be ahead of the one before it.
        let baked = self.0.presentation.head().await?.position;
        let executed = self.0.progress.checkpoint().await?;
        let stored = self.0.log.head().await?;
        Ok(Found {
            stored,
            executed: executed.position,
            baked,
            parked: executed.parked,
            ages: [
                self.age(executed.position, stored).await?,
                self.age(baked, executed.position).await?,
            ],
        })
    }

    /// Seconds since the event after `done` was stored, if there is one up to `head`.
    async fn age(&self, done: Position, head: Position) -> Result<f64, StoreError> {
        if done >= head {
            return Ok(0.0);
        }
        let next = self.0.log.read(done, 1).await?.pop();
        let stored_at = next.map_or_else(Timestamp::now, |event| event.creation_time);
        let age = Timestamp::now().millis() - stored_at.millis();
        Ok(number(age.max(0).unsigned_abs()) / 1_000.0)
    }
}

impl Found {
    fn set(&self) {
        let stages = [
            ("stored", self.stored),
            ("executed", self.executed),
            ("baked", self.baked),
        ];
        for (stage, position) in stages {
            gauge!("bakehouse_position", "stage" => stage).set(number(position));
        }
        let lags = [
            (
                "orders-manager",
                self.stored - self.executed.min(self.stored),
            ),
            ("data-baker", self.executed - self.baked.min(self.executed)),
        ];
        for ((stage, events), age) in lags.into_iter().zip(self.ages) {
            gauge!("bakehouse_stage_lag_events", "stage" => stage).set(number(events));
            gauge!("bakehouse_stage_lag_seconds", "stage" => stage).set(age);
        }
        gauge!("bakehouse_parked_events").set(number(self.parked));
    }
}

fn unknown() {
    for stage in ["stored", "executed", "baked"] {
        gauge!("bakehouse_position", "stage" => stage).set(f64::NAN);
    }
    for stage in ["orders-manager", "data-baker"] {
        gauge!("bakehouse_stage_lag_events", "stage" => stage).set(f64::NAN);
        gauge!("bakehouse_stage_lag_seconds", "stage" => stage).set(f64::NAN);
    }
    gauge!("bakehouse_parked_events").set(f64::NAN);
}

#[expect(clippy::cast_precision_loss, reason = "exact up to 2^53")]
fn number(count: u64) -> f64 {
    count as f64
}
