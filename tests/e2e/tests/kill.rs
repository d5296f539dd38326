//! Services are killed with SIGKILL under load: nothing that was accepted is lost, duplicated or
//! reordered.

use std::time::Duration;

use bakehouse_e2e::ledger::{Load, audit, order};
use bakehouse_e2e::world::wait;
use bakehouse_e2e::{Kind, World};
use tokio::time::sleep;

/// Number of kills of a service.
const KILLS: usize = 6;
/// Number of orders of a load that runs until it is stopped.
const UNLIMITED: u64 = u64::MAX;
/// Timeout for a takeover of a lease, and for an audit.
const TIMEOUT: Duration = Duration::from_secs(30);

async fn kill_under_load(kind: Kind, victim: &str) {
    let mut world = World::start(kind).await.expect("it starts");
    let load = Load::start(&world.base, 8, UNLIMITED);
    for kill in 0..KILLS {
        // Varies the point at which the service is killed.
        sleep(Duration::from_millis(250 + 90 * kill as u64)).await;
        world.process(victim).kill();
        sleep(Duration::from_millis(50 * (kill as u64 % 3))).await;
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
        .expect("a clean audit");
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

/// Checks that standbys take over from leaders that do not return.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standbys_take_over() {
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    let by_lease = ["orders-manager", "data-baker"];
    for name in by_lease {
        wait_for_leadership(&mut world, name).await;
        world.start_second(name).expect("a standby starts");
    }
    // The broker delivers to one consumer only, which is the first to have received a message.
    let client = world.client();
    let first = client.post(order("first")).await.expect("202");
    client.settled(&first).await.expect("a receipt");
    world
        .start_second("events-writer")
        .expect("a standby starts");
    let load = Load::start(&world.base, 8, UNLIMITED);
    for name in ["events-writer", "orders-manager", "data-baker"] {
        wait_for_more_orders(&load).await;
        world.process(name).kill();
    }
    for name in by_lease {
        wait_for_leadership(&mut world, &format!("{name}-2")).await;
    }
    wait_for_more_orders(&load).await;
    let mut ledger = load.stop().await;
    ledger.accepted.insert("first".into());
    assert!(ledger.accepted.len() > 100, "{}", ledger.accepted.len());
    audit(&world, &ledger, TIMEOUT)
        .await
        .expect("a clean audit");
}

/// Checks that a leader that was paused until a standby has taken over is fenced when it resumes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_paused_leader_does_no_harm() {
    use nix::sys::signal::Signal::{SIGCONT, SIGSTOP};
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    let stages = ["orders-manager", "data-baker"];
    let load = Load::start(&world.base, 8, UNLIMITED);
    wait_for_more_orders(&load).await;
    for name in stages {
        wait_for_leadership(&mut world, name).await;
        world.start_second(name).expect("a standby starts");
        world.process(name).signal(SIGSTOP);
    }
    for name in stages {
        wait_for_leadership(&mut world, &format!("{name}-2")).await;
    }
    // The standbys make progress that the paused leaders have not seen.
    wait_for_more_orders(&load).await;
    for name in stages {
        world.process(name).signal(SIGCONT);
    }
    for name in stages {
        let process = &*world.process(name);
        let has_lost = async || process.log().contains("lost the lease");
        let outcome = wait(TIMEOUT, "loss of the lease", has_lost).await;
        assert!(outcome.is_ok(), "{name}: {}", process.log());
    }
    wait_for_more_orders(&load).await;
    let ledger = load.stop().await;
    audit(&world, &ledger, TIMEOUT)
        .await
        .expect("a clean audit");
}

/// Waits until a hundred more orders have been accepted.
async fn wait_for_more_orders(load: &Load) {
    let before = load.accepted();
    let has_more = async || load.accepted() > before + 100;
    wait(TIMEOUT, "more orders", has_more).await.expect("load");
}

/// Waits until an instance logs that it is the leader.
async fn wait_for_leadership(world: &mut World, name: &str) {
    let process = &*world.process(name);
    wait(TIMEOUT, name, async || {
        process.log().contains("\"leading\"")
    })
    .await
    .expect("it leads");
}
