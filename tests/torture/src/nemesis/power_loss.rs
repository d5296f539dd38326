//! Power losses: the embedded store keeps only what was synced.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bakehouse_dev_servers::power_loss::{Recorder, by_seed, nothing_unsynced};
use tokio::time::sleep;

use super::Nemesis;

/// The only program of this deployment.
const PROGRAM: &str = "bakehouse";
/// Every so many power losses discard all unsynced data; the others discard a part of it.
const STRICT_INTERVAL: u64 = 3;

impl Nemesis {
    /// Runs the program for some time with its file operations recorded, kills it, and starts it
    /// with the data that was on disk at that moment.
    pub(super) async fn lose_power(&mut self, time: Duration, seed: u64) -> Result<Instant> {
        let data = self.setup.database();
        let data = data.parent().context("the store has no folder")?.to_owned();
        self.kill_one(PROGRAM);
        let recorder = tokio::task::block_in_place(|| Recorder::begin(&data))?;
        self.setup.start_service(PROGRAM, &recorder.environment())?;
        let base = self.setup.bases[0].clone();
        crate::recovery::ready(&base).await?;
        sleep(time).await;
        self.kill_one(PROGRAM);
        let ignored = self.ignored_sync;
        let loss = tokio::task::block_in_place(|| match seed.is_multiple_of(STRICT_INTERVAL) {
            true => recorder.cut(&mut nothing_unsynced, ignored),
            false => recorder.cut(&mut by_seed(seed), ignored),
        })?;
        let findings = &mut self.report.findings;
        for file in &loss.unrecorded {
            findings.note("unrecorded file change", || file.clone());
        }
        // SQLite recreates this index when it opens the store. Writes to any other mapping are not
        // recorded.
        let others = loss.mapped.iter().filter(|file| !file.ends_with(".db-shm"));
        for file in others {
            findings.note("mapped for writing", || file.clone());
        }
        self.report.power.add(loss);
        let since = Instant::now();
        self.setup.start_all()?;
        Ok(since)
    }
}
