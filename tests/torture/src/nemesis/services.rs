//! Faults of processes.

use std::time::{Duration, Instant};

use anyhow::Result;
use bakehouse_e2e::process::{Process, Stderr};
use nix::sys::signal::Signal;
use tokio::time::sleep;

use super::{Nemesis, Unsupported, program};
use crate::fault::plan::is_rebuild_failpoint;
use crate::rebuilds;

/// Time within which a program must reach a failpoint; four times as much during a rebuild.
const FAILPOINT_TIMEOUT: Duration = Duration::from_secs(3);
/// Time between the start of one instance and that of the others, so that it becomes the leader.
const HEAD_START_TIME: Duration = Duration::from_millis(500);
/// Time within which a program must end after SIGTERM.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(25);

impl Nemesis {
    /// Kills these services and starts them again.
    pub(super) fn kill(&mut self, which: &[String]) -> Result<Instant> {
        let since = Instant::now();
        for service in which {
            self.kill_one(service);
        }
        self.setup.start_all()?;
        Ok(since)
    }

    pub(super) fn kill_one(&mut self, service: &str) {
        self.setup.world.process(service).kill();
        self.report.killed(program(service));
    }

    /// Restarts a service with this stderr and all log output, until its next start.
    pub(super) fn restart_with_stderr(&mut self, service: &str, stderr: Stderr) -> Result<Instant> {
        let since = Instant::now();
        self.kill_one(service);
        self.setup.world.process(service).log_to(stderr);
        let filter = ("BAKEHOUSE_LOG__FILTER".to_owned(), "trace".to_owned());
        self.setup.start_service(service, &[filter])?;
        self.setup.world.process(service).log_to(Stderr::File);
        Ok(since)
    }

    /// Starts a program that ends by itself at a failpoint, then starts it again.
    pub(super) async fn abort(
        &mut self,
        name: &str,
        failpoint: &'static str,
        count: u32,
    ) -> Result<Instant> {
        let setting = ("TORTURE_ABORT_AT", format!("{failpoint}:{count}"));
        if !self
            .start_and_reach(name, failpoint, setting, Process::has_ended)
            .await?
        {
            return self.kill(&[name.to_owned()]);
        }
        self.report.killed(program(name));
        let since = Instant::now();
        self.setup.start_all()?;
        Ok(since)
    }

    /// Stops a leader at a failpoint and continues it after other instances have taken over.
    pub(super) async fn stop(
        &mut self,
        name: &str,
        failpoint: &'static str,
        count: u32,
        time: Duration,
    ) -> Result<Instant> {
        let setting = ("TORTURE_STOP_AT", format!("{failpoint}:{count}"));
        if !self
            .start_and_reach(name, failpoint, setting, Process::is_stopped)
            .await?
        {
            return self.kill(&[name.to_owned()]);
        }
        self.setup.start_all()?;
        self.wait_out(time).await?;
        self.setup.world.process(name).signal(Signal::SIGCONT);
        Ok(Instant::now())
    }

    /// Starts a program that ends by itself at a failpoint while another instance is on standby.
    pub(super) async fn abort_with_standby(
        &mut self,
        name: &str,
        failpoint: &'static str,
        count: u32,
    ) -> Result<Instant> {
        self.start_alone(
            name,
            failpoint,
            ("TORTURE_ABORT_AT", format!("{failpoint}:{count}")),
        )
        .await?;
        // By now it is usually the leader.
        sleep(HEAD_START_TIME).await;
        self.start_others(name)?;
        let has_reached = self.reaches(name, failpoint, Process::has_ended).await;
        let since = Instant::now();
        if has_reached {
            self.report.killed(program(name));
            self.setup.start_all()?;
            return Ok(since);
        }
        // It may have become the standby. Restarted without the failpoint.
        self.kill(&[name.to_owned()])
    }

