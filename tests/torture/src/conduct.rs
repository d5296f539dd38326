//! Makes it go wrong, puts it right again, and says since when it should work.
//!
//! - [`services`]: what befalls processes;
//! - [`power`]: what is left of the embedded store when the power goes.

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

use crate::clients::{Crowd, Identify, Identity, Pace, Person};
use crate::fault::{Fault, Which};
use crate::ledger::{Asked, Entry};
use crate::messages::{Eavesdropper, Stranger, of_tomorrow, smuggle};
use crate::proxy::{Manner, Proxy};
use crate::report::{Flood, Report};
use crate::scene::Scene;

mod power;
mod services;

/// Name of the policy that is set on the broker.
const POLICY: &str = "torture";
/// Clients of a burst.
const CROWD: usize = 200;

/// Part that a fault takes and this machine does not have; nothing is wrong with what is tortured.
#[derive(Debug)]
pub struct Missing(pub &'static str);

impl std::fmt::Display for Missing {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0)
    }
}

impl std::error::Error for Missing {}

/// Who makes it go wrong.
pub struct Conductor {
    /// On what.
    pub scene: Scene,
    /// What it tells of.
    pub report: Report,
    /// Chance, by a seed.
    pub random: StdRng,
    /// Who places the orders that are then spoiled.
    pub spoiler: Person,
    /// Orders that have been spoiled.
    pub spoiled: Vec<String>,
    /// What clients of bursts remember.
    pub ledgers: Vec<Vec<Entry>>,
    /// Makes an identity of a name.
    pub identify: Identify,
    /// Makes clocks wrong; none where that cannot be had.
    pub false_clock: Option<PathBuf>,
    /// Syncs of the embedded store that are taken as never made.
    pub ignored: Option<Ignored>,
    /// Fault in the middle of the one that is under way.
    meanwhile: Option<Fault>,
    eavesdropper: Option<Eavesdropper>,
}

impl Conductor {
    /// One for a scene.
    #[must_use]
    pub fn new(scene: Scene, random: StdRng, spoiler: Person, identify: Identify) -> Self {
        Self {
            scene,
            report: Report::default(),
            random,
            spoiler,
            spoiled: Vec::new(),
            ledgers: Vec::new(),
            identify,
            false_clock: bakehouse_dev_servers::false_clock(),
            ignored: None,
            meanwhile: None,
            eavesdropper: None,
        }
    }

