//! One complete run: clients and subscribers work while one fault after the other is injected;
//! after recovery, the final state is collected and checked.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bakehouse_e2e::issuer::{Issuer, bearer, claims};
use bakehouse_e2e::{Client, Kind};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::time::sleep;

use crate::bugs;
use crate::check::{check, check_log_alone};
use crate::clients::{ClientGroup, Identity, OrderClient, Workload};
use crate::evidence::{Evidence, gather};
use crate::fault::Fault;
use crate::fault::plan::{Plan, Step};
use crate::intruder::{self, Intruder};
use crate::ledger::{Answer, Entry};
use crate::nemesis::{Nemesis, Unsupported};
use crate::rebuilds;
use crate::recovery::{RECOVERY_TIMEOUT, ready, wait_for_recovery};
use crate::report::Report;
use crate::setup::Setup;
use crate::subscribers::{Filter, Subscribers};
use crate::webhook_receiver::WebhookReceiver;

/// Number of clients that send requests during the whole run.
const CLIENTS: usize = 6;
/// Number of subscribers that do not read, or disconnect abruptly.
const UNREAD_SUBSCRIBERS: usize = 3;
/// Lifetime of tokens, in seconds; longer than any run.
const TOKEN_TTL_SECONDS: u64 = 48 * 3_600;
/// Maximum number of planned faults that are skipped in a row before the filter counts as one
/// that matches nothing.
const MAX_SKIPPED_FAULTS: usize = 100_000;
/// Scopes of an ordinary client.
const READ_WRITE: &str = "orders:read orders:write";
/// Subject of a token without the scope to write.
const READER: &str = "reader";

/// Options of a run.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// Deployment under test.
    pub kind: Kind,
    /// Seed of the sequence of faults.
    pub seed: u64,
    /// Time for which faults are injected.
    pub duration: Duration,
    /// Average time between two requests of a client, in milliseconds.
    pub pause_ms: u64,
    /// Planted bug.
    pub bug: Option<String>,
    /// Text that the name or the details of a fault must contain; otherwise it is skipped.
    pub only: Option<String>,
    /// Kinds of findings that end the run early: the system cannot recover from some bugs, so
    /// that every later step would time out.
    pub stop_at: &'static [&'static str],
    /// True for release programs, which have no failpoints.
    pub is_released: bool,
    /// True to print every fault and to keep the logs.
    pub is_loud: bool,
}

impl RunOptions {
    /// Checks whether a finding ends the run early.
    fn is_complete(&self, report: &Report) -> bool {
        let counts = &report.findings.counts;
        self.stop_at.iter().any(|kind| counts.contains_key(kind))
    }
}

