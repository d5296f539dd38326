//! Leaky buckets by key: counts that decay over time, in bounded memory.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of keys; beyond it keys are evicted early.
const MAX_KEYS: usize = 10_000;
/// Minimum interval between two removals of keys whose count has decayed to zero.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Leaky buckets by key.
pub(crate) struct LeakyBuckets<K> {
    capacity: f64,
    per_second: f64,
    levels: Mutex<Levels<K>>,
}

struct Levels<K> {
    of: HashMap<K, Level>,
    swept_at: Option<Instant>,
}

#[derive(Clone, Copy)]
struct Level {
    height: f64,
    at: Instant,
}

impl<K: Clone + Eq + Hash> LeakyBuckets<K> {
    /// Creates buckets that hold `capacity` and drain completely within `period`.
    pub(crate) fn new(capacity: u32, period: Duration) -> Self {
        let capacity = f64::from(capacity);
        Self {
            capacity,
            per_second: capacity / period.as_secs_f64(),
            levels: Mutex::new(Levels {
                of: HashMap::new(),
                swept_at: None,
            }),
        }
    }

    /// Returns the time until the key's bucket has room for one more, in seconds; `None` if it has
    /// room now.
    pub(crate) fn wait_of(&self, key: &K) -> Option<u32> {
        self.wait_at(key, Instant::now())
    }

    /// Adds one to the key's count.
    pub(crate) fn add(&self, key: K) {
        self.add_at(key, Instant::now());
    }

    fn wait_at(&self, key: &K, now: Instant) -> Option<u32> {
        let levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        let height = self.height(*levels.of.get(key)?, now);
        let excess = height + 1.0 - self.capacity;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a cast to an integer saturates"
        )]
        (excess > 0.0).then(|| (excess / self.per_second).ceil().max(1.0) as u32)
    }

    fn add_at(&self, key: K, now: Instant) {
        let mut levels = self.levels.lock().unwrap_or_else(PoisonError::into_inner);
        if levels.of.len() >= MAX_KEYS && !levels.of.contains_key(&key) {
            self.evict(&mut levels, now);
        }
        let level = levels.of.get(&key).copied();
        let height = level.map_or(0.0, |level| self.height(level, now)) + 1.0;
        levels.of.insert(key, Level { height, at: now });
    }

    fn height(&self, level: Level, now: Instant) -> f64 {
        let seconds = now.saturating_duration_since(level.at).as_secs_f64();
        (level.height - seconds * self.per_second).max(0.0)
    }

    fn evict(&self, levels: &mut Levels<K>, now: Instant) {
        let is_recent = |at: Instant| now.saturating_duration_since(at) < SWEEP_INTERVAL;
        if !levels.swept_at.is_some_and(is_recent) {
            levels.swept_at = Some(now);
            levels.of.retain(|_, level| self.height(*level, now) > 0.0);
        }
        if levels.of.len() >= MAX_KEYS {
            let any = levels.of.keys().next().cloned();
            any.map(|key| levels.of.remove(&key));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_fill_up_and_decay() {
        let counts = LeakyBuckets::new(3, Duration::from_secs(60));
        let now = Instant::now();
        for _ in 0..3 {
            assert_eq!(counts.wait_at(&"a", now), None);
            counts.add_at("a", now);
        }
        assert_eq!(counts.wait_at(&"a", now), Some(20));
        assert_eq!(
            counts.wait_at(&"b", now),
            None,
            "keys are counted separately"
        );
        let later = now + Duration::from_secs(15);
        assert_eq!(counts.wait_at(&"a", later), Some(5));
        let later = now + Duration::from_secs(21);
        assert_eq!(counts.wait_at(&"a", later), None);
    }

    #[test]
    fn memory_is_bounded_however_many_keys_come() {
        let counts = LeakyBuckets::new(1, Duration::from_secs(60));
        let now = Instant::now();
        for key in 0..3 * MAX_KEYS {
            counts.add_at(key, now);
        }
        let levels = counts.levels.lock().expect("not poisoned");
        assert_eq!(levels.of.len(), MAX_KEYS);
    }
}