    /// Starts one instance of a program and returns whether it reached the failpoint in time.
    async fn start_and_reach(
        &mut self,
        name: &str,
        failpoint: &'static str,
        setting: (&str, String),
        has_reached: fn(&mut Process) -> bool,
    ) -> Result<bool> {
        self.start_alone(name, failpoint, setting).await?;
        Ok(self.reaches(name, failpoint, has_reached).await)
    }

    /// Kills all instances of a program and starts one of them with a failpoint.
    async fn start_alone(
        &mut self,
        name: &str,
        failpoint: &'static str,
        (variable, setting): (&str, String),
    ) -> Result<()> {
        if is_rebuild_failpoint(failpoint) {
            self.request_rebuilds().await?;
        }
        for other in self.instances(name) {
            self.kill_one(&other);
        }
        let setting = (variable.to_owned(), setting);
        self.setup.start_service(name, &[setting])
    }

    fn start_others(&mut self, name: &str) -> Result<()> {
        for other in self.instances(name) {
            if !self.setup.world.process(&other).is_started() {
                self.setup.start_service(&other, &[])?;
            }
        }
        Ok(())
    }

    /// Waits for a program to reach a failpoint, and records whether it did.
    async fn reaches(
        &mut self,
        name: &str,
        failpoint: &'static str,
        has_reached: fn(&mut Process) -> bool,
    ) -> bool {
        let timeout = if is_rebuild_failpoint(failpoint) {
            4 * FAILPOINT_TIMEOUT
        } else {
            FAILPOINT_TIMEOUT
        };
        let until = Instant::now() + timeout;
        while Instant::now() < until {
            if has_reached(self.setup.world.process(name)) {
                self.report.failpoint_reached(name, failpoint);
                return true;
            }
            sleep(Duration::from_millis(5)).await;
        }
        self.report.failpoint_missed(name, failpoint);
        false
    }

    /// Requests rebuilds of source and presentation.
    pub(super) async fn request_rebuilds(&self) -> Result<()> {
        rebuilds::request(&(self.identify)("operator")?).await
    }

    /// Returns the names of all instances of a program.
    pub(super) fn instances(&self, name: &str) -> Vec<String> {
        let all = self.setup.services.iter();
        all.filter(|one| program(one) == name).cloned().collect()
    }

    /// Ends services by SIGTERM, checks that they exit with success in time, and starts them again.
    pub(super) fn restart(&mut self, which: &[String]) -> Result<Instant> {
        let mut since = Instant::now();
        for name in which {
            let process = self.setup.world.process(name);
            if process.has_ended() || !process.is_started() {
                continue;
            }
            let ended = tokio::task::block_in_place(|| process.terminate(SHUTDOWN_TIMEOUT));
            since = Instant::now();
            let is_orderly = matches!(&ended, Ok((status, _)) if status.success());
            if !is_orderly {
                let findings = &mut self.report.findings;
                findings.note("unclean shutdown", || {
                    format!("{name} after SIGTERM: {ended:?}")
                });
            }
            self.report.restarts += 1;
            self.setup.start_service(name, &[])?;
        }
        self.setup.start_all()?;
        Ok(since)
    }

    /// Restarts a program with a shifted clock for some time, then with the right one.
    pub(super) async fn set_clock(&mut self, name: &str, seconds: i32) -> Result<Instant> {
        let library = self.false_clock.clone();
        let library = library.ok_or(Unsupported("faketime is not installed"))?;
        let environment = [
            ("LD_PRELOAD".to_owned(), library.display().to_string()),
            ("FAKETIME".to_owned(), format!("{seconds:+}s")),
            ("FAKETIME_DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
            ("DONT_FAKE_MONOTONIC".to_owned(), "1".to_owned()),
        ];
        let instances = self.instances(name);
        for one in &instances {
            self.kill_one(one);
            self.setup.start_service(one, &environment)?;
        }
        sleep(Duration::from_secs(2)).await;
        self.kill(&instances)
    }
}