/// Executes a run and returns its report.
///
/// # Errors
/// When the system cannot be started, or a ledger cannot be written. Findings are not errors.
pub async fn run(options: &RunOptions) -> Result<Report> {
    let issuer = Issuer::new()?;
    let keys = issuer.file().display().to_string();
    let receiver = WebhookReceiver::start(options.seed).await?;
    let settings = [issuer.settings(&keys), receiver.settings()].concat();
    let bug = options.bug.as_deref();
    let ignored_sync = bug.and_then(bugs::ignored_sync);
    // Ignored syncs are planted in the model of the disk, not in the programs.
    let program_bug = bug.filter(|_| ignored_sync.is_none());
    let environment = program_bug.map(|bug| ("TORTURE_BUG".to_owned(), bug.to_owned()));
    let environment = environment.into_iter().collect();
    let setup = Setup::start(options.kind, &settings, environment).await?;
    let bases = setup.bases.clone();
    let identify = move |subject: &str| {
        let scope = match subject {
            "operator" => "orders:admin",
            READER => "orders:read",
            _ => READ_WRITE,
        };
        let mut claims = claims(subject, scope);
        let now = claims["iat"].as_u64().unwrap_or_default();
        claims["exp"] = (now + TOKEN_TTL_SECONDS).into();
        anyhow::Ok(Identity {
            subject: subject.to_owned(),
            authorization: bearer(&issuer.sign(&claims)?),
            bases: bases.clone(),
        })
    };
    let folder = setup.folder().to_owned();
    let operator = identify("operator")?;
    let names: Vec<String> = (0..CLIENTS)
        .map(|index| format!("client-{index}"))
        .collect();
    let clients: Vec<Identity> = names
        .iter()
        .map(|name| identify(name))
        .collect::<Result<_>>()?;
    let intruder_identity = identify(intruder::NAME)?;
    let mut subscriptions = subscriptions(&operator, &clients);
    subscriptions.push((intruder_identity.clone(), Filter::of(intruder::NAME)));
    let subscribers = Subscribers::start(subscriptions, UNREAD_SUBSCRIBERS, options.seed);
    let workload = Workload::default();
    workload.pause_ms.store(options.pause_ms, Ordering::Relaxed);
    let order_client = |name: &str, number: u64| {
        OrderClient::new(
            identify(name)?,
            &folder,
            options.seed ^ number,
            workload.clone(),
        )
    };
    let (poison_client, mut prober) = (
        order_client("poisoner", 1_000)?,
        order_client("prober", 2_000)?,
    );
    let intruder = order_client(intruder::NAME, 3_000)?;
    let intruder = Intruder::start(
        intruder_identity,
        identify(READER)?,
        intruder,
        workload.placed.clone(),
    );
    let group = ClientGroup::start(&clients, &folder, options.seed, &workload)?;
    let random = StdRng::seed_from_u64(options.seed);
    let mut nemesis = Nemesis::new(setup, random, poison_client, Box::new(identify));
    nemesis.ignored_sync = ignored_sync;
    let started = Instant::now();
    inject_faults(&mut nemesis, &mut prober, options).await;
    let seconds = started.elapsed().as_secs_f64();
    nemesis.setup.start_all()?;
    let mut ledgers = group.finish().await?;
    let intruder_results = intruder.finish().await?;
    let Nemesis {
        mut setup,
        mut report,
        poison_client,
        poisoned,
        ledgers: burst_ledgers,
        ..
    } = nemesis;
    report.seconds = seconds;
    report.seed = options.seed;
    report.world = format!("{:?}", options.kind).to_lowercase();
    report.add_answers(&workload);
    report.rejected = intruder_results.rejected;
    for violation in &intruder_results.violations {
        report.findings.note("unauthorised", || violation.clone());
    }
    ledgers.push(intruder_results.ledger);
    if options.is_complete(&report) {
        return Ok(report);
    }
    if report.findings.counts.contains_key("not recovered") {
        // Every further step would time out, so only the log is checked.
        ledgers.extend(burst_ledgers);
        ledgers.extend([poison_client.into_ledger(), prober.into_ledger()]);
        match setup.log().await {
            Ok(log) => check_log_alone(&ledgers, &log, &poisoned, &mut report.findings),
            Err(error) => report
                .findings
                .note("evidence incomplete", || format!("{error:#}")),
        }
        return keep_logs(options, &setup, report);
    }
    if report.faults.is_empty() {
        report
            .findings
            .note("no fault", || "no fault was injected".into());
    }
    for base in &operator.bases {
        if let Err(error) = ready(base).await {
            report.findings.note("not ready", || format!("{error:#}"));
        }
    }
    // The queue is ordered: when this order is processed, all earlier operations are.
    if let Err(error) = wait_for_recovery(&mut prober, Instant::now()).await {
        report
            .findings
            .note("not recovered at the end", || format!("{error:#}"));
    }
    if options.is_complete(&report) {
        return Ok(report);
    }
    if let Err(error) = discard_poisoned(&operator, &poisoned).await {
        report
            .findings
            .note("parked operations not discarded", || format!("{error:#}"));
    }
    match rebuilds::wait_until_done(&operator).await {
        Ok(counts) => report.rebuilds = counts,
        Err(error) => {
            let what = || format!("{error:#}");
            report.findings.note("rebuild not completed", what);
        }
    }
    ledgers.extend(burst_ledgers);
    ledgers.extend([poison_client.into_ledger(), prober.into_ledger()]);
    count_answers(&mut report, &ledgers);
    let poisoned = poisoned.into_iter().collect();
    match gather(
        &mut setup,
        &operator,
        ledgers,
        poisoned,
        subscribers,
        receiver,
    )
    .await
    {
        Ok(evidence) => check_evidence(&mut report, &evidence),
        Err(error) => report
            .findings
            .note("evidence incomplete", || format!("{error:#}")),
    }
    report.record_memory(setup.memory());
    report.check_limits();
    keep_logs(options, &setup, report)
}

