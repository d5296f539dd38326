//! Injection of faults: applies a fault, reverts it, and returns the time from which the system
//! has to recover.
//!
//! - `services`: faults of processes;
//! - `power_loss`: power losses under the embedded store.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use bakehouse_dev_servers::power_loss::Ignored;
use bakehouse_e2e::Kind;
use lapin::{Connection, ConnectionProperties};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use crate::clients::{ClientGroup, Identify, Identity, OrderClient, Workload};
use crate::fault::{Fault, MemberChoice};
use crate::ledger::{Entry, Request};
use crate::messages::{MessageRecorder, RawPublisher, future_operation, insert_into_queue};
use crate::proxy::{Proxy, ProxyMode};
use crate::report::{Flood, Report};
use crate::setup::Setup;

mod power_loss;
mod services;

/// Name of the policy that is set on the broker.
const POLICY_NAME: &str = "torture";
/// Number of clients of a burst.
const BURST_CLIENTS: usize = 200;

/// Error of a fault that this machine does not support, which says nothing about the system under
/// test.
#[derive(Debug)]
pub struct Unsupported(pub &'static str);

impl std::fmt::Display for Unsupported {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for Unsupported {}

/// Injects faults into a system under test and records what it did.
pub struct Nemesis {
    /// System under test.
    pub setup: Setup,
    /// Report of the run.
    pub report: Report,
    /// Seeded random numbers.
    pub random: StdRng,
    /// Client that places the orders to poison.
    pub poison_client: OrderClient,
    /// Ids of orders that have an operation of an unknown schema version.
    pub poisoned: Vec<String>,
    /// Ledgers of the clients of bursts and floods.
    pub ledgers: Vec<Vec<Entry>>,
    /// Creates an identity for a subject.
    pub identify: Identify,
    /// Library that shifts the clock of a process; `None` if it is not installed.
    pub false_clock: Option<PathBuf>,
    /// Syncs of the embedded store that power losses treat as missing.
    pub ignored_sync: Option<Ignored>,
    /// Fault to inject in the middle of the current one.
    overlapping_fault: Option<Fault>,
    recorder: Option<MessageRecorder>,
}

impl Nemesis {
    /// Creates one for a running system.
    #[must_use]
    pub fn new(
        setup: Setup,
        random: StdRng,
        poison_client: OrderClient,
        identify: Identify,
    ) -> Self {
        Self {
            setup,
            report: Report::default(),
            random,
            poison_client,
            poisoned: Vec::new(),
            ledgers: Vec::new(),
            identify,
            false_clock: bakehouse_dev_servers::false_clock(),
            ignored_sync: None,
            overlapping_fault: None,
            recorder: None,
        }
    }

    /// Injects a fault and reverts it. Returns the time from which the system has to recover.
    ///
    /// # Errors
    /// [`Unsupported`] when this machine cannot inject the fault; any other error when the system
    /// under test prevents it.
    pub async fn inject(&mut self, fault: &Fault) -> Result<Instant> {
        match fault {
            Fault::Combined(one, other) => {
                self.overlapping_fault = Some(other.as_ref().clone());
                let since = Box::pin(self.inject(one)).await?;
                // Still there if the first fault ended without waiting.
                match self.overlapping_fault.take() {
                    Some(other) => Box::pin(self.inject(&other)).await,
                    None => Ok(since),
                }
            }
            Fault::Kill(which) => self.kill(which),
            Fault::Restart(which) => self.restart(which),
            Fault::PowerLoss(time, seed) => self.lose_power(*time, *seed).await,
            Fault::AbortWithStandby(program, failpoint, count) => {
                self.abort_with_standby(program, failpoint, *count).await
            }
            Fault::Abort(program, failpoint, count) => self.abort(program, failpoint, *count).await,
            Fault::Stop(program, failpoint, count, time) => {
                self.stop(program, failpoint, *count, *time).await
            }
            Fault::Pause(service, time) => {
                // Pauses one instance after the other, since one of them is the leader.
                for one in self.instances(program(service)) {
                    self.setup.world.process(&one).signal(Signal::SIGSTOP);
                    self.wait_out(*time).await?;
                    self.setup.world.process(&one).signal(Signal::SIGCONT);
                }
                Ok(Instant::now())
            }
            Fault::KillDatabase(which, time, with) => {
                let member = self.member(*which).await?;
                self.backends()?.mongo.member(member).kill();
                self.report.killed("mongod");
                if let Some(service) = with {
                    self.kill_one(service);
                }
                self.wait_out(*time).await?;
                let started = tokio::task::block_in_place(|| {
                    self.backends()?.mongo.member(member).start_again()
                });
                started?;
                self.setup.start_all()?;
                Ok(Instant::now())
            }
            Fault::PauseDatabase(which, time) => {
                let member = self.member(*which).await?;
                self.backends()?.mongo.member(member).pause();
                self.wait_out(*time).await?;
                self.backends()?.mongo.member(member).resume();
                Ok(Instant::now())
            }
            Fault::StepDown => {
                self.backends()?.mongo.step_down().await?;
                Ok(Instant::now())
            }
            Fault::KillBroker(with) => {
                self.recorder = None;
                self.backends()?.rabbit.kill();
                self.report.killed("RabbitMQ");
                if let Some(service) = with {
                    self.kill_one(service);
                }
                let started = tokio::task::block_in_place(|| self.backends()?.rabbit.start_again());
                started?;
                self.setup.start_all()?;
                self.wait_for_broker().await
            }
            Fault::PauseBroker(time) => {
                self.backends()?.rabbit.pause();
                self.wait_out(*time).await?;
                self.backends()?.rabbit.resume();
                Ok(Instant::now())
            }
            Fault::Alarm(time) => {
                tokio::task::block_in_place(|| self.backends()?.rabbit.alarm(true))?;
                self.wait_out(*time).await?;
                tokio::task::block_in_place(|| self.backends()?.rabbit.alarm(false))?;
                Ok(Instant::now())
            }
            Fault::DatabaseConnection(which, mode, time) => {
                let member = self.member(*which).await?;
                let proxy = self.backends()?.mongo_proxies[member].clone();
                self.disturb(&proxy, *mode, *time).await
            }
            Fault::BrokerConnection(mode, time) => {
                let proxy = self.backends()?.rabbit_proxy.clone();
                self.disturb(&proxy, *mode, *time).await
            }
            Fault::Unbind(time) => self.unbind(*time).await,
            Fault::Policy(policy, time) => {
                let rabbit = &self.backends()?.rabbit;
                tokio::task::block_in_place(|| rabbit.set_policy(POLICY_NAME, ".*", policy))?;
                self.wait_out(*time).await?;
                let rabbit = &self.backends()?.rabbit;
                tokio::task::block_in_place(|| rabbit.clear_policy(POLICY_NAME));
                Ok(Instant::now())
            }
            Fault::Clock(program, seconds) => self.set_clock(program, *seconds).await,
            Fault::RepeatMessages => {
                let uri = self.broker()?;
                let mut recorder = match self.recorder.take() {
                    Some(recorder) => recorder,
                    None => MessageRecorder::connect(&uri, self.setup.world.prefix()).await?,
                };
                recorder.collect().await?;
                // A separate generator: the number of draws depends on the number of messages.
                let mut random = StdRng::seed_from_u64(self.random.random());
                recorder.repeat(&mut random).await?;
                self.recorder = Some(recorder);
                Ok(Instant::now())
            }
            Fault::GarbageMessages => {
                match self.setup.kind {
                    Kind::Embedded => insert_into_queue(&self.setup.database(), "{\"nonsense\"")?,
                    Kind::Servers => {
                        let publisher = self.publisher().await?;
                        publisher.publish_garbage().await?;
                        publisher.disconnect().await?;
                    }
                }
                Ok(Instant::now())
            }
            Fault::UnknownVersion => self.poison_order().await,
            Fault::Rebuild => {
                self.request_rebuilds().await?;
                Ok(Instant::now())
            }
            Fault::Burst(time) => {
                self.burst(*time).await?;
                Ok(Instant::now())
            }
            Fault::Flood(time) => self.flood(*time).await,
            Fault::FullDisk(time) => self.fill_disk(*time).await,
            Fault::UnreadStderr(service, stderr) => self.restart_with_stderr(service, *stderr),
        }
    }

    /// Waits while a fault lasts. Injects the overlapping fault, if there is one, halfway.
    async fn wait_out(&mut self, time: Duration) -> Result<()> {
        let Some(other) = self.overlapping_fault.take() else {
            sleep(time).await;
            return Ok(());
        };
        sleep(time / 2).await;
        Box::pin(self.inject(&other)).await?;
        sleep(time / 2).await;
        Ok(())
    }

    /// Sets the mode of a proxy for some time.
    async fn disturb(&mut self, proxy: &Proxy, mode: ProxyMode, time: Duration) -> Result<Instant> {
        proxy.set_mode(mode);
        let waited = self.wait_out(time).await;
        proxy.set_mode(ProxyMode::Open);
        waited.map(|()| Instant::now())
    }

    /// Reverts everything that an unfinished fault may have changed.
    ///
    /// # Errors
    /// When something cannot be reverted.
    pub async fn revert(&mut self) -> Result<()> {
        self.overlapping_fault = None;
        for service in self.setup.services.clone() {
            self.setup.world.process(&service).signal(Signal::SIGCONT);
        }
        if let Some(disk) = &self.setup.disk {
            // Fails if the disk is not filled.
            let _ = disk.empty();
        }
        if let Some(backends) = &mut self.setup.backends {
            for proxy in backends
                .mongo_proxies
                .iter()
                .chain([&backends.rabbit_proxy])
            {
                proxy.set_mode(ProxyMode::Open);
            }
            backends.rabbit.resume();
            for number in 0..backends.mongo.size() {
                let member = backends.mongo.member(number);
                member.resume();
                if !member.is_alive() {
                    tokio::task::block_in_place(|| member.start_again())?;
                }
            }
            if !backends.rabbit.is_alive() {
                tokio::task::block_in_place(|| backends.rabbit.start_again())?;
            }
            self.wait_for_broker().await?;
            tokio::task::block_in_place(|| self.backends()?.rabbit.alarm(false))?;
            tokio::task::block_in_place(|| {
                self.backends()?.rabbit.clear_policy(POLICY_NAME);
                anyhow::Ok(())
            })?;
            // Restores the binding of the queue.
            let publisher = self.publisher().await?;
            publisher.unbind(Duration::ZERO).await?;
            publisher.disconnect().await?;
        }
        self.setup.start_all()
    }

    /// Removes the binding of the schedule queue for some time.
    async fn unbind(&mut self, time: Duration) -> Result<Instant> {
        // The recorder's queue stays bound, so that the broker can still route messages of the
        // exchange and confirms them.
        let uri = self.broker()?;
        if self.recorder.is_none() {
            let prefix = self.setup.world.prefix();
            self.recorder = Some(MessageRecorder::connect(&uri, prefix).await?);
        }
        let publisher = self.publisher().await?;
        publisher.unbind(time).await?;
        publisher.disconnect().await?;
        Ok(Instant::now())
    }

    /// Places an order, adds an operation of an unknown schema version, and one more behind it.
    async fn poison_order(&mut self) -> Result<Instant> {
        let draft = self.poison_client.draft();
        let Some(order) = self
            .poison_client
            .request((None, Request::Place(draft)), 200)
            .await?
        else {
            bail!("the order to poison could not be placed");
        };
        let (_, message) = future_operation(&order, "poisoner");
        // Recorded first: a failure does not tell whether the operation has arrived.
        self.poisoned.push(order.clone());
        match self.setup.kind {
            Kind::Embedded => insert_into_queue(&self.setup.database(), &message)?,
            Kind::Servers => {
                let publisher = self.publisher().await?;
                publisher.publish_operation(&message).await?;
                publisher.disconnect().await?;
            }
        }
        let next = (Some(order), Request::Status("paid".into()));
        self.poison_client.request(next, 200).await?;
        Ok(Instant::now())
    }

    /// Runs many clients without pauses. Returns the number of accepted requests per second.
    async fn burst(&mut self, time: Duration) -> Result<f64> {
        let number = self.ledgers.len();
        let names = (0..BURST_CLIENTS).map(|index| format!("burst-{number}-{index}"));
        let identities: Vec<Identity> = names
            .map(|name| (self.identify)(&name))
            .collect::<Result<_>>()?;
        let workload = Workload::default();
        let folder = self.setup.folder().to_owned();
        let started = Instant::now();
        let group = ClientGroup::start(&identities, &folder, number as u64, &workload)?;
        sleep(time).await;
        let accepted = workload.accepted() as f64 / started.elapsed().as_secs_f64();
        self.ledgers.extend(group.finish().await?);
        self.report.add_answers(&workload);
        Ok(accepted)
    }

    /// Measures the capacity with a burst, then sends ten times as many orders per second.
    async fn flood(&mut self, time: Duration) -> Result<Instant> {
        let capacity = self.burst(time).await?;
        let identity = (self.identify)(&format!("flood-{}", self.ledgers.len()))?;
        let workload = Workload::default();
        let seed = self.ledgers.len() as u64;
        let client = OrderClient::new(identity, self.setup.folder(), seed, workload.clone())?;
        let started = Instant::now();
        let flood = client.flood(10.0 * capacity).await?;
        self.report.add_answers(&workload);
        self.report.floods.push(Flood {
            capacity,
            offered: flood.entries.len() as f64 / flood.sent_within.as_secs_f64(),
            orders: flood.entries.len() as u64,
            accepted: workload.accepted(),
            answered_within: started.elapsed(),
            recovered_within: None,
        });
        // Sent concurrently: no order among them is guaranteed. One ledger for each.
        self.ledgers
            .extend(flood.entries.into_iter().map(|one| vec![one]));
        Ok(Instant::now())
    }

    /// Keeps the small disk full for some time, then restarts what it has ended.
    async fn fill_disk(&mut self, time: Duration) -> Result<Instant> {
        let disk = self.setup.disk.as_ref();
        let disk = disk.ok_or(Unsupported("no small disk is mounted"))?;
        tokio::task::block_in_place(|| disk.fill())?;
        let waited = self.wait_out(time).await;
        if let Some(disk) = &self.setup.disk {
            disk.empty()?;
        }
        waited?;
        if let Some(backends) = &mut self.setup.backends {
            let last = backends.mongo.size() - 1;
            let member = backends.mongo.member(last);
            if !member.is_alive() {
                self.report.killed("mongod");
                tokio::task::block_in_place(|| member.start_again())?;
            }
        }
        self.setup.start_all()?;
        Ok(Instant::now())
    }

    fn backends(&mut self) -> Result<&mut crate::setup::Backends> {
        self.setup
            .backends
            .as_mut()
            .context("this deployment has no servers")
    }

    fn broker(&mut self) -> Result<String> {
        Ok(self.backends()?.rabbit.uri())
    }

    async fn publisher(&mut self) -> Result<RawPublisher> {
        let uri = self.broker()?;
        RawPublisher::connect(&uri, self.setup.world.prefix()).await
    }

    /// Waits until the broker accepts AMQP connections; an open port is not enough.
    async fn wait_for_broker(&mut self) -> Result<Instant> {
        let uri = self.broker()?;
        for _ in 0..600 {
            let connecting = Connection::connect(&uri, ConnectionProperties::default());
            let connected = tokio::time::timeout(Duration::from_secs(2), connecting).await;
            if matches!(connected, Ok(Ok(_))) {
                return Ok(Instant::now());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("RabbitMQ did not recover")
    }

    async fn member(&mut self, which: MemberChoice) -> Result<usize> {
        match which {
            MemberChoice::Member(number) => Ok(number),
            MemberChoice::Primary => Ok(self.backends()?.mongo.primary().await.unwrap_or(0)),
        }
    }
}

/// Returns the program of an instance, such as `api-server` for `api-server-2`.
fn program(instance: &str) -> &str {
    instance.strip_suffix("-2").unwrap_or(instance)
}
