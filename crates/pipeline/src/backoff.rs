//! Waiting between attempts: longer each time, never in step with others.

use std::time::Duration;

use rand::Rng;

use crate::Shutdown;

const FIRST: Duration = Duration::from_millis(50);
const LONGEST: Duration = Duration::from_secs(2);

/// Jittered exponential waiting, 50 ms up to 2 s. The cap keeps recovery within
/// seconds of the moment a server is back.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { next: FIRST }
    }
}

impl Backoff {
    /// Back to the shortest wait: the last attempt succeeded.
    pub fn reset(&mut self) {
        self.next = FIRST;
    }

    /// How long to wait now: between half and all of the current step.
    pub fn step(&mut self) -> Duration {
        let wait = self.next.mul_f64(rand::rng().random_range(0.5..=1.0));
        self.next = (self.next * 2).min(LONGEST);
        wait
    }

    /// Waits one step, or until shutdown.
    pub async fn wait(&mut self, shutdown: &Shutdown) {
        let step = self.step();
        tokio::select! {
            () = tokio::time::sleep(step) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_grow_to_the_cap_and_start_over_after_a_reset() {
        let mut backoff = Backoff::default();
        let steps: Vec<_> = (0..12).map(|_| backoff.step()).collect();
        assert!(steps[0] <= FIRST && steps[0] >= FIRST / 2);
        assert!(steps[11] <= LONGEST && steps[11] >= LONGEST / 2);
        backoff.reset();
        assert!(backoff.step() <= FIRST);
    }
}
