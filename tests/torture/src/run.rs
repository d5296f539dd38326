//! A run: everybody at work, one fault after the other, then quiet, then the truth.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use bakehouse_e2e::issuer::{Issuer, bearer, claims};
use bakehouse_e2e::{Client, Kind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use crate::check::{Evidence, check, check_log_alone};
use crate::clients::{Crowd, Identity, Pace, Person};
use crate::conduct::{Conductor, Missing};
use crate::evidence::gather;
use crate::fault::Fault;
use crate::fault::plan::{Plan, Step};
use crate::intruder::{self, Intruder};
use crate::ledger::{Answer, Asked, Entry};
use crate::partner::Partner;
use crate::renewal;
use crate::report::Report;
use crate::scene::Scene;
use crate::teeth;
use crate::watchers::{Audience, Filter};

/// Clients who are at work all the time.
const CLIENTS: usize = 6;
/// Subscribers who never read.
const RUDE: usize = 3;
/// Longer than any run.
const TOKENS: u64 = 48 * 3_600;
/// After so long something does not recover any more.
pub(crate) const RECOVERY: Duration = Duration::from_secs(60);
/// Faults that are passed over until it is clear that none is meant.
const MISSES: usize = 100_000;
const BOTH: &str = "orders:read orders:write";
/// Who may not write.
const READER: &str = "reader";

/// What is asked for.
#[derive(Clone, Debug)]
pub struct Order {
    /// Where.
    pub kind: Kind,
    /// Leads to the same faults again.
    pub seed: u64,
    /// How long things go wrong.
    pub time: Duration,
    /// Milliseconds between the requests of one client, on average.
    pub rest: u64,
    /// A bug to be found.
    pub bug: Option<String>,
    /// Only faults whose names have this in them, or what they befall.
    pub only: Option<String>,
    /// What is enough to end it early: nothing recovers any more from some bugs, and every
    /// later look would only wait for its own end.
    pub enough: &'static [&'static str],
    /// The programs are those that are released, which have no places to end at.
    pub is_released: bool,
    /// Tells of every fault, and keeps the logs.
    pub is_loud: bool,
}

impl Order {
    fn has_enough(&self, report: &Report) -> bool {
        let counts = &report.findings.counts;
        self.enough.iter().any(|kind| counts.contains_key(kind))
    }
}

