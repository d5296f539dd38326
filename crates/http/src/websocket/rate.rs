//! Rate limit on what a client sends on one connection: a token bucket.

use std::time::{Duration, Instant};

/// Rate that a token bucket allows.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// Maximum number at once.
    pub burst: u32,
    /// Average number per second.
    pub per_second: u32,
}

/// Token bucket for a [`Rate`].
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: Rate,
    tokens: f64,
    refilled_at: Instant,
}

impl TokenBucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst),
            refilled_at: now,
        }
    }

    /// Takes a token; `false` if none is left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let elapsed = now.checked_duration_since(self.refilled_at);
        let added =
            elapsed.unwrap_or(Duration::ZERO).as_secs_f64() * f64::from(self.rate.per_second);
        self.tokens = (self.tokens + added).min(f64::from(self.rate.burst));
        self.refilled_at = now;
        let is_available = self.tokens >= 1.0;
        if is_available {
            self.tokens -= 1.0;
        }
        is_available
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_average_rate() {
        let now = Instant::now();
        let rate = Rate {
            burst: 3,
            per_second: 2,
        };
        let mut bucket = TokenBucket::new(rate, now);
        let passed = (0..9).filter(|_| bucket.take(now)).count();
        assert_eq!(passed, 3);
        let later = now + Duration::from_secs(1);
        let passed = (0..9).filter(|_| bucket.take(later)).count();
        assert_eq!(passed, 2);
        let much_later = now + Duration::from_secs(100);
        let passed = (0..9).filter(|_| bucket.take(much_later)).count();
        assert_eq!(passed, 3, "at most the burst");
    }
}
