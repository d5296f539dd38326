//! projector: a read model's rows, by the lease; and made anew beside those that are
//! read, where that is wanted.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;

use super::follower::{FollowDoors, Follower, Start};
use super::{AnyHandler, FollowSettings, Generation, News};
use crate::Shutdown;
use crate::leadership::Candidacy;
use crate::ports::{Leases, Notices, Registration, StoreError, Topic};
use crate::stage::{Stage, Wake, lead};

/// How often it is looked whether something else is wanted by now.
const REGISTER: Duration = Duration::from_secs(1);

/// Who leads, and who wakes.
#[derive(Clone)]
pub struct Surroundings {
    /// Where the leases are: in the database that is written.
    pub leases: Arc<dyn Leases>,
    /// Who tells of frames of one's own.
    pub notices: Arc<dyn Notices>,
    /// Who tells of frames of others.
    pub news: News,
}

/// Runs until shutdown.
pub async fn run(
    doors: FollowDoors,
    handler: AnyHandler,
    surroundings: Surroundings,
    settings: FollowSettings,
    shutdown: Shutdown,
) {
    let name = format!("read-model/{}", handler.name());
    let projector = Projector::new(doors, handler, settings.max_batch);
    attend(name, projector, surroundings, &settings, &shutdown).await;
}

/// Runs a stage that follows feeds whenever the lease of this name is ours.
pub(super) async fn attend<S: Stage>(
    name: String,
    mut stage: S,
    surroundings: Surroundings,
    settings: &FollowSettings,
    shutdown: &Shutdown,
) {
    let candidacy = Candidacy {
        leases: surroundings.leases,
        name,
        holder: settings.instance.clone(),
        time_to_live: settings.lease_ttl,
    };
    let wake = Wake {
        notices: surroundings.notices.as_ref(),
        topic: Topic::Baked,
        interval: settings.sweep_interval,
        news: Some(surroundings.news),
    };
    lead(&mut stage, &wake, &candidacy, shutdown).await;
}

/// A read model's rows.
pub struct Projector {
    doors: FollowDoors,
    handler: AnyHandler,
    max_batch: usize,
    plan: Option<Plan>,
}

/// What is to be made, as it was found.
struct Plan {
    as_of: Instant,
    registration: Registration,
    /// Of what is read, if this program can make it; and of what is to be read next.
    followers: Vec<Follower>,
}

impl Projector {
    /// Of this read model, in batches of this many facts at most.
    #[must_use]
    pub fn new(doors: FollowDoors, handler: AnyHandler, max_batch: usize) -> Self {
        Self {
            doors,
            handler,
            max_batch,
            plan: None,
        }
    }

    /// One batch of each feed for all that is made. `false`: there is no more for now.
    ///
    /// # Errors
    /// When a store does not answer, or a fact cannot be handled.
    pub async fn step(&mut self) -> Result<bool, StoreError> {
        let mut plan = self.plan().await?;
        let mut is_news = false;
        let mut is_promoted = false;
        for follower in &mut plan.followers {
            let look = follower.look().await?;
            is_news |= look.is_news;
            let is_next = plan.registration.serving.as_ref() != Some(&follower.generation);
            if is_next && look.is_live {
                self.doors.rows.promote(&follower.generation).await?;
                tracing::info!(stage = Self::NAME, read_model = %follower.generation, "is read now");
                is_promoted = true;
            }
        }
        if !is_promoted {
            self.plan = Some(plan);
        }
        Ok(is_news || is_promoted)
    }

    async fn plan(&mut self) -> Result<Plan, StoreError> {
        let known = match self.plan.take() {
            Some(plan) if plan.as_of.elapsed() < REGISTER => return Ok(plan),
            known => known,
        };
        let (name, version) = (self.handler.name(), self.handler.version());
        let registration = self.doors.rows.register(name, version).await?;
        let as_of = Instant::now();
        if let Some(plan) = known.filter(|plan| plan.registration == registration) {
            return Ok(Plan { as_of, ..plan });
        }
        let mut generations: Vec<Generation> = registration.serving.iter().cloned().collect();
        if registration.serving.as_ref() != Some(&registration.wanted) {
            generations.push(registration.wanted.clone());
        }
        // What another version of this program makes is for that one to make.
        generations.retain(|generation| generation.version == version);
        let followers = generations.into_iter().map(|generation| {
            let (doors, handler) = (self.doors.clone(), self.handler.clone());
            Follower::new(doors, handler, generation, Start::Beginning, self.max_batch)
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

    async fn batch(&mut self) -> Result<bool, StoreError> {
        self.step().await
    }
}
