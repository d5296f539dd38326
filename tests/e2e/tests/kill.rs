//! Every service is killed with SIGKILL under load, again and again: nothing
//! that was accepted is lost, doubled or reordered.

use std::time::Duration;

use bakehouse_e2e::ledger::{Load, audit, order};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Kind, World};
use tokio::time::sleep;

const ROUNDS: usize = 6;
const MANY: u64 = u64::MAX;
/// Limit for what takes a lease's time, and for an audit.
const LIMIT: Duration = Duration::from_secs(30);

async fn kill_under_load(kind: Kind, victim: &str) {
    let mut world = World::start(kind).await.expect("it starts");
    let load = Load::start(&world.base, 8, MANY);
    for round in 0..ROUNDS {
        // At another point of its work each time.
        sleep(Duration::from_millis(250 + 90 * round as u64)).await;
        world.process(victim).kill();
        sleep(Duration::from_millis(50 * (round as u64 % 3))).await;
        world.process(victim).start().expect("it starts again");
    }
    sleep(Duration::from_millis(500)).await;
    let ledger = load.stop().await;
    world.ready(Duration::from_secs(30)).await.expect("ready");
    assert!(
        ledger.accepted.len() > 100,
        "too little load: {}",
        ledger.accepted.len()
    );
    audit(&world, &ledger, Duration::from_secs(30))
        .await
        .expect("all is well");
}

macro_rules! victims {
    ($($name:ident: $kind:ident $victim:literal),* $(,)?) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() { kill_under_load(Kind::$kind, $victim).await; })*
    };
}

victims! {
    the_all_in_one: Embedded "bakehouse",
    api_server: Servers "api-server",
    events_writer: Servers "events-writer",
    orders_manager: Servers "orders-manager",
    data_baker: Servers "data-baker",
}

/// A standby takes over from one that is gone for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standbys_take_over() {
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    let by_lease = ["orders-manager", "data-baker"];
    for name in by_lease {
        leads(&mut world, name).await;
        world.start_second(name).expect("a standby starts");
    }
    // The broker delivers to one alone: the first, which has taken something.
    let client = world.client();
    let first = client.post(order("first")).await.expect("202");
    client.settled(&first).await.expect("a receipt");
    world
        .start_second("events-writer")
        .expect("a standby starts");
    let load = Load::start(&world.base, 8, MANY);
    for name in ["events-writer", "orders-manager", "data-baker"] {
        more(&load).await;
        world.process(name).kill();
    }
    for name in by_lease {
        leads(&mut world, &format!("{name}-2")).await;
    }
    more(&load).await;
    let mut ledger = load.stop().await;
    ledger.accepted.insert("first".into());
    assert!(ledger.accepted.len() > 100, "{}", ledger.accepted.len());
    audit(&world, &ledger, LIMIT).await.expect("all is well");
}

/// A holder of a lease that is paused until a standby has taken over, and then
/// goes on as if nothing had happened, does no harm.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_does_no_harm() {
    use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    let stages = ["orders-manager", "data-baker"];
    let load = Load::start(&world.base, 8, MANY);
    more(&load).await;
    for name in stages {
        leads(&mut world, name).await;
        world.start_second(name).expect("a standby starts");
        world.process(name).signal(SIGSTOP);
    }
    for name in stages {
        leads(&mut world, &format!("{name}-2")).await;
    }
    // What the standbys do now, the paused ones do not know of.
    more(&load).await;
    for name in stages {
        world.process(name).signal(SIGCONT);
    }
    for name in stages {
        let process = &*world.process(name);
        let has_lost = async || process.log().contains("lost the lease");
        let outcome = wait(LIMIT, "loss of the lease", has_lost).await;
        assert!(outcome.is_ok(), "{name}: {}", process.log());
    }
    more(&load).await;
    let ledger = load.stop().await;
    audit(&world, &ledger, LIMIT).await.expect("all is well");
}

/// Waits until a hundred more orders have been accepted.
async fn more(load: &Load) {
    let before = load.accepted();
    let has_more = async || load.accepted() > before + 100;
    wait(LIMIT, "more orders", has_more).await.expect("load");
}

/// Waits until the log of an instance says that it leads.
async fn leads(world: &mut World, name: &str) {
    let process = &*world.process(name);
    wait(LIMIT, name, async || process.log().contains("\"leading\""))
        .await
        .expect("it leads");
}
