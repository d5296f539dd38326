//! An attack: what it does, and what it may cost at most.

use std::time::Duration;

use anyhow::Result;
use bakehouse_e2e::Kind;
use futures_util::future::BoxFuture;

use crate::bystander::Bystander;
use crate::measure::{Costs, Meter};
use crate::report::Outcome;
use crate::target::Target;

/// Time an attack may take; one that hangs is an error, not a pass.
const ATTACK_TIMEOUT: Duration = Duration::from_secs(120);

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
}

/// Runs the attack and checks that the server's answers are the right ones.
pub(crate) type Run = fn(Target) -> BoxFuture<'static, Result<()>>;

/// One attack.
pub(crate) struct Attack {
    /// Short name, as in the table of `docs/operating.md`.
    pub(crate) name: &'static str,
    /// Settings of the server, as environment variables; the defaults where empty.
    pub(crate) settings: &'static [(&'static str, &'static str)],
    /// Preparation that is not measured, such as orders to be there; does nothing by default.
    pub(crate) prepare: Run,
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
        let target = Target::start(kind, self.settings).await?;
        let attack = async {
            (self.prepare)(target.clone()).await?;
            let meter = Meter::start(&target)?;
            let bystander = Bystander::start(&target);
            let attacked = (self.run)(target.clone()).await;
            let longest_wait = bystander.stop().await;
            let mut costs = meter.stop()?;
            costs.others_wait = longest_wait?;
            attacked?;
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
