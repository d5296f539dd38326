//! Cache of one computed value with a time to live: concurrent callers share one computation.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// Value that is recomputed once it is older than its time to live.
pub(crate) struct Cached<T> {
    ttl: Duration,
    entry: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Cached<T> {
    pub(crate) fn new(ttl: Duration) -> Self {
        Self {
            ttl,
            entry: Mutex::default(),
        }
    }

    /// Returns the cached value, or the output of `compute` if there is none or it has expired.
    pub(crate) async fn get(&self, compute: impl Future<Output = T>) -> T {
        let mut entry = self.entry.lock().await;
        if let Some((computed_at, value)) = &*entry
            && computed_at.elapsed() < self.ttl
        {
            return value.clone();
        }
        let value = compute.await;
        *entry = Some((Instant::now(), value.clone()));
        value
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn concurrent_callers_share_one_computation() {
        let cached = Cached::new(Duration::from_secs(1));
        let computations = AtomicUsize::new(0);
        let get = || {
            cached.get(async {
                tokio::time::sleep(Duration::from_millis(700)).await;
                computations.fetch_add(1, Ordering::Relaxed)
            })
        };
        let values = join_all((0..50).map(|_| get())).await;
        assert_eq!(values, [0; 50]);
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(get().await, 0);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(get().await, 1);
    }
}
