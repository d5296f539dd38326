//! An attack: what it does, and what it may cost at most.

use std::time::{Duration, Instant};

use anyhow::Result;
use bakehouse_e2e::Kind;
use futures_util::future::BoxFuture;

use crate::bystander::Bystander;
use crate::measure::{Costs, Meter, Traffic};
use crate::report::Outcome;
use crate::target::Target;

/// Time an attack may take; one that hangs is an error, not a pass.
const ATTACK_TIMEOUT: Duration = Duration::from_secs(120);
/// Times that an attack and its baseline take turns.
const ROUNDS: usize = 7;

/// Upper bounds of the costs of one attack, above what the idle server takes. `None`: not judged.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    /// Bytes of resident memory, at the peak.
    pub(crate) memory: Option<u64>,
    /// Open descriptors, at the peak.
    pub(crate) descriptors: Option<u64>,
    /// Bytes in the data folder, at the peak.
    pub(crate) disk: Option<u64>,
    /// Bytes still in the data folder five seconds after the end.
    pub(crate) disk_left: Option<u64>,
    /// Longest time that a request of another client took.
    pub(crate) others_wait: Option<Duration>,
    /// Bytes that the process reads from files; above those of the baseline, if there is one.
    pub(crate) read: Option<u64>,
    /// Bytes that the process writes to files; above those of the baseline, if there is one.
    pub(crate) written: Option<u64>,
    /// Time that the attack takes, as a multiple of its baseline's.
    pub(crate) time_ratio: Option<f64>,
}

/// Requirement of tokens at the attacked server.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// No token is required.
    Open,
    /// A token of the target's issuer is required.
    Tokens,
}

/// Runs the attack and checks that the server's answers are the right ones.
pub(crate) type Run = fn(Target) -> BoxFuture<'static, Result<()>>;

/// One attack.
pub(crate) struct Attack {
    /// Short name, as in the table of `docs/exposure.md`.
    pub(crate) name: &'static str,
    /// Requirement of tokens; all other settings are the defaults.
    pub(crate) access: Access,
    /// Preparation that is not measured, such as orders to be there; does nothing by default.
    pub(crate) prepare: Run,
    /// Requests that the attack may not cost more than: both are run in turn, several times.
    pub(crate) baseline: Option<Run>,
    /// The attack itself, whose costs are measured.
    pub(crate) run: Run,
    /// Upper bounds of its costs.
    pub(crate) bounds: Bounds,
}

/// For attacks that need nothing prepared.
pub(crate) fn nothing(_: Target) -> BoxFuture<'static, Result<()>> {
    Box::pin(async { Ok(()) })
}

impl Attack {
    /// Starts a server of its own, runs the attack beside a well-behaved client, and measures.
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

/// Runs the attack once: what it read and wrote.
async fn alone(target: &Target, run: Run) -> Result<(Traffic, f64)> {
    let before = Traffic::of(target.pid)?;
    run(target.clone()).await?;
    Ok((Traffic::of(target.pid)?.since(before), 0.0))
}

/// Runs the attack and its baseline in turn: what the attack read and wrote beyond the baseline,
/// and the ratio of their median times.
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
