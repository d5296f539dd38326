//! Waiting between attempts: longer each time, never in step with others.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Shutdown, jitter};

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
        let wait = self.next.mul_f64(jitter::between(0.5, 1.0));
        self.next = (self.next * 2).min(LONGEST);
        wait
    }

    /// Waits one step, or until shutdown.
    pub async fn wait(&mut self, shutdown: &Shutdown) {
        let step = self.step();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(step) => {}
        }
    }
}

/// How often waiting is mentioned again.
const REMINDER: Duration = Duration::from_secs(10);

/// Says when waiting for something is worth a line in the log: at first, and
/// then every 10 s.
#[derive(Debug)]
pub struct Reminder {
    due: Instant,
}

impl Reminder {
    /// Due after `quiet`: what is back by then was never mentioned.
    #[must_use]
    pub fn after(quiet: Duration) -> Self {
        Self {
            due: Instant::now() + quiet,
        }
    }

    /// Whether to mention it now; if so, the next time is 10 s later.
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.due;
        if is_due {
            self.due = now + REMINDER;
        }
        is_due
    }
}

impl Default for Reminder {
    /// Due at once.
    fn default() -> Self {
        Self::after(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn waiting_is_mentioned_after_the_quiet_time_and_then_every_10_s() {
        let mut reminder = Reminder::after(Duration::from_secs(1));
        assert!(!reminder.is_due());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(reminder.is_due());
        assert!(!reminder.is_due());
        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(reminder.is_due());
        assert!(Reminder::default().is_due());
    }

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
