//! projector: a read model's rows, by the lease; and made anew beside those that are
//! read, where that is wanted.

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

/// How often it is looked whether something else is wanted by now.
const REGISTER: Duration = Duration::from_secs(1);

/// Who leads, and who wakes.
#[derive(Clone)]
pub struct RunnerContext {
    /// Where the leases are: in the database that is written.
    pub leases: Arc<dyn Leases>,
    /// Who tells of frames of one's own.
    pub notices: Arc<dyn Notices>,
    /// Who tells of frames of others.
    pub news: WakeSignal,
}

/// Runs until shutdown.
pub async fn run(
    deps: HandlerDeps,
    handler: AnyHandler,
    context: RunnerContext,
    settings: HandlerSettings,
    shutdown: Shutdown,
) {
    let name = format!("read-model/{}", handler.name());
    let mut projector = Projector::new(deps, handler, settings.max_batch);
    // What a newer program makes is not held up by one of before.
    let outdated = shutdown.child_token();
    projector.outdated = outdated.clone();
    attend(name.clone(), projector, context, &settings, &outdated).await;
    if !shutdown.is_cancelled() {
        tracing::warn!(
            read_model = name,
            "left to the newer program that is at work"
        );
        shutdown.cancelled().await;
    }
}

/// Runs a stage that follows feeds whenever the lease of this name is ours.
pub(super) async fn attend<S: Stage>(
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
        interval: settings.sweep_interval,
        news: Some(context.news),
    };
    lead(&mut stage, &wake, &election, shutdown).await;
}

/// A read model's rows.
pub struct Projector {
    deps: HandlerDeps,
    handler: AnyHandler,
    max_batch: usize,
    plan: Option<Plan>,
    /// Whether it was seen to it that nothing is left of what is not made any more.
    is_tidy: bool,
    /// Cancelled once a newer program makes this read model.
    outdated: Shutdown,
}

/// What is to be made, as it was found.
struct Plan {
    as_of: Instant,
    registration: Registration,
    /// Of what is read, if this program can make it; and of what is to be read next.
    followers: Vec<HandlerRunner>,
}

/// What a look has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Nothing,
    WakeSignal,
    Promoted,
}

impl Plan {
    /// What is read goes first, and is not held up by what cannot be made.
    async fn look(&mut self, rows: &dyn RowStore) -> Result<Outcome, StoreError> {
        let mut outcome = Outcome::Nothing;
        let mut failure = None;
        let mut read = HashMap::new();
        for runner in &mut self.followers {
            let is_next = self.registration.serving.as_ref() != Some(&runner.generation);
            let look = match runner.look().await {
                Ok(look) => look,
                Err(error) => {
                    failure.get_or_insert(error);
                    continue;
                }
            };
            if look.is_news {
                outcome = Outcome::WakeSignal;
            }
            if !is_next {
                read = runner.positions();
                continue;
            }
            // Nobody who reads it goes back in time.
            let made = runner.positions();
            let is_past = |(feed, position): (&&str, &Position)| made.get(*feed) >= Some(position);
            if look.is_live && read.iter().all(is_past) {
                rows.promote(&runner.generation).await?;
                tracing::info!(read_model = %runner.generation, "is read from now on");
                return Ok(Outcome::Promoted);
            }
        }
        match failure {
            Some(error) if outcome == Outcome::Nothing => Err(error),
            _ => Ok(outcome),
        }
    }

    fn serving(self) -> Option<HandlerRunner> {
        let serving = self.registration.serving;
        let mut followers = self.followers.into_iter();
        followers.find(|runner| Some(&runner.generation) == serving.as_ref())
    }
}

impl Projector {
    /// Of this read model, in batches of this many facts at most.
    #[must_use]
    pub fn new(deps: HandlerDeps, handler: AnyHandler, max_batch: usize) -> Self {
        Self {
            deps,
            handler,
            max_batch,
            plan: None,
            is_tidy: false,
            outdated: Shutdown::new(),
        }
    }

    /// Within a transaction over all of a store, the rows that are read, if they are up to
    /// date; what is not is followed elsewhere.
    ///
    /// # Errors
    /// When the store does not answer.
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
            Some(plan) if plan.as_of.elapsed() < REGISTER => return Ok(plan),
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
        let mut rebuilds: Vec<Generation> = registration.serving.iter().cloned().collect();
        rebuilds.extend(registration.building().cloned());
        // What another version of this program makes is for that one to make.
        rebuilds.retain(|generation| generation.version == version);
        let followers = rebuilds.into_iter().map(|generation| {
            let (deps, handler) = (self.deps.clone(), self.handler.clone());
            HandlerRunner::new(deps, handler, generation, Start::Beginning, self.max_batch)
        });
        Ok(Plan {
            as_of,
            followers: followers.collect(),
            registration,
        })
    }
}

#[async_trait]
impl Stage for Projector {
    const NAME: &'static str = "projector";

    /// One batch of each feed for all that is made.
    async fn batch(&mut self) -> Result<bool, StoreError> {
        let mut plan = self.plan().await?;
        let wanted = &plan.registration.wanted;
        if !self.is_tidy && plan.registration.building().is_none() {
            // Whoever promoted it may not have come to remove what it replaced.
            self.deps.rows.promote(wanted).await?;
        }
        self.is_tidy = true;
        let looked = plan.look(self.deps.rows.as_ref()).await;
        let is_promoted = matches!(looked, Ok(Outcome::Promoted));
        if !is_promoted {
            self.plan = Some(plan);
        }
        Ok(looked? != Outcome::Nothing)
    }
}
