//! projector: keeps the rows of a read model up to date while it holds the lease, and rebuilds
//! them in a new generation while the old one is served.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::runner::{HandlerDeps, HandlerRunner, Start};
use super::{AnyHandler, Generation, HandlerSettings, WakeSignal};
use crate::ports::{Leases, Notices, Registration, RowStore, StoreError, Topic};
use crate::stages::leadership::LeaderElection;
use crate::stages::runner::{Stage, Wake, lead};
use crate::{Position, Shutdown};

/// Interval at which the registration is refreshed, to notice requested rebuilds.
const REGISTRATION_INTERVAL: Duration = Duration::from_secs(1);

/// Dependencies of handler stages for leader election and wake-ups.
#[derive(Clone)]
pub struct RunnerContext {
    /// Store of the leases, in the source database.
    pub leases: Arc<dyn Leases>,
    /// Notices of new frames of the own feed.
    pub notices: Arc<dyn Notices>,
    /// Signal of new frames of other services' feeds.
    pub wake_signal: WakeSignal,
}

/// Runs a read model until shutdown.
pub async fn run(
    deps: HandlerDeps,
    handler: AnyHandler,
    context: RunnerContext,
    settings: HandlerSettings,
    shutdown: Shutdown,
) {
    let name = format!("read-model/{}", handler.name());
    let mut projector = Projector::new(deps, handler, settings.max_batch);
    // Once a newer program version runs the read model, this one stops.
    let outdated = shutdown.child_token();
    projector.outdated = outdated.clone();
    run_stage(name.clone(), projector, context, &settings, &outdated).await;
    if !shutdown.is_cancelled() {
        tracing::warn!(
            read_model = name,
            "a newer program version runs this read model; stopping"
        );
        shutdown.cancelled().await;
    }
}

/// Runs a handler stage while this instance holds the lease of this name.
pub(super) async fn run_stage<S: Stage>(
    name: String,
    mut stage: S,
    context: RunnerContext,
    settings: &HandlerSettings,
    shutdown: &Shutdown,
) {
    let election = LeaderElection {
        leases: context.leases,
        name,
        holder: settings.instance.clone(),
        time_to_live: settings.lease_ttl,
    };
    let wake = Wake {
        notices: context.notices.as_ref(),
        topic: Topic::Baked,
        interval: settings.poll_interval,
        wake_signal: Some(context.wake_signal),
    };
    lead(&mut stage, &wake, &election, shutdown).await;
}

/// Stage that runs a read model.
pub struct Projector {
    deps: HandlerDeps,
    handler: AnyHandler,
    max_batch: usize,
    plan: Option<Plan>,
    /// True once leftovers of replaced generations were removed.
    is_cleaned_up: bool,
    /// Cancelled once a newer program version runs this read model.
    outdated: Shutdown,
}

/// Generations to keep up to date, according to the registration.
struct Plan {
    as_of: Instant,
    registration: Registration,
    /// Runners of the served generation, if its version is that of this program, and of the one
    /// being built.
    runners: Vec<HandlerRunner>,
}

/// Result of polling all runners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Idle,
    Progressed,
    Promoted,
}

impl Plan {
    /// Polls all runners, the served generation first: errors of the one being built do not hold
    /// it up.
    async fn poll(&mut self, rows: &dyn RowStore) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::Idle;
        let mut failure = None;
        let mut served = HashMap::new();
        for runner in &mut self.runners {
            let is_next = self.registration.serving.as_ref() != Some(&runner.generation);
            let polled = match runner.poll_feeds().await {
                Ok(polled) => polled,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            if polled.has_progressed {
                outcome = Outcome::Progressed;
            }
            if !is_next {
                served = runner.positions();
                continue;
            }
            // Promoting it must not take readers back to an earlier position.
            let built = runner.positions();
            let is_past = |(feed, position): (&&str, &Position)| built.get(*feed) >= Some(position);
            if polled.is_live && served.iter().all(is_past) {
                rows.promote(&runner.generation).await?;
                tracing::info!(read_model = %runner.generation, "new generation is served");
                return Ok(Outcome::Promoted);
            }
        }
        match failure {
            Some(error) if outcome == Outcome::Idle => Err(error),
            _ => Ok(outcome),
        }
    }

    fn serving(self) -> Option<HandlerRunner> {
        let serving = self.registration.serving;
        let mut runners = self.runners.into_iter();
        runners.find(|runner| Some(&runner.generation) == serving.as_ref())
    }
}

impl Projector {
    /// Creates the stage of a read model, with at most `max_batch` events per batch.
    #[must_use]
    pub fn new(deps: HandlerDeps, handler: AnyHandler, max_batch: usize) -> Self {
        Self {
            deps,
            handler,
            max_batch,
            plan: None,
            is_cleaned_up: false,
            outdated: Shutdown::new(),
        }
    }

    /// Returns the runner of the served generation, for use within a transaction of the whole store,
    /// if it has handled the own feed up to `baked`.
    ///
    /// # Errors
    /// [`StoreError`] if the store does not answer.
    pub(crate) async fn join(
        mut self,
        baked: Position,
    ) -> Result<Option<HandlerRunner>, StoreError> {
        let serving = self.plan().await?.serving();
        let Some(mut runner) = serving else {
            return Ok(None);
        };
        let is_up_to_date = runner.is_up_to_date(baked).await?;
        Ok(is_up_to_date.then_some(runner))
    }

    async fn plan(&mut self) -> Result<Plan, StoreError> {
        let known = match self.plan.take() {
            Some(plan) if plan.as_of.elapsed() < REGISTRATION_INTERVAL => return Ok(plan),
            known => known,
        };
        let (name, version) = (self.handler.name(), self.handler.version());
        let registration = self.deps.rows.register(name, version).await?;
        if registration.wanted.version > version {
            self.outdated.cancel();
        }
        let as_of = Instant::now();
        if let Some(plan) = known.filter(|plan| plan.registration == registration) {
            return Ok(Plan { as_of, ..plan });
        }
        let mut generations: Vec<Generation> = registration.serving.iter().cloned().collect();
        generations.extend(registration.building().cloned());
        // Generations of other versions are left to programs of those versions.
        generations.retain(|generation| generation.version == version);
        let runners = generations.into_iter().map(|generation| {
            let (deps, handler) = (self.deps.clone(), self.handler.clone());
            HandlerRunner::new(deps, handler, generation, Start::Beginning, self.max_batch)
        });
        Ok(Plan {
            as_of,
            runners: runners.collect(),
            registration,
        })
    }
}

#[async_trait]
impl Stage for Projector {
    const NAME: &'static str = "projector";

    /// Handles one batch of each feed for each generation.
    async fn batch(&mut self) -> Result<bool, StoreError> {
        let mut plan = self.plan().await?;
        let wanted = &plan.registration.wanted;
        if !self.is_cleaned_up && plan.registration.building().is_none() {
            // The instance that promoted it may have ended before it removed the old generation.
            self.deps.rows.promote(wanted).await?;
        }
        self.is_cleaned_up = true;
        let outcome = plan.poll(self.deps.rows.as_ref()).await;
        let is_promoted = matches!(outcome, Ok(Outcome::Promoted));
        if !is_promoted {
            self.plan = Some(plan);
        }
        Ok(outcome? != Outcome::Idle)
    }
}
