//! Faults of processes.

use std::time::{Duration, Instant};

use anyhow::Result;
use bakehouse_e2e::process::{Process, Stderr};
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{Conductor, Missing, program};
use crate::fault::plan::is_renewal;
use crate::renewal;

/// Limit for a program to come to a place.
const REACH: Duration = Duration::from_secs(3);
/// Time that one instance has before the others start, so that it is the one that leads.
const HEAD_START: Duration = Duration::from_millis(500);
/// Limit for an orderly end.
const ORDERLY: Duration = Duration::from_secs(25);

impl Conductor {
    pub(super) fn kill(&mut self, which: &[String]) -> Result<Instant> {
        let since = Instant::now();
        for service in which {
            self.kill_one(service);
        }
        self.scene.start_all()?;
        Ok(since)
    }

    pub(super) fn kill_one(&mut self, service: &str) {
        self.scene.world.process(service).kill();
        self.report.killed(program(service));
    }

    /// Until its next start.
    pub(super) fn log_to(&mut self, service: &str, stderr: Stderr) -> Result<Instant> {
        let since = Instant::now();
        self.kill_one(service);
        self.scene.world.process(service).log_to(stderr);
        let filter = ("BAKEHOUSE_LOG__FILTER".to_owned(), "trace".to_owned());
        self.scene.start_service(service, &[filter])?;
        self.scene.world.process(service).log_to(Stderr::File);
        Ok(since)
    }

    pub(super) async fn abort(
        &mut self,
        name: &str,
        place: &'static str,
        count: u32,
    ) -> Result<Instant> {
        let sentence = ("TORTURE_ABORT_AT", format!("{place}:{count}"));
        if !self
            .bring(name, place, sentence, Process::has_ended)
            .await?
        {
            return self.kill(&[name.to_owned()]);
        }
        self.report.killed(program(name));
        let since = Instant::now();
        self.scene.start_all()?;
        Ok(since)
    }

    /// Stops a leader, which wakes up in the middle of what others have done meanwhile.
    pub(super) async fn stop(
        &mut self,
        name: &str,
        place: &'static str,
        count: u32,
        time: Duration,
    ) -> Result<Instant> {
        let sentence = ("TORTURE_STOP_AT", format!("{place}:{count}"));
        if !self
            .bring(name, place, sentence, Process::is_stopped)
            .await?
        {
            return self.kill(&[name.to_owned()]);
        }
        self.scene.start_all()?;
        self.hold(time).await?;
        self.scene.world.process(name).signal(Signal::SIGCONT);
        Ok(Instant::now())
    }

    /// One instance ends, while another one waits to take over.
    pub(super) async fn abort_beside(
        &mut self,
        name: &str,
        place: &'static str,
        count: u32,
    ) -> Result<Instant> {
        self.begin_alone(
            name,
            place,
            ("TORTURE_ABORT_AT", format!("{place}:{count}")),
        )
        .await?;
        // By now it leads, as a rule; all others stand by.
        sleep(HEAD_START).await;
        self.start_others(name)?;
        let is_there = self.comes_to(name, place, Process::has_ended).await;
        let since = Instant::now();
        if is_there {
            self.report.killed(program(name));
            self.scene.start_all()?;
            return Ok(since);
        }
        // It may have been the standby; neither is to go on with that order.
        self.kill(&[name.to_owned()])
    }

    /// Starts a program that comes to a place, alone; whether it did.
    async fn bring(
        &mut self,
        name: &str,
        place: &'static str,
        sentence: (&str, String),
        is_there: fn(&mut Process) -> bool,
    ) -> Result<bool> {
        self.begin_alone(name, place, sentence).await?;
        Ok(self.comes_to(name, place, is_there).await)
    }

    async fn begin_alone(
        &mut self,
        name: &str,
        place: &'static str,
        (variable, sentence): (&str, String),
    ) -> Result<()> {
        if is_renewal(place) {
            self.renew().await?;
        }
        for other in self.instances(name) {
            self.kill_one(&other);
        }
        let sentence = (variable.to_owned(), sentence);
        self.scene.start_service(name, &[sentence])
    }

    fn start_others(&mut self, name: &str) -> Result<()> {
        for other in self.instances(name) {
            if !self.scene.world.process(&other).is_started() {
                self.scene.start_service(&other, &[])?;
            }
        }
        Ok(())
    }

    async fn comes_to(
        &mut self,
        name: &str,
        place: &'static str,
        is_there: fn(&mut Process) -> bool,
    ) -> bool {
        let reach = if is_renewal(place) { 4 * REACH } else { REACH };
        let until = Instant::now() + reach;
        while Instant::now() < until {
            if is_there(self.scene.world.process(name)) {
                self.report.was_at(name, place);
                return true;
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.report.did_not_reach(name, place);
        false
    }

    pub(super) async fn renew(&self) -> Result<()> {
        renewal::begin(&(self.identify)("operator")?).await
    }

    pub(super) fn instances(&self, name: &str) -> Vec<String> {
        let all = self.scene.services.iter();
        all.filter(|one| program(one) == name).cloned().collect()
    }

    /// SIGTERM: what is under way is brought to its end, and the process ends by itself.
    pub(super) fn restart(&mut self, which: &[String]) -> Result<Instant> {
        let mut since = Instant::now();
        for name in which {
            let process = self.scene.world.process(name);
            if process.has_ended() || !process.is_started() {
                continue;
            }
            let ended = tokio::task::block_in_place(|| process.terminate(ORDERLY));
            since = Instant::now();
            let is_orderly = matches!(&ended, Ok((status, _)) if status.success());
            if !is_orderly {
                let findings = &mut self.report.findings;
                findings.note("disorderly end", || {
                    format!("{name} after SIGTERM: {ended:?}")
                });
            }
            self.report.restarts += 1;
            self.scene.start_service(name, &[])?;
        }
        self.scene.start_all()?;
        Ok(since)
    }

    pub(super) async fn set_clock(&mut self, name: &str, seconds: i32) -> Result<Instant> {
        let library = self.false_clock.clone();
        let library = library.ok_or(Missing("no clock can be made wrong"))?;
        let environment = [
            ("LD_PRELOAD".to_owned(), library.display().to_string()),
            ("FAKETIME".to_owned(), format!("{seconds:+}s")),
            ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
            ("DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
        ];
        let instances = self.instances(name);
        for one in &instances {
            self.kill_one(one);
            self.scene.start_service(one, &environment)?;
        }
        sleep(Duration::from_secs(2)).await;
        self.kill(&instances)
    }
}