/// Runs it to its report.
///
/// # Errors
/// When the scene cannot be set; never for what is found.
pub async fn run(order: &Order) -> Result<Report> {
    let issuer = Issuer::new()?;
    let keys = issuer.file().display().to_string();
    let partner = Partner::start(order.seed).await?;
    let settings = [issuer.settings(&keys), partner.settings()].concat();
    let planted = order.bug.as_deref();
    let missing_sync = planted.and_then(teeth::missing_sync);
    // A missing sync is a bug of the disk's, which the programs do not know.
    let of_programs = planted.filter(|_| missing_sync.is_none());
    let always = of_programs.map(|bug| ("TORTURE_BUG".to_owned(), bug.to_owned()));
    let always = always.into_iter().collect();
    let scene = Scene::start(order.kind, &settings, always).await?;
    let bases = scene.bases.clone();
    let identify = move |subject: &str| {
        let scope = match subject {
            "operator" => "orders:admin",
            READER => "orders:read",
            _ => BOTH,
        };
        let mut claims = claims(subject, scope);
        let now = claims["iat"].as_u64().unwrap_or_default();
        claims["exp"] = (now + TOKENS).into();
        anyhow::Ok(Identity {
            subject: subject.to_owned(),
            authorization: bearer(&issuer.sign(&claims)?),
            bases: bases.clone(),
        })
    };
    let folder = scene.folder().to_owned();
    let operator = identify("operator")?;
    let names: Vec<String> = (0..CLIENTS)
        .map(|index| format!("client-{index}"))
        .collect();
    let clients: Vec<Identity> = names
        .iter()
        .map(|name| identify(name))
        .collect::<Result<_>>()?;
    let intruding = identify(intruder::NAME)?;
    let mut watchers = watchers(&operator, &clients);
    watchers.push((intruding.clone(), Filter::of(intruder::NAME)));
    let audience = Audience::start(watchers, RUDE, order.seed);
    let pace = Pace::default();
    pace.rest.store(order.rest, Ordering::Relaxed);
    let person = |name: &str, number: u64| {
        Person::new(identify(name)?, &folder, order.seed ^ number, pace.clone())
    };
    let (spoiler, mut prober) = (person("spoiler", 1_000)?, person("prober", 2_000)?);
    let intruder = person(intruder::NAME, 3_000)?;
    let intruder = Intruder::start(intruding, identify(READER)?, intruder, pace.placed.clone());
    let crowd = Crowd::start(&clients, &folder, order.seed, &pace)?;
    let random = StdRng::seed_from_u64(order.seed);
    let mut conductor = Conductor::new(scene, random, spoiler, Box::new(identify));
    conductor.ignored = missing_sync;
    let began = Instant::now();
    torture(&mut conductor, &mut prober, order).await;
    let seconds = began.elapsed().as_secs_f64();
    conductor.scene.start_all()?;
    let mut ledgers = crowd.finish().await?;
    let loot = intruder.finish().await?;
    let Conductor {
        mut scene,
        mut report,
        spoiler,
        spoiled,
        ledgers: of_bursts,
        ..
    } = conductor;
    report.seconds = seconds;
    report.seed = order.seed;
    report.world = format!("{:?}", order.kind).to_lowercase();
    report.remember_answers(&pace);
    report.turned_away = loot.turned_away;
    for complaint in &loot.complaints {
        report.findings.note("unauthorised", || complaint.clone());
    }
    ledgers.push(loot.ledger);
    if order.has_enough(&report) {
        return Ok(report);
    }
    if report.findings.counts.contains_key("not recovered") {
        // What comes would only wait for its own end; the log says what it has.
        ledgers.extend(of_bursts);
        ledgers.extend([spoiler.remember(), prober.remember()]);
        match scene.log().await {
            Ok(log) => check_log_alone(&ledgers, &log, &spoiled, &mut report.findings),
            Err(error) => report.findings.note("no evidence", || format!("{error:#}")),
        }
        return keep_logs(order, &scene, report);
    }
    if report.faults.is_empty() {
        report
            .findings
            .note("no fault", || "nothing was made to go wrong".into());
    }
    for base in &operator.bases {
        if let Err(error) = ready(base).await {
            report.findings.note("not ready", || format!("{error:#}"));
        }
    }
    // The queue keeps its order: behind this one there is nothing.
    if let Err(error) = recovered(&mut prober, Instant::now()).await {
        report.findings.note("not quiet", || format!("{error:#}"));
    }
    if order.has_enough(&report) {
        return Ok(report);
    }
    if let Err(error) = mend(&operator, &spoiled).await {
        report.findings.note("not mended", || format!("{error:#}"));
    }
    match renewal::ended(&operator).await {
        Ok(rounds) => report.rounds = rounds,
        Err(error) => {
            let what = || format!("{error:#}");
            report.findings.note("not made anew", what);
        }
    }
    ledgers.extend(of_bursts);
    ledgers.extend([spoiler.remember(), prober.remember()]);
    count(&mut report, &ledgers);
    let spoiled = spoiled.into_iter().collect();
    match gather(&mut scene, &operator, ledgers, spoiled, audience, partner).await {
        Ok(evidence) => conclude(&mut report, &evidence),
        Err(error) => report.findings.note("no evidence", || format!("{error:#}")),
    }
    report.remember(scene.memory());
    report.judge();
    keep_logs(order, &scene, report)
}

fn keep_logs(order: &Order, scene: &Scene, report: Report) -> Result<Report> {
    if order.is_loud || !report.is_clean() {
        let logs = scene.world.logs_in_full();
        let kept = std::env::temp_dir().join(format!("torture-{}.log", order.seed));
        std::fs::write(&kept, logs)?;
        eprintln!("torture: the services' logs are in {}", kept.display());
    }
    Ok(report)
}

