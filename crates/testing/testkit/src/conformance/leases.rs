//! What every store of leases must keep to.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::Leases;

/// The store under test.
pub type Store = Arc<dyn Leases>;

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(150);
/// Long enough that a machine which is busy elsewhere does not let it run out.
const RENEWED: Duration = Duration::from_secs(2);

/// Writes the suite's tests: `leases_suite!(name, async { … })`.
#[macro_export]
macro_rules! leases_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            leases,
            $make,
            [
                one_holder_at_a_time,
                a_lease_that_ran_out_goes_to_the_next_with_a_higher_epoch,
                a_renewed_lease_does_not_run_out,
                a_released_lease_is_free_at_once,
                of_many_at_once_one_wins,
                a_lease_that_ran_out_is_its_holders_until_somebody_takes_it,
                who_was_succeeded_can_neither_renew_nor_release,
            ]
        );
    };
}

/// And the same holder may ask again.
pub async fn one_holder_at_a_time(leases: Store) {
    let first = leases.acquire("work", "a", LONG).await.unwrap().unwrap();
    assert_eq!(leases.acquire("work", "b", LONG).await, Ok(None));
    assert_eq!(
        leases.acquire("work", "a", LONG).await.unwrap().unwrap(),
        first
    );
    assert!(leases.acquire("other", "b", LONG).await.unwrap().is_some());
}

/// The former holder finds out when it renews.
pub async fn a_lease_that_ran_out_goes_to_the_next_with_a_higher_epoch(leases: Store) {
    let first = leases.acquire("work", "a", SHORT).await.unwrap().unwrap();
    tokio::time::sleep(SHORT * 2).await;
    let second = leases.acquire("work", "b", LONG).await.unwrap().unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(leases.renew("work", &first, LONG).await, Ok(false));
    assert_eq!(leases.renew("work", &second, LONG).await, Ok(true));
}

/// However long it is held.
pub async fn a_renewed_lease_does_not_run_out(leases: Store) {
    let lease = leases.acquire("work", "a", RENEWED).await.unwrap();
    let lease = lease.unwrap();
    for _ in 0..5 {
        tokio::time::sleep(RENEWED / 4).await;
        assert_eq!(leases.renew("work", &lease, RENEWED).await, Ok(true));
        assert_eq!(leases.acquire("work", "b", SHORT).await, Ok(None));
    }
}

/// But one that somebody else holds by now is not released.
pub async fn a_released_lease_is_free_at_once(leases: Store) {
    let first = leases.acquire("work", "a", LONG).await.unwrap().unwrap();
    leases.release("work", &first).await.unwrap();
    let second = leases.acquire("work", "b", LONG).await.unwrap().unwrap();
    assert!(second.epoch > first.epoch);
    leases.release("work", &first).await.unwrap();
    assert_eq!(leases.acquire("work", "c", LONG).await, Ok(None));
}

/// Standbys all try at the same moment.
pub async fn of_many_at_once_one_wins(leases: Store) {
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let leases = leases.clone();
            tokio::spawn(async move { leases.acquire("work", &format!("h-{n}"), LONG).await })
        })
        .collect();
    let mut winners = 0;
    for attempt in tries {
        winners += usize::from(attempt.await.unwrap().unwrap().is_some());
    }
    assert_eq!(winners, 1);
}

/// The holder may renew it, and ask for it again under the same epoch.
pub async fn a_lease_that_ran_out_is_its_holders_until_somebody_takes_it(leases: Store) {
    let none = Duration::ZERO;
    let first = leases.acquire("work", "a", none).await.unwrap().unwrap();
    tokio::time::sleep(SHORT).await;
    assert_eq!(leases.renew("work", &first, LONG).await, Ok(true));
    assert_eq!(leases.acquire("work", "b", LONG).await, Ok(None));
    assert_eq!(leases.renew("work", &first, none).await, Ok(true));
    tokio::time::sleep(SHORT).await;
    let again = leases.acquire("work", "a", LONG).await.unwrap().unwrap();
    assert_eq!(again, first);
    assert_eq!(leases.acquire("work", "b", LONG).await, Ok(None));
}

/// The former holder cannot, even if the successor's lease has run out or by its own former name.
pub async fn who_was_succeeded_can_neither_renew_nor_release(leases: Store) {
    let none = Duration::ZERO;
    let first = leases.acquire("work", "a", none).await.unwrap().unwrap();
    tokio::time::sleep(SHORT).await;
    let second = leases.acquire("work", "b", none).await.unwrap().unwrap();
    tokio::time::sleep(SHORT).await;
    assert_eq!(leases.renew("work", &first, LONG).await, Ok(false));
    let third = leases.acquire("work", "a", LONG).await.unwrap().unwrap();
    let epochs = [first.epoch, second.epoch, third.epoch];
    assert_eq!(epochs, [first.epoch, first.epoch + 1, first.epoch + 2]);
    for former in [&first, &second] {
        assert_eq!(leases.renew("work", former, LONG).await, Ok(false));
        leases.release("work", former).await.unwrap();
        assert_eq!(leases.acquire("work", "c", LONG).await, Ok(None));
    }
    assert_eq!(leases.renew("none", &first, LONG).await, Ok(false));
    leases.release("none", &first).await.unwrap();
}
