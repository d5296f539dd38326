//! Exponential backoff with jitter, and the rate limit of log lines about waiting.

use std::time::Duration;

use tokio::time::Instant;

use crate::{Shutdown, jitter};

const INITIAL_DELAY: Duration = Duration::from_millis(50);
const MAX_DELAY: Duration = Duration::from_secs(2);

/// Exponential backoff with jitter, from 50 ms to 2 s. The upper bound keeps recovery within
/// seconds after a server is available again.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            next: INITIAL_DELAY,
        }
    }
}

impl Backoff {
    /// Resets the delay to its initial value, after a successful attempt.
    pub fn reset(&mut self) {
        self.next = INITIAL_DELAY;
    }

    /// Returns the next delay, between half of the current step and all of it, and doubles the
    /// step.
    pub fn step(&mut self) -> Duration {
        let delay = self.next.mul_f64(jitter::between(0.5, 1.0));
        self.next = (self.next * 2).min(MAX_DELAY);
        delay
    }

    /// Waits for one delay, or until shutdown.
    pub async fn wait(&mut self, shutdown: &Shutdown) {
        let delay = self.step();
        tokio::select! {
            biased;
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(delay) => {}
        }
    }
}

/// Interval between two log lines about the same wait.
const REMINDER_INTERVAL: Duration = Duration::from_secs(10);

/// Limits the log lines about one wait: the first is due after a delay, the others every 10 s.
#[derive(Debug)]
pub struct Reminder {
    due: Instant,
}

impl Reminder {
    /// Creates a reminder that is first due after `quiet`. Shorter waits are not logged.
    #[must_use]
    pub fn after(quiet: Duration) -> Self {
        Self {
            due: Instant::now() + quiet,
        }
    }

    /// Checks whether a line is due now; if so, the next one is due 10 s later.
    pub fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let is_due = now >= self.due;
        if is_due {
            self.due = now + REMINDER_INTERVAL;
        }
        is_due
    }
}

impl Default for Reminder {
    /// Creates a reminder that is due immediately.
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
        assert!(steps[0] <= INITIAL_DELAY && steps[0] >= INITIAL_DELAY / 2);
        assert!(steps[11] <= MAX_DELAY && steps[11] >= MAX_DELAY / 2);
        backoff.reset();
        assert!(backoff.step() <= INITIAL_DELAY);
    }
}