fn watchers(operator: &Identity, clients: &[Identity]) -> Vec<(Identity, Filter)> {
    let of_all: [&[&str]; 5] = [
        &[],
        &[],
        &["order.status"],
        &["order.rejected"],
        &["order.deleted", "order.updated"],
    ];
    let of_all = of_all.into_iter().map(|kinds| {
        let filter = Filter {
            kinds,
            ..Filter::default()
        };
        (operator.clone(), filter)
    });
    let own = clients
        .iter()
        .map(|client| (client.clone(), Filter::of(&client.subject)));
    let streams = [operator, &clients[0]].map(|identity| {
        let owner = (identity.subject != operator.subject).then(|| identity.subject.clone());
        let filter = Filter {
            owner,
            is_stream: true,
            ..Filter::default()
        };
        (identity.clone(), filter)
    });
    of_all.chain(own).chain(streams).collect()
}

async fn torture(conductor: &mut Conductor, prober: &mut Person, order: &Order) {
    let members = conductor.scene.backends.as_ref();
    let members = members.map_or(0, |backends| backends.mongo.size());
    let services = &conductor.scene.services;
    let mut plan = Plan::new(order.kind, services, members, order.is_released);
    let only = order.only.as_deref().unwrap_or_default();
    if only.is_empty() {
        conductor.report.plan(&plan);
    }
    let mut misses = 0;
    let until = Instant::now() + order.time;
    while Instant::now() < until {
        let mut step = plan.next(&mut conductor.random);
        let fault = &step.fault;
        if !fault.name().contains(only) && !fault.to_string().contains(only) {
            misses += 1;
            if misses > MISSES {
                let findings = &mut conductor.report.findings;
                findings.note("no such fault", || {
                    format!("{only:?} is in no fault's name")
                });
                return;
            }
            continue;
        }
        misses = 0;
        // Each flood is measured by itself.
        step.is_rushed &= !matches!(step.fault, Fault::Flood(_));
        if !endure(conductor, prober, &step, order.is_loud).await {
            return;
        }
    }
}

/// Lets one step of the plan befall, and everything recover from it, unless the next one is to
/// come before that. Whether it goes on.
async fn endure(
    conductor: &mut Conductor,
    prober: &mut Person,
    step: &Step,
    is_loud: bool,
) -> bool {
    let fault = &step.fault;
    // Of what may be gone in a moment.
    let memory = conductor.scene.memory();
    conductor.report.remember(memory);
    let mut since = attempt(conductor, step).await;
    if let Err(error) = &since {
        // It may be that what befell before this had not recovered. Otherwise it is refused by
        // what is tortured.
        eprintln!("torture: {fault}: {error:#}; once more");
        let quiet = recovered(prober, Instant::now()).await;
        since = match quiet {
            Ok(_) if error.downcast_ref::<Missing>().is_none() => attempt(conductor, step).await,
            _ => since,
        };
    }
    let since = match since {
        Ok(since) => since,
        Err(error) => {
            let what = format!("{}: {error:#}", fault.name());
            eprintln!("torture: {what}");
            if error.downcast_ref::<Missing>().is_none() {
                let findings = &mut conductor.report.findings;
                findings.note("fault not possible", || what.clone());
            }
            *conductor.report.skipped.entry(what).or_default() += 1;
            Instant::now()
        }
    };
    if step.is_rushed {
        conductor.report.rushed += 1;
        let breath = conductor.random.random_range(0..400);
        sleep(Duration::from_millis(breath)).await;
        return true;
    }
    let took = recovered(prober, since).await;
    if is_loud {
        eprintln!("torture: {fault}: {took:?}");
    }
    let report = &mut conductor.report;
    match took {
        Ok(_) if fault.is_beside() => {}
        // First it works off what it has accepted.
        Ok(took) if matches!(fault, Fault::Flood(_)) => {
            if let Some(flood) = report.floods.last_mut() {
                flood.recovered_within.get_or_insert(took);
            }
        }
        Ok(took) if fault.is_of_servers() => report.servers.push(took),
        Ok(took) => report.services.push(took),
        Err(error) => {
            report
                .findings
                .note("not recovered", || format!("after {fault}: {error:#}"));
            return false;
        }
    }
    let breath = conductor.random.random_range(0..300);
    sleep(Duration::from_millis(breath)).await;
    true
}