fn keep_logs(options: &RunOptions, setup: &Setup, report: Report) -> Result<Report> {
    if options.is_loud || !report.is_clean() {
        let logs = setup.world.logs_in_full();
        let file = std::env::temp_dir().join(format!("torture-{}.log", options.seed));
        std::fs::write(&file, logs)?;
        eprintln!("torture: logs of the services: {}", file.display());
    }
    Ok(report)
}

fn subscriptions(operator: &Identity, clients: &[Identity]) -> Vec<(Identity, Filter)> {
    let type_filters: [&[&str]; 5] = [
        &[],
        &[],
        &["order.status"],
        &["order.rejected"],
        &["order.deleted", "order.updated"],
    ];
    let all_orders = type_filters.into_iter().map(|kinds| {
        let filter = Filter {
            kinds,
            ..Filter::default()
        };
        (operator.clone(), filter)
    });
    let own_orders = clients
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
    all_orders.chain(own_orders).chain(streams).collect()
}

async fn inject_faults(nemesis: &mut Nemesis, prober: &mut OrderClient, options: &RunOptions) {
    let members = nemesis.setup.backends.as_ref();
    let members = members.map_or(0, |backends| backends.mongo.size());
    let services = &nemesis.setup.services;
    let mut plan = Plan::new(options.kind, services, members, options.is_released);
    let only = options.only.as_deref().unwrap_or_default();
    if only.is_empty() {
        nemesis.report.expect_plan(&plan);
    }
    let mut skipped = 0;
    let until = Instant::now() + options.duration;
    while Instant::now() < until {
        let mut step = plan.next(&mut nemesis.random);
        let fault = &step.fault;
        if !fault.name().contains(only) && !fault.to_string().contains(only) {
            skipped += 1;
            if skipped > MAX_SKIPPED_FAULTS {
                let findings = &mut nemesis.report.findings;
                findings.note("no such fault", || {
                    format!("no fault's name or details contain {only:?}")
                });
                return;
            }
            continue;
        }
        skipped = 0;
        // A flood is measured alone.
        step.overlaps_next &= !matches!(step.fault, Fault::Flood(_));
        if !run_step(nemesis, prober, &step, options.is_loud).await {
            return;
        }
    }
}

/// Injects the fault of one step and waits for recovery, unless the next fault is to overlap with
/// the recovery. Returns whether the run can continue.
async fn run_step(
    nemesis: &mut Nemesis,
    prober: &mut OrderClient,
    step: &Step,
    is_loud: bool,
) -> bool {
    let fault = &step.fault;
    // The fault may end processes, and their memory figures with them.
    let memory = nemesis.setup.memory();
    nemesis.report.record_memory(memory);
    let mut since = inject(nemesis, step).await;
    if let Err(error) = &since {
        // The failure may result from an earlier fault that had not recovered. A second failure
        // is a finding.
        eprintln!("torture: {fault}: {error:#}; retrying");
        let recovery = wait_for_recovery(prober, Instant::now()).await;
        since = match recovery {
            Ok(_) if error.downcast_ref::<Unsupported>().is_none() => inject(nemesis, step).await,
            _ => since,
        };
    }
    let since = match since {
        Ok(since) => since,
        Err(error) => {
            let what = format!("{}: {error:#}", fault.name());
            eprintln!("torture: {what}");
            if error.downcast_ref::<Unsupported>().is_none() {
                let findings = &mut nemesis.report.findings;
                findings.note("fault not injected", || what.clone());
            }
            *nemesis.report.skipped.entry(what).or_default() += 1;
            Instant::now()
        }
    };
    if step.overlaps_next {
        nemesis.report.overlapping += 1;
        let pause = nemesis.random.random_range(0..400);
        sleep(Duration::from_millis(pause)).await;
        return true;
    }
    let took = wait_for_recovery(prober, since).await;
    if is_loud {
        eprintln!("torture: {fault}: {took:?}");
    }
    let report = &mut nemesis.report;
    match took {
        Ok(_) if fault.only_affects_notifier() => {}
        // The accepted orders are processed first.
        Ok(took) if matches!(fault, Fault::Flood(_)) => {
            if let Some(flood) = report.floods.last_mut() {
                flood.recovered_within.get_or_insert(took);
            }
        }
        Ok(took) if fault.affects_servers() => report.servers.push(took),
        Ok(took) => report.services.push(took),
        Err(error) => {
            report
                .findings
                .note("not recovered", || format!("after {fault}: {error:#}"));
            return false;
        }
    }
    let pause = nemesis.random.random_range(0..300);
    sleep(Duration::from_millis(pause)).await;
    true
}

