//! Run of one seed: clients, kills and subscribers; then the processes finish all work, and the
//! result is checked.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::feed::{Feed, FeedItem};
use bakehouse_engine::jitter;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{
    EventLog, PresentationReader, Rebuild, RebuildState, RowReader, Scheduler,
};
use bakehouse_engine::{EntryStatus, Operation, Position};
use bakehouse_faults::{Bug, Faults};
use bakehouse_testkit::counter::Command;
use bakehouse_testkit::handler_runners::tally;
use bakehouse_testkit::operations::with_identity;
use uuid::Uuid;

use crate::check::{Outcome, check};
use crate::observations::{Answer, Sent, Subscriber, has_unreadable};
use crate::world::{GUESTS, PROCESSES, World};

const CLIENTS: u64 = 3;
const REQUESTS: u64 = 12;
const KILLS: u64 = 12;
const SUBSCRIBERS: u64 = 2;
/// Interval between two checks for remaining work; longer than any pause of a process.
const SETTLE_INTERVAL: Duration = Duration::from_secs(3);
/// Maximum virtual time for the remaining work after the last request.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(300);

/// Runs one seed to its end, on a runtime of its own with virtual time.
///
/// # Errors
/// If the runtime cannot be built.
pub fn run(seed: u64, bug: Option<Bug>) -> std::io::Result<Outcome> {
    jitter::seed(seed);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    Ok(runtime.block_on(simulate(seed, bug)))
}

async fn simulate(seed: u64, bug: Option<Bug>) -> Outcome {
    let world = World::new(seed, bug);
    world.prepare().await;
    let subscribers: Vec<Subscriber> = (0..SUBSCRIBERS).map(|_| Subscriber::default()).collect();
    for subscriber in &subscribers {
        tokio::spawn(subscribe(world.feed.clone(), subscriber.clone(), bug));
    }
    let mut processes: Vec<_> = PROCESSES
        .iter()
        .map(|one| Some(world.start(*one, 0)))
        .collect();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| {
            let (sender, faults) = (world.sender(client), world.faults(20_000 + client));
            tokio::spawn(async move { send(&sender, &faults, (seed, client), bug).await })
        })
        .collect();
    let kills = world.faults(30_000);
    for life in 1..=KILLS {
        tokio::time::sleep(Duration::from_millis(10 + kills.below(120))).await;
        let index = usize::try_from(kills.below(PROCESSES.len() as u64)).unwrap_or_default();
        if let Some(process) = processes[index].take() {
            process.kill().await;
        }
        tokio::time::sleep(Duration::from_millis(kills.below(60))).await;
        processes[index] = Some(world.start(PROCESSES[index], life));
        if life == KILLS / 2 {
            // Fails if the read model does not exist yet; then nothing is rebuilt.
            let _ = world.rows.rebuild("tally").await;
        }
        if life % 4 == 1 {
            let _ = world.source.rebuilds().request().await;
        }
        if life % 4 == 3 {
            let _ = world.presentation.rebuilds().request().await;
        }
    }
    let mut sent = Vec::new();
    for client in clients {
        sent.push(client.await.unwrap_or_default());
    }
    let is_settled = tokio::time::timeout(SETTLE_TIMEOUT, settle(&world))
        .await
        .is_ok();
    // Long enough for paused processes to resume and attempt stale commits.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut report = check(&world, &sent, &subscribers).await;
    if !is_settled {
        report.faults.push("not finished in time".into());
    }
    drop(processes);
    world.end();
    report
}

