//! Recovery of the system after a fault.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bakehouse_e2e::Client;
use tokio::time::sleep;

use crate::clients::OrderClient;
use crate::ledger::Request;

/// Time within which the system must recover from a fault.
pub(crate) const RECOVERY_TIMEOUT: Duration = Duration::from_secs(60);

/// Waits until an api-server is ready.
pub(crate) async fn ready(base: &str) -> Result<()> {
    let client = Client::new(base);
    bakehouse_e2e::world::wait(RECOVERY_TIMEOUT, base, async || {
        let answer = client.get("/health/ready").await;
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .await
}

/// Waits until a new order can be placed and read. Returns the time since `since`.
pub(crate) async fn wait_for_recovery(
    prober: &mut OrderClient,
    since: Instant,
) -> Result<Duration> {
    let until = since + RECOVERY_TIMEOUT;
    let mut placed = None;
    while Instant::now() < until {
        match &placed {
            None => {
                let draft = prober.draft();
                placed = prober.request((None, Request::Place(draft)), 1).await?;
            }
            Some(order) if prober.can_read(order).await => return Ok(since.elapsed()),
            Some(_) => {}
        }
        sleep(Duration::from_millis(10)).await;
    }
    bail!("no order could be placed and read within {RECOVERY_TIMEOUT:?}: {placed:?}")
}
