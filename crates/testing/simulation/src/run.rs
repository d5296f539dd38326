//! One seed: clients, kills, subscribers; then everybody gets the time to finish, and
//! what has come of it is checked.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::fault_injection::bug::Bug;
use bakehouse_engine::feed::{Feed, Step};
use bakehouse_engine::jitter;
use bakehouse_engine::model::ids;
use bakehouse_engine::ports::{
    EventLog, PresentationReader, Rebuild, RebuildState, RowReader, Scheduler,
};
use bakehouse_engine::{EntryStatus, Operation, Position};
use bakehouse_testkit::counter::Command;
use bakehouse_testkit::flaky::Faults;
use bakehouse_testkit::handler_runners::tally;
use bakehouse_testkit::operations::with_identity;
use uuid::Uuid;

use crate::check::{Answer, Outcome, Sent, Subscriber, check};
use crate::world::{GUESTS, PROCESSES, World};

const CLIENTS: u64 = 3;
const REQUESTS: u64 = 12;
const KILLS: u64 = 12;
const SUBSCRIBERS: u64 = 2;
/// Longer than anybody stands still.
const AGAIN: Duration = Duration::from_secs(3);
/// How long everything may take, in virtual time.
const LIMIT: Duration = Duration::from_secs(300);

/// Runs one seed to its end, on a runtime of its own in which time is virtual.
///
/// # Errors
/// When there is no runtime.
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
            let (entrance, faults) = (world.entrance(client), world.faults(20_000 + client));
            tokio::spawn(async move { send(&entrance, &faults, (seed, client), bug).await })
        })
        .collect();
    let chaos = world.faults(30_000);
    for life in 1..=KILLS {
        tokio::time::sleep(Duration::from_millis(10 + chaos.below(120))).await;
        let index = usize::try_from(chaos.below(PROCESSES.len() as u64)).unwrap_or_default();
        if let Some(process) = processes[index].take() {
            process.kill().await;
        }
        tokio::time::sleep(Duration::from_millis(chaos.below(60))).await;
        processes[index] = Some(world.start(PROCESSES[index], life));
        if life == KILLS / 2 {
            // Not there yet: then there is nothing to be made anew.
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
    let is_settled = tokio::time::timeout(LIMIT, settle(&world)).await.is_ok();
    // Long enough for whoever stood still to come back and do harm.
    tokio::time::sleep(Duration::from_secs(3)).await;
    let mut report = check(&world, &sent, &subscribers).await;
    if !is_settled {
        report.faults.push("not finished in time".into());
    }
    drop(processes);
    world.end();
    report
}

/// A client: one request after the other, each repeated until it is answered, but not for
/// ever.
async fn send(
    entrance: &impl Scheduler,
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
        let command = match faults.befalls(0.3) {
            true => Command::Take(by),
            false => Command::Add(by),
        };
        let mut operation = with_identity(identity, &entity, &command);
        if has_poison(seed) && faults.befalls(0.05) {
            operation.schema_version = 99;
        }
        let answer = insist(entrance, &mut operation, bug).await;
        let is_reused = faults.befalls(0.06);
        sent.push(Sent {
            operation,
            answer,
            is_conflict: false,
        });
        if is_reused {
            // The same key, other content.
            let mut other = with_identity(identity, &entity, &Command::Add(by + 100));
            let answer = insist(entrance, &mut other, bug).await;
            sent.push(Sent {
                operation: other,
                answer,
                is_conflict: true,
            });
        }
    }
    sent
}

/// Whether there is something among what is sent that nobody can read.
pub(crate) fn has_poison(seed: u64) -> bool {
    seed.is_multiple_of(4)
}

async fn insist(entrance: &impl Scheduler, operation: &mut Operation, bug: Option<Bug>) -> Answer {
    for attempt in 0..4 {
        if attempt > 0 && bug == Some(Bug::FreshIdentity) {
            operation.operation_id = Uuid::now_v7();
        }
        if entrance.schedule(operation).await.is_ok() {
            return Answer::Accepted;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Answer::Unknown
}

/// Follows from its position on, whatever happens, as a client does.
async fn subscribe(feed: Arc<Feed>, subscriber: Subscriber, bug: Option<Bug>) {
    loop {
        let skipped = u64::from(bug == Some(Bug::SinceOffByOne) && subscriber.cursor() > 0);
        let since = subscriber.cursor() + skipped;
        if let Ok(mut subscription) = feed.subscribe(Some(since), None) {
            let until = tokio::time::Instant::now() + Duration::from_millis(150);
            // Every now and then it comes back, with the position that it has.
            while let Ok(Ok(step)) = tokio::time::timeout_at(until, subscription.next()).await {
                if let Step::Frames(frames) = step {
                    subscriber.saw(frames.iter().map(|frame| frame.position));
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
}

/// Waits until there is nothing left to do, and gives up what is parked.
async fn settle(world: &World) {
    let (mut rounds, mut head) = (0_u64, None);
    loop {
        let events = world.log.read(0, usize::MAX).await.unwrap_or_default();
        let mut discarded = Vec::new();
        for event in &events {
            let is_first = !discarded.contains(&event.entity_id());
            if event.status == EntryStatus::Parked && is_first {
                discarded.push(event.entity_id());
                rounds += 1;
                let _ = world.discard(event, rounds).await;
            }
        }
        let is_done = discarded.is_empty()
            && world.queue.is_empty()
            && events
                .iter()
                .all(|event| event.status != EntryStatus::Stored)
            && is_followed(world, events.len() as Position).await
            && is_made_anew(world).await;
        // Twice in a row: whoever stands still may have something in hand.
        if is_done && head == Some(events.len()) {
            return;
        }
        head = is_done.then_some(events.len());
        tokio::time::sleep(AGAIN).await;
    }
}

async fn is_made_anew(world: &World) -> bool {
    let source = world.source.rebuilds().last().await;
    let presentation = world.presentation.rebuilds().last().await;
    let is_done =
        |last: Result<Rebuild, _>| last.is_ok_and(|last| last.state == RebuildState::Done);
    is_done(source) && is_done(presentation)
}

async fn is_followed(world: &World, head: Position) -> bool {
    let baked = world
        .presentation
        .head()
        .await
        .map_or(0, |head| head.position);
    let counted = tally(&world.rows).await.unwrap_or_default();
    let (echoes, changes) = crate::check::echoes(world).await;
    let told = world.states.notifications().len();
    let is_counted = counted.counters == head && counted.guests == GUESTS;
    baked == head && is_counted && echoes == changes / 3 && told == 2 * echoes
}
