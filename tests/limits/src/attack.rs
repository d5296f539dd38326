//! An attack: its requests and the bounds of its costs.

use std::time::{Duration, Instant};

use anyhow::Result;
use bakehouse_e2e::Kind;
use futures_util::future::BoxFuture;

use crate::bounds::Bounds;
use crate::bystander::Bystander;
use crate::measure::{Costs, Meter, Traffic};
use crate::report::Outcome;
use crate::target::{Access, Target};

/// Timeout of an attack. A timeout is a failure.
const ATTACK_TIMEOUT: Duration = Duration::from_secs(120);
/// Number of alternating runs of an attack and its baseline.
const ROUNDS: usize = 7;

/// Runs the attack and checks that the server's answers are the right ones.
pub(crate) type Run = fn(Target) -> BoxFuture<'static, Result<()>>;

/// One attack.
pub(crate) struct Attack {
    /// Short name, as in the table of `docs/exposure.md`.
    pub(crate) name: &'static str,
    /// Authentication mode; all other settings are the defaults.
    pub(crate) access: Access,
    /// Preparation that is not measured, such as placing orders; [`nothing`] if there is none.
    pub(crate) prepare: Run,
    /// Requests whose costs are the reference for the attack. Both run several times in turn.
    pub(crate) baseline: Option<Run>,
    /// Measured requests.
    pub(crate) run: Run,
    /// Upper bounds of its costs.
    pub(crate) bounds: Bounds,
}

/// Preparation of attacks that need none.
pub(crate) fn nothing(_: Target) -> BoxFuture<'static, Result<()>> {
    Box::pin(async { Ok(()) })
}

impl Attack {
    /// Starts a server, runs the attack concurrently with a well-behaved client, and measures it.
    pub(crate) async fn measure(self, kind: Kind) -> Outcome {
        let name = self.name;
        let bounds = self.bounds;
        let measured = self.costs(kind).await;
        Outcome {
            name,
            bounds,
            measured: measured.map_err(|error| format!("{error:#}")),
        }
    }

    async fn costs(self, kind: Kind) -> Result<Costs> {
        let target = Target::start(kind, self.access).await?;
        let attack = async {
            (self.prepare)(target.clone()).await?;
            let meter = Meter::start(&target)?;
            let bystander = Bystander::start(&target)?;
            let attacked = match self.baseline {
                Some(baseline) => compare(&target, baseline, self.run).await,
                None => alone(&target, self.run).await,
            };
            let longest_wait = bystander.stop().await;
            let mut costs = meter.stop()?;
            costs.others_wait = longest_wait?;
            let (traffic, time_ratio) = attacked?;
            costs.traffic = traffic;
            costs.time_ratio = time_ratio;
            if self.bounds.disk_left.is_some() {
                tokio::time::sleep(Duration::from_secs(5)).await;
                costs.disk_left = meter.disk_growth();
            }
            anyhow::Ok(costs)
        };
        let costs = tokio::time::timeout(ATTACK_TIMEOUT, attack).await??;
        target.stop().await?;
        Ok(costs)
    }
}

/// Runs the attack once. Returns its file traffic.
async fn alone(target: &Target, run: Run) -> Result<(Traffic, f64)> {
    let before = Traffic::of(target.pid)?;
    run(target.clone()).await?;
    Ok((Traffic::of(target.pid)?.since(before), 0.0))
}

/// Runs the attack and its baseline in turn. Returns the attack's file traffic above that of the
/// baseline, and the ratio of their median times.
async fn compare(target: &Target, baseline: Run, run: Run) -> Result<(Traffic, f64)> {
    let mut times = [Vec::new(), Vec::new()];
    let mut traffic = [Traffic::default(), Traffic::default()];
    for _ in 0..ROUNDS {
        for (which, run) in [baseline, run].into_iter().enumerate() {
            let (before, start) = (Traffic::of(target.pid)?, Instant::now());
            run(target.clone()).await?;
            times[which].push(start.elapsed());
            traffic[which].add(Traffic::of(target.pid)?.since(before));
        }
    }
    let [baseline, attack] = times.map(|mut times| {
        times.sort_unstable();
        times[ROUNDS / 2].as_secs_f64()
    });
    Ok((traffic[1].since(traffic[0]), attack / baseline))
}
