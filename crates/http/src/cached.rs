//! The answer to a question that costs something, kept for a moment: whoever asks while it is
//! looked up waits for the same answer.

use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;

/// An answer, kept for a time.
pub(crate) struct Cached<T> {
    lifetime: Duration,
    kept: Mutex<Option<(Instant, T)>>,
}

impl<T: Clone> Cached<T> {
    pub(crate) fn new(lifetime: Duration) -> Self {
        Self {
            lifetime,
            kept: Mutex::default(),
        }
    }

    /// The answer, looked up unless it is known from a moment ago.
    pub(crate) async fn get(&self, look: impl Future<Output = T>) -> T {
        let mut kept = self.kept.lock().await;
        if let Some((at, answer)) = &*kept
            && at.elapsed() < self.lifetime
        {
            return answer.clone();
        }
        let answer = look.await;
        *kept = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_who_ask_share_one_look() {
        let cached = Cached::new(Duration::from_secs(1));
        let looks = AtomicUsize::new(0);
        let ask = || {
            cached.get(async {
                tokio::time::sleep(Duration::from_millis(700)).await;
                looks.fetch_add(1, Ordering::Relaxed)
            })
        };
        let answers = join_all((0..50).map(|_| ask())).await;
        assert_eq!(answers, [0; 50]);
        tokio::time::sleep(Duration::from_millis(900)).await;
        assert_eq!(ask().await, 0);
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(ask().await, 1);
    }
}