/// Runs a client that sends one request after the other, each with a limited number of attempts.
async fn send(
    sender: &impl Scheduler,
    faults: &Faults,
    (seed, client): (u64, u64),
    bug: Option<Bug>,
) -> Vec<Sent> {
    let mut sent: Vec<Sent> = Vec::new();
    for number in 0..REQUESTS {
        tokio::time::sleep(Duration::from_millis(faults.below(60))).await;
        let parts = [seed, client, number].map(|part| part.to_string());
        let identity = ids::derived(&[&parts[0], &parts[1], &parts[2]]);
        let entity = format!("c-{}", faults.below(4));
        let by = 1 + i64::try_from(faults.below(5)).unwrap_or_default();
        let command = match faults.occurs(0.3) {
            true => Command::Take(by),
            false => Command::Add(by),
        };
        let mut operation = with_identity(identity, &entity, &command);
        if has_unreadable(seed) && faults.occurs(0.05) {
            operation.schema_version = 99;
        }
        let answer = send_with_retries(sender, &mut operation, bug).await;
        let is_reused = faults.occurs(0.06);
        sent.push(Sent {
            operation,
            answer,
            is_conflict: false,
        });
        if is_reused {
            // Sends other content under the same identity.
            let mut other = with_identity(identity, &entity, &Command::Add(by + 100));
            let answer = send_with_retries(sender, &mut other, bug).await;
            sent.push(Sent {
                operation: other,
                answer,
                is_conflict: true,
            });
        }
    }
    sent
}

/// Sends an operation up to four times.
async fn send_with_retries(
    sender: &impl Scheduler,
    operation: &mut Operation,
    bug: Option<Bug>,
) -> Answer {
    for attempt in 0..4 {
        if attempt > 0 && bug == Some(Bug::FreshIdentity) {
            operation.operation_id = Uuid::now_v7();
        }
        if sender.schedule(operation).await.is_ok() {
            return Answer::Accepted;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Answer::Unknown
}

/// Follows the feed like a client: resumes from its last position after every disconnect.
async fn subscribe(feed: Arc<Feed>, subscriber: Subscriber, bug: Option<Bug>) {
    loop {
        let skipped = u64::from(bug == Some(Bug::SinceOffByOne) && subscriber.cursor() > 0);
        let since = subscriber.cursor() + skipped;
        if let Ok(mut subscription) = feed.subscribe(Some(since), None) {
            let until = tokio::time::Instant::now() + Duration::from_millis(150);
            // Reconnects regularly with its last position.
            while let Ok(Ok(item)) = tokio::time::timeout_at(until, subscription.next()).await {
                if let FeedItem::Frames(frames) = item {
                    subscriber.record(frames.iter().map(|frame| frame.position));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
}

/// Discards parked operations and waits until no work is left.
async fn settle(world: &World) {
    let (mut discards, mut head) = (0_u64, None);
    loop {
        let events = world.log.read(0, usize::MAX).await.unwrap_or_default();
        let mut discarded = Vec::new();
        for event in &events {
            let is_first = !discarded.contains(&event.entity_id());
            if event.status == EntryStatus::Parked && is_first {
                discarded.push(event.entity_id());
                discards += 1;
                let _ = world.discard(event, discards).await;
            }
        }
        let is_done = discarded.is_empty()
            && world.queue.is_empty()
            && events
                .iter()
                .all(|event| event.status != EntryStatus::Stored)
            && is_handled(world, events.len() as Position).await
            && is_rebuilt(world).await;
        // Two checks in a row, since a paused process may still hold work.
        if is_done && head == Some(events.len()) {
            return;
        }
        head = is_done.then_some(events.len());
        tokio::time::sleep(SETTLE_INTERVAL).await;
    }
}

/// Checks whether the last rebuilds of both databases are done.
async fn is_rebuilt(world: &World) -> bool {
    let source = world.source.rebuilds().last().await;
    let presentation = world.presentation.rebuilds().last().await;
    let is_done =
        |last: Result<Rebuild, _>| last.is_ok_and(|last| last.state == RebuildState::Done);
    is_done(source) && is_done(presentation)
}

/// Checks whether the presentation, the read model and the process have reached the head.
async fn is_handled(world: &World, head: Position) -> bool {
    let baked = world
        .presentation
        .head()
        .await
        .map_or(0, |head| head.position);
    let counted = tally(&world.rows).await.unwrap_or_default();
    let (echoes, changes) = crate::check::echoes(world).await;
    let notified = world.states.notifications().len();
    let is_counted = counted.counters == head && counted.guests == GUESTS;
    baked == head && is_counted && echoes == changes / 3 && notified == 2 * echoes
}
