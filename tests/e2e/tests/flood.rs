//! Burst of 20,000 orders: all are presented, in order of creation, with numbers that have neither
//! gaps nor duplicates.

use std::time::Duration;

use bakehouse_e2e::ledger::{Load, audit};
use bakehouse_e2e::{Kind, World};

const ORDERS: u64 = 20_000;

async fn flood(world: &World) {
    let ledger = Load::start(&world.base, 64, ORDERS).finish().await;
    assert!(
        ledger.unknown.is_empty(),
        "{} not accepted\n{}",
        ledger.unknown.len(),
        world.logs()
    );
    let orders = audit(world, &ledger, Duration::from_secs(120))
        .await
        .expect("a clean audit");
    assert_eq!(orders, ORDERS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn embedded() {
    flood(&World::start(Kind::Embedded).await.expect("it starts")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers() {
    flood(&World::start(Kind::Servers).await.expect("it starts")).await;
}

/// Runs two instances of every stage: competing writers, and a leader and a standby of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_with_two_of_each() {
    let mut world = World::start(Kind::Servers).await.expect("it starts");
    for name in ["events-writer", "orders-manager", "data-baker"] {
        world.start_second(name).expect("a second one starts");
    }
    flood(&world).await;
}