    /// Does it, and undoes it: since when everything should work again.
    ///
    /// # Errors
    /// When it cannot be done: [`Missing`] where this machine cannot, and anything else where
    /// what is tortured refuses.
    pub async fn perform(&mut self, fault: &Fault) -> Result<Instant> {
        match fault {
            Fault::AtOnce(one, other) => {
                self.meanwhile = Some(other.as_ref().clone());
                let since = Box::pin(self.perform(one)).await?;
                // Not if it came to its end before it began to last.
                match self.meanwhile.take() {
                    Some(other) => Box::pin(self.perform(&other)).await,
                    None => Ok(since),
                }
            }
            Fault::Kill(which) => self.kill(which),
            Fault::Restart(which) => self.restart(which),
            Fault::PowerLoss(time, seed) => self.lose_power(*time, *seed).await,
            Fault::AbortBeside(program, place, count) => {
                self.abort_beside(program, place, *count).await
            }
            Fault::Abort(program, place, count) => self.abort(program, place, *count).await,
            Fault::Stop(program, place, count, time) => {
                self.stop(program, place, *count, *time).await
            }
            Fault::Pause(service, time) => {
                // Each instance in its turn: one of them leads.
                for one in self.instances(program(service)) {
                    self.scene.world.process(&one).signal(Signal::SIGSTOP);
                    self.hold(*time).await?;
                    self.scene.world.process(&one).signal(Signal::SIGCONT);
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
                self.hold(*time).await?;
                let started = tokio::task::block_in_place(|| {
                    self.backends()?.mongo.member(member).start_again()
                });
                started?;
                self.scene.start_all()?;
                Ok(Instant::now())
            }
            Fault::PauseDatabase(which, time) => {
                let member = self.member(*which).await?;
                self.backends()?.mongo.member(member).pause();
                self.hold(*time).await?;
                self.backends()?.mongo.member(member).resume();
                Ok(Instant::now())
            }
            Fault::StepDown => {
                self.backends()?.mongo.step_down().await?;
                Ok(Instant::now())
            }
            Fault::KillBroker(with) => {
                self.eavesdropper = None;
                self.backends()?.rabbit.kill();
                self.report.killed("RabbitMQ");
                if let Some(service) = with {
                    self.kill_one(service);
                }
                let started = tokio::task::block_in_place(|| self.backends()?.rabbit.start_again());
                started?;
                self.scene.start_all()?;
                self.broker_answers().await
            }
            Fault::PauseBroker(time) => {
                self.backends()?.rabbit.pause();
                self.hold(*time).await?;
                self.backends()?.rabbit.resume();
                Ok(Instant::now())
            }
            Fault::Alarm(time) => {
                tokio::task::block_in_place(|| self.backends()?.rabbit.alarm(true))?;
                self.hold(*time).await?;
                tokio::task::block_in_place(|| self.backends()?.rabbit.alarm(false))?;
                Ok(Instant::now())
            }
            Fault::DatabaseLine(which, manner, time) => {
                let member = self.member(*which).await?;
                let line = self.backends()?.before_mongo[member].clone();
                self.disturb(&line, *manner, *time).await
            }
            Fault::BrokerLine(manner, time) => {
                let line = self.backends()?.before_rabbit.clone();
                self.disturb(&line, *manner, *time).await
            }
            Fault::Unbind(time) => self.unbind(*time).await,
            Fault::Policy(policy, time) => {
                let rabbit = &self.backends()?.rabbit;
                tokio::task::block_in_place(|| rabbit.set_policy(POLICY, ".*", policy))?;
                self.hold(*time).await?;
                let rabbit = &self.backends()?.rabbit;
                tokio::task::block_in_place(|| rabbit.clear_policy(POLICY));
                Ok(Instant::now())
            }
            Fault::Clock(program, seconds) => self.set_clock(program, *seconds).await,
            Fault::Repeat => {
                let uri = self.broker()?;
                let mut all = match self.eavesdropper.take() {
                    Some(all) => all,
                    None => Eavesdropper::at(&uri, self.scene.world.prefix()).await?,
                };
                all.listen().await?;
                // Its own chance: how much it takes depends on what has passed.
                let mut random = StdRng::seed_from_u64(self.random.random());
                all.repeat(&mut random).await?;
                self.eavesdropper = Some(all);
                Ok(Instant::now())
            }
            Fault::Babble => {
                match self.scene.kind {
                    Kind::Embedded => smuggle(&self.scene.database(), "{\"nonsense\"")?,
                    Kind::Servers => {
                        let stranger = self.stranger().await?;
                        stranger.babble().await?;
                        stranger.leave().await?;
                    }
                }
                Ok(Instant::now())
            }
            Fault::Poison => self.poison().await,
            Fault::Renew => {
                self.renew().await?;
                Ok(Instant::now())
            }
            Fault::Burst(time) => {
                self.burst(*time).await?;
                Ok(Instant::now())
            }
            Fault::Flood(time) => self.flood(*time).await,
            Fault::FullDisk(time) => self.fill(*time).await,
            Fault::UnreadLog(service, stderr) => self.log_to(service, *stderr),
        }
    }

    /// Lets a fault last, and another one befall in the middle of it where one is to.
    async fn hold(&mut self, time: Duration) -> Result<()> {
        let Some(other) = self.meanwhile.take() else {
            sleep(time).await;
            return Ok(());
        };
        sleep(time / 2).await;
        Box::pin(self.perform(&other)).await?;
        sleep(time / 2).await;
        Ok(())
    }

    async fn disturb(&mut self, line: &Proxy, manner: Manner, time: Duration) -> Result<Instant> {
        line.be(manner);
        let held = self.hold(time).await;
        line.be(Manner::Open);
        held.map(|()| Instant::now())
    }

    /// Puts right whatever a fault has left behind that could not be finished.
    ///
    /// # Errors
    /// When it cannot be put right.
    pub async fn heal(&mut self) -> Result<()> {
        self.meanwhile = None;
        for service in self.scene.services.clone() {
            self.scene.world.process(&service).signal(Signal::SIGCONT);
        }
        if let Some(disk) = &self.scene.disk {
            // Not there, unless it was filled.
            let _ = disk.empty();
        }
        if let Some(backends) = &mut self.scene.backends {
            for line in backends
                .before_mongo
                .iter()
                .chain([&backends.before_rabbit])
            {
                line.be(Manner::Open);
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
            self.broker_answers().await?;
            tokio::task::block_in_place(|| self.backends()?.rabbit.alarm(false))?;
            tokio::task::block_in_place(|| {
                self.backends()?.rabbit.clear_policy(POLICY);
                anyhow::Ok(())
            })?;
            // What takes nothing away gives back what was taken.
            let stranger = self.stranger().await?;
            stranger.unbind(Duration::ZERO).await?;
            stranger.leave().await?;
        }
        self.scene.start_all()
    }

    async fn unbind(&mut self, time: Duration) -> Result<Instant> {
        // Another queue is bound meanwhile: the broker could still route what is published
        // to the exchange, and would say so.
        let uri = self.broker()?;
        if self.eavesdropper.is_none() {
            let prefix = self.scene.world.prefix();
            self.eavesdropper = Some(Eavesdropper::at(&uri, prefix).await?);
        }
        let stranger = self.stranger().await?;
        stranger.unbind(time).await?;
        stranger.leave().await?;
        Ok(Instant::now())
    }

    /// An order whose next operation nobody here can read, and one that waits behind it.
    async fn poison(&mut self) -> Result<Instant> {
        let wish = self.spoiler.wish();
        let Some(order) = self.spoiler.ask((None, Asked::Place(wish)), 200).await? else {
            bail!("no order could be placed to be spoiled");
        };
        let (_, message) = of_tomorrow(&order, "spoiler");
        // Whether or not it is known to have arrived.
        self.spoiled.push(order.clone());
        match self.scene.kind {
            Kind::Embedded => smuggle(&self.scene.database(), &message)?,
            Kind::Servers => {
                let stranger = self.stranger().await?;
                stranger.hand_in(&message).await?;
                stranger.leave().await?;
            }
        }
        let next = (Some(order), Asked::Status("paid".into()));
        self.spoiler.ask(next, 200).await?;
        Ok(Instant::now())
    }

    /// How many requests were accepted in a second.
    async fn burst(&mut self, time: Duration) -> Result<f64> {
        let number = self.ledgers.len();
        let names = (0..CROWD).map(|index| format!("burst-{number}-{index}"));
        let crowd: Vec<Identity> = names
            .map(|name| (self.identify)(&name))
            .collect::<Result<_>>()?;
        let pace = Pace::default();
        let folder = self.scene.folder().to_owned();
        let began = Instant::now();
        let crowd = Crowd::start(&crowd, &folder, number as u64, &pace)?;
        sleep(time).await;
        let accepted = pace.accepted() as f64 / began.elapsed().as_secs_f64();
        self.ledgers.extend(crowd.finish().await?);
        self.report.remember_answers(&pace);
        Ok(accepted)
    }

    async fn flood(&mut self, time: Duration) -> Result<Instant> {
        let capacity = self.burst(time).await?;
        let identity = (self.identify)(&format!("flood-{}", self.ledgers.len()))?;
        let pace = Pace::default();
        let seed = self.ledgers.len() as u64;
        let person = Person::new(identity, self.scene.folder(), seed, pace.clone())?;
        let began = Instant::now();
        let wave = person.flood(10.0 * capacity).await?;
        self.report.remember_answers(&pace);
        self.report.floods.push(Flood {
            capacity,
            offered: wave.entries.len() as f64 / wave.sent_within.as_secs_f64(),
            orders: wave.entries.len() as u64,
            accepted: pace.accepted(),
            answered_within: began.elapsed(),
            recovered_within: None,
        });
        // Sent side by side: no order among them is promised.
        self.ledgers
            .extend(wave.entries.into_iter().map(|one| vec![one]));
        Ok(Instant::now())
    }

    async fn fill(&mut self, time: Duration) -> Result<Instant> {
        let disk = self.scene.disk.as_ref();
        let disk = disk.ok_or(Missing("there is no small disk"))?;
        tokio::task::block_in_place(|| disk.fill())?;
        let held = self.hold(time).await;
        if let Some(disk) = &self.scene.disk {
            disk.empty()?;
        }
        held?;
        if let Some(backends) = &mut self.scene.backends {
            let last = backends.mongo.size() - 1;
            let member = backends.mongo.member(last);
            if !member.is_alive() {
                self.report.killed("mongod");
                tokio::task::block_in_place(|| member.start_again())?;
            }
        }
        self.scene.start_all()?;
        Ok(Instant::now())
    }

    fn backends(&mut self) -> Result<&mut crate::scene::Backends> {
        self.scene.backends.as_mut().context("there are no servers")
    }

    fn broker(&mut self) -> Result<String> {
        Ok(self.backends()?.rabbit.uri())
    }

    async fn stranger(&mut self) -> Result<Stranger> {
        let uri = self.broker()?;
        Stranger::at(&uri, self.scene.world.prefix()).await
    }

    /// When the broker is back: a port that is open is not enough.
    async fn broker_answers(&mut self) -> Result<Instant> {
        let uri = self.broker()?;
        for _ in 0..600 {
            let connecting = Connection::connect(&uri, ConnectionProperties::default());
            let connected = tokio::time::timeout(Duration::from_secs(2), connecting).await;
            if matches!(connected, Ok(Ok(_))) {
                return Ok(Instant::now());
            }
            sleep(Duration::from_millis(50)).await;
        }
        bail!("RabbitMQ does not come back")
    }

    async fn member(&mut self, which: Which) -> Result<usize> {
        match which {
            Which::Member(number) => Ok(number),
            Which::Primary => Ok(self.backends()?.mongo.primary().await.unwrap_or(0)),
        }
    }
}

/// The program of an instance: `api-server` of `api-server-2`.
fn program(instance: &str) -> &str {
    instance.strip_suffix("-2").unwrap_or(instance)
}