/// Brings a fault about; where that fails, whatever is half done is undone.
async fn attempt(conductor: &mut Conductor, step: &Step) -> Result<Instant> {
    let limited = tokio::time::timeout(2 * RECOVERY, conductor.perform(&step.fault)).await;
    let done = limited.context("it takes too long").and_then(|done| done);
    if done.is_ok() {
        conductor.report.befell(step);
    } else {
        let healing = tokio::time::timeout(2 * RECOVERY, conductor.heal()).await;
        if let Ok(Err(error)) = healing {
            eprintln!("torture: not healed: {error:#}");
        }
    }
    done
}

/// Waits until an api-server answers for itself.
pub(crate) async fn ready(base: &str) -> Result<()> {
    let client = Client::new(base);
    bakehouse_e2e::world::wait(RECOVERY, base, async || {
        let answer = client.get("/health/ready").await;
        answer.is_ok_and(|answer| answer.status == 200)
    })
    .await
}

/// How long it took until an order that was placed after `since` could be read.
async fn recovered(prober: &mut Person, since: Instant) -> Result<Duration> {
    let until = since + RECOVERY;
    let mut placed = None;
    while Instant::now() < until {
        match &placed {
            None => {
                let wish = prober.wish();
                placed = prober.ask((None, Asked::Place(wish)), 1).await?;
            }
            Some(order) if prober.sees(order).await => return Ok(since.elapsed()),
            Some(_) => {}
        }
        sleep(Duration::from_millis(10)).await;
    }
    bail!("an order could not be placed and read within {RECOVERY:?}: {placed:?}")
}

/// An operator gives up what was spoiled; what waits behind it goes on.
async fn mend(operator: &Identity, spoiled: &[String]) -> Result<()> {
    let client = Client::new(&operator.bases[0]);
    let headers = [
        ("authorization", operator.authorization.as_str()),
        ("content-type", "application/json"),
    ];
    for _ in 0..=spoiled.len() {
        let parked = client.get_with("/parked?limit=100", &headers).await?.json();
        let parked = parked.as_array().context("a list of what is parked")?;
        let first = parked.iter().find(|one| {
            let id = one["order_id"].as_str().unwrap_or_default();
            spoiled.iter().any(|order| order == id)
        });
        let Some(first) = first else { break };
        let path = format!(
            "/parked/{}/discard",
            first["operation_id"].as_str().unwrap_or_default()
        );
        let body = r#"{"reason":"nobody can read it"}"#;
        let method = hyper::Method::POST;
        let answer = client.send(method, &path, &headers, body).await?;
        ensure!(answer.status == 202, "discard: {answer:?}");
        let receipt = [headers[0], ("prefer", "wait=20")];
        let path = answer.header("operation-location");
        client.get_with(path, &receipt).await?;
    }
    Ok(())
}

fn count(report: &mut Report, ledgers: &[Vec<Entry>]) {
    for entry in ledgers.iter().flatten() {
        match entry.answer {
            Answer::Accepted { .. } => {}
            Answer::Refused(_) => report.refused += 1,
            Answer::Unknown => report.unknown += 1,
        }
    }
}

fn conclude(report: &mut Report, evidence: &Evidence) {
    let found = check(evidence);
    for (kind, count) in found.counts {
        *report.findings.counts.entry(kind).or_default() += count;
    }
    report.findings.shown.extend(found.shown);
    report.events = evidence.log.len() as u64;
    let placed = evidence.log.iter().filter(|row| row.verb == "INSERT");
    report.orders = placed.filter(|row| row.status == "executed").count() as u64;
    let messages = &evidence.heard.messages;
    report.notified = messages.len() as u64;
    report.reads = evidence.reads.counts().into();
    let again = messages
        .values()
        .map(|one| u64::from(one.taken.saturating_sub(1)));
    report.notified_again = again.sum();
    for seen in &evidence.seen {
        report.frames += seen.frames.len() as u64;
        for (code, count) in &seen.closes {
            *report.closes.entry(*code).or_default() += count;
        }
    }
}
