//! Losses of power: the embedded store is left with what was synced.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bakehouse_dev_servers::power_loss::{Recorder, by_seed, nothing_unsynced};
use tokio::time::sleep;

use super::Conductor;

/// The one program of that world.
const PROGRAM: &str = "bakehouse";
/// Number of losses of which the last takes all that was not synced; the others take a part of it.
const STRICT: u64 = 3;

impl Conductor {
    /// Runs the program for a while with every sync recorded, kills it, and starts it on what
    /// was on disk by then.
    pub(super) async fn lose_power(&mut self, time: Duration, seed: u64) -> Result<Instant> {
        let data = self.scene.database();
        let data = data.parent().context("a folder of the store")?.to_owned();
        self.kill_one(PROGRAM);
        let recorder = tokio::task::block_in_place(|| Recorder::begin(&data))?;
        self.scene.start_service(PROGRAM, &recorder.environment())?;
        let base = self.scene.bases[0].clone();
        crate::run::ready(&base).await?;
        sleep(time).await;
        self.kill_one(PROGRAM);
        let ignored = self.ignored;
        let loss = tokio::task::block_in_place(|| match seed.is_multiple_of(STRICT) {
            true => recorder.cut(&mut nothing_unsynced, ignored),
            false => recorder.cut(&mut by_seed(seed), ignored),
        })?;
        let findings = &mut self.report.findings;
        for file in &loss.unrecorded {
            findings.note("not recorded", || file.clone());
        }
        // Made anew by whoever opens the store; no sync speaks for any other mapping.
        let others = loss.mapped.iter().filter(|file| !file.ends_with(".db-shm"));
        for file in others {
            findings.note("mapped for writing", || file.clone());
        }
        self.report.power.add(loss);
        let since = Instant::now();
        self.scene.start_all()?;
        Ok(since)
    }
}
