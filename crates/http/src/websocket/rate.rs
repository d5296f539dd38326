//! How often a client may send something on one connection: a token bucket.

use std::time::{Duration, Instant};

/// How often.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    /// How many at once.
    pub burst: u32,
    /// How many a second in the long run.
    pub per_second: u32,
}

/// Counts against a [`Rate`].
#[derive(Debug)]
pub(crate) struct TokenBucket {
    rate: Rate,
    tokens: f64,
    filled: Instant,
}

impl TokenBucket {
    pub(crate) fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst),
            filled: now,
        }
    }

    /// Takes one; `false` if there is none left.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now.checked_duration_since(self.filled);
        let new = passed.unwrap_or(Duration::ZERO).as_secs_f64() * f64::from(self.rate.per_second);
        self.tokens = (self.tokens + new).min(f64::from(self.rate.burst));
        self.filled = now;
        let is_left = self.tokens >= 1.0;
        if is_left {
            self.tokens -= 1.0;
        }
        is_left
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_only_so_many_a_second() {
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
        assert_eq!(passed, 3, "never more than the burst");
    }
}