/// Injects a fault. When that fails, reverts what it has changed so far.
async fn inject(nemesis: &mut Nemesis, step: &Step) -> Result<Instant> {
    let limited = tokio::time::timeout(2 * RECOVERY_TIMEOUT, nemesis.inject(&step.fault)).await;
    let done = limited.context("timed out").and_then(|done| done);
    if done.is_ok() {
        nemesis.report.record_fault(step);
    } else {
        let reverted = tokio::time::timeout(2 * RECOVERY_TIMEOUT, nemesis.revert()).await;
        if let Ok(Err(error)) = reverted {
            eprintln!("torture: the fault was not reverted: {error:#}");
        }
    }
    done
}

/// Discards the parked operations of poisoned orders, so that the operations behind them are
/// executed.
async fn discard_poisoned(operator: &Identity, poisoned: &[String]) -> Result<()> {
    let client = Client::new(&operator.bases[0]);
    let headers = [
        ("authorization", operator.authorization.as_str()),
        ("content-type", "application/json"),
    ];
    for _ in 0..=poisoned.len() {
        let parked = client.get_with("/parked?limit=100", &headers).await?.json();
        let parked = parked.as_array().context("no list of parked operations")?;
        let first = parked.iter().find(|operation| {
            let id = operation["order_id"].as_str().unwrap_or_default();
            poisoned.iter().any(|order| order == id)
        });
        let Some(first) = first else { break };
        let path = format!(
            "/parked/{}/discard",
            first["operation_id"].as_str().unwrap_or_default()
        );
        let body = r#"{"reason":"unknown schema version"}"#;
        let method = hyper::Method::POST;
        let answer = client.send(method, &path, &headers, body).await?;
        ensure!(answer.status == 202, "discard: {answer:?}");
        let receipt = [headers[0], ("prefer", "wait=20")];
        let path = answer.header("operation-location");
        client.get_with(path, &receipt).await?;
    }
    Ok(())
}

fn count_answers(report: &mut Report, ledgers: &[Vec<Entry>]) {
    for entry in ledgers.iter().flatten() {
        match entry.answer {
            Answer::Accepted { .. } => {}
            Answer::Refused(_) => report.refused += 1,
            Answer::Unknown => report.unknown += 1,
        }
    }
}

/// Runs the checks and adds their findings and figures to the report.
fn check_evidence(report: &mut Report, evidence: &Evidence) {
    let found = check(evidence);
    for (kind, count) in found.counts {
        *report.findings.counts.entry(kind).or_default() += count;
    }
    report.findings.shown.extend(found.shown);
    report.events = evidence.log.len() as u64;
    let placed = evidence.log.iter().filter(|row| row.verb == "INSERT");
    report.orders = placed.filter(|row| row.status == "executed").count() as u64;
    let notifications = &evidence.notifications.by_position;
    report.notified = notifications.len() as u64;
    report.reads = evidence.reads.counts().into();
    let repeats = notifications
        .values()
        .map(|one| u64::from(one.acknowledged.saturating_sub(1)));
    report.notified_again = repeats.sum();
    for record in &evidence.subscribers {
        report.frames += record.frames.len() as u64;
        for (code, count) in &record.closes {
            *report.closes.entry(*code).or_default() += count;
        }
    }
}
