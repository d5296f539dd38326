//! Rules for lease stores. A rule takes an empty store.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::Leases;

/// Store under test.
pub type Store = Arc<dyn Leases>;

/// Time to live of leases that do not expire within a test.
const LONG_TTL: Duration = Duration::from_secs(60);
/// Time to live of leases that expire within a test.
const SHORT_TTL: Duration = Duration::from_millis(150);
/// Time to live of leases that a test renews; long enough for a busy machine.
const RENEWED_TTL: Duration = Duration::from_secs(2);

/// Generates the suite's tests: `leases_suite!(name, async { … })`.
#[macro_export]
macro_rules! leases_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            leases,
            $make,
            [
                one_holder_at_a_time,
                an_expired_lease_goes_to_the_next_holder_with_a_higher_epoch,
                a_renewed_lease_does_not_expire,
                a_released_lease_is_free_at_once,
                of_many_concurrent_attempts_one_succeeds,
                an_expired_lease_stays_with_its_holder_until_it_is_taken,
                a_former_holder_can_neither_renew_nor_release,
            ]
        );
    };
}

/// A held lease is not given to another holder; its holder may acquire it again.
pub async fn one_holder_at_a_time(leases: Store) {
    let first = leases
        .acquire("work", "a", LONG_TTL)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(leases.acquire("work", "b", LONG_TTL).await, Ok(None));
    assert_eq!(
        leases
            .acquire("work", "a", LONG_TTL)
            .await
            .unwrap()
            .unwrap(),
        first
    );
    assert!(
        leases
            .acquire("other", "b", LONG_TTL)
            .await
            .unwrap()
            .is_some()
    );
}

/// The next holder gets a higher epoch; the former holder's renewal fails.
pub async fn an_expired_lease_goes_to_the_next_holder_with_a_higher_epoch(leases: Store) {
    let first = leases
        .acquire("work", "a", SHORT_TTL)
        .await
        .unwrap()
        .unwrap();
    tokio::time::sleep(SHORT_TTL * 2).await;
    let second = leases
        .acquire("work", "b", LONG_TTL)
        .await
        .unwrap()
        .unwrap();
    assert!(second.epoch > first.epoch);
    assert_eq!(leases.renew("work", &first, LONG_TTL).await, Ok(false));
    assert_eq!(leases.renew("work", &second, LONG_TTL).await, Ok(true));
}

/// A lease that is renewed in time is not given to another holder.
pub async fn a_renewed_lease_does_not_expire(leases: Store) {
    let lease = leases.acquire("work", "a", RENEWED_TTL).await.unwrap();
    let lease = lease.unwrap();
    for _ in 0..5 {
        tokio::time::sleep(RENEWED_TTL / 4).await;
        assert_eq!(leases.renew("work", &lease, RENEWED_TTL).await, Ok(true));
        assert_eq!(leases.acquire("work", "b", SHORT_TTL).await, Ok(None));
    }
}

/// A released lease is free at once; a release by the former holder has no effect.
pub async fn a_released_lease_is_free_at_once(leases: Store) {
    let first = leases
        .acquire("work", "a", LONG_TTL)
        .await
        .unwrap()
        .unwrap();
    leases.release("work", &first).await.unwrap();
    let second = leases
        .acquire("work", "b", LONG_TTL)
        .await
        .unwrap()
        .unwrap();
    assert!(second.epoch > first.epoch);
    leases.release("work", &first).await.unwrap();
    assert_eq!(leases.acquire("work", "c", LONG_TTL).await, Ok(None));
}

/// Exactly one of several concurrent attempts succeeds.
pub async fn of_many_concurrent_attempts_one_succeeds(leases: Store) {
    let tries: Vec<_> = (0..8)
        .map(|n| {
            let leases = leases.clone();
            tokio::spawn(async move { leases.acquire("work", &format!("h-{n}"), LONG_TTL).await })
        })
        .collect();
    let mut winners = 0;
    for attempt in tries {
        winners += usize::from(attempt.await.unwrap().unwrap().is_some());
    }
    assert_eq!(winners, 1);
}

/// The holder may renew an expired lease, or acquire it again under the same epoch.
pub async fn an_expired_lease_stays_with_its_holder_until_it_is_taken(leases: Store) {
    let none = Duration::ZERO;
    let first = leases.acquire("work", "a", none).await.unwrap().unwrap();
    tokio::time::sleep(SHORT_TTL).await;
    assert_eq!(leases.renew("work", &first, LONG_TTL).await, Ok(true));
    assert_eq!(leases.acquire("work", "b", LONG_TTL).await, Ok(None));
    assert_eq!(leases.renew("work", &first, none).await, Ok(true));
    tokio::time::sleep(SHORT_TTL).await;
    let again = leases
        .acquire("work", "a", LONG_TTL)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(again, first);
    assert_eq!(leases.acquire("work", "b", LONG_TTL).await, Ok(None));
}

/// A former lease can neither be renewed nor released, even if the successor's has expired or the
/// holder's name is the same.
pub async fn a_former_holder_can_neither_renew_nor_release(leases: Store) {
    let none = Duration::ZERO;
    let first = leases.acquire("work", "a", none).await.unwrap().unwrap();
    tokio::time::sleep(SHORT_TTL).await;
    let second = leases.acquire("work", "b", none).await.unwrap().unwrap();
    tokio::time::sleep(SHORT_TTL).await;
    assert_eq!(leases.renew("work", &first, LONG_TTL).await, Ok(false));
    let third = leases
        .acquire("work", "a", LONG_TTL)
        .await
        .unwrap()
        .unwrap();
    let epochs = [first.epoch, second.epoch, third.epoch];
    assert_eq!(epochs, [first.epoch, first.epoch + 1, first.epoch + 2]);
    for former in [&first, &second] {
        assert_eq!(leases.renew("work", former, LONG_TTL).await, Ok(false));
        leases.release("work", former).await.unwrap();
        assert_eq!(leases.acquire("work", "c", LONG_TTL).await, Ok(None));
    }
    assert_eq!(leases.renew("none", &first, LONG_TTL).await, Ok(false));
    leases.release("none", &first).await.unwrap();
}
