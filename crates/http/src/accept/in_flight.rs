//! Locks of idempotency keys whose first request may not have reached the log yet: a second request
//! under the same key waits for the first and is compared with it. Valid for one process; between
//! processes the log's unique index decides.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use crate::response::problem::Problem;

/// Time that a request waits for the lock of its key before it gets 409.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of requests that wait for the lock of one key; further ones get 409 at once.
const MAX_WAITERS: usize = 16;
/// Time for which an accepted operation is remembered; it reaches the log long before.
const RETENTION: Duration = Duration::from_secs(60);
/// Maximum number of accepted operations that are remembered; the oldest are evicted first.
const MAX_REMEMBERED: usize = 10_000;

/// Idempotency keys of requests that are being accepted or were accepted recently. Clones share
/// the keys.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<Keys>>);

#[derive(Default)]
struct Keys {
    entries: HashMap<Uuid, Entry>,
    /// Operation ids of accepted keys, oldest first.
    accepted: VecDeque<(Instant, Uuid)>,
}

/// State of a key.
enum Entry {
    /// Locked by a request; the channel notifies waiters when it is unlocked.
    Locked(Arc<watch::Sender<bool>>),
    /// Unlocked, with the fingerprint of the accepted operation and the time of its acceptance.
    Accepted(String, Instant),
}

/// Exclusive right to accept an operation under a key; released when it is dropped.
pub(crate) struct KeyLock {
    keys: InFlight,
    id: Uuid,
    /// Fingerprint of the operation accepted under the key, if it is remembered.
    accepted: Option<String>,
    released: Arc<watch::Sender<bool>>,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks the key of this operation, once no other request holds the lock.
    ///
    /// # Errors
    /// 409 if that takes too long, or if too many requests wait already.
    pub(crate) async fn lock_key(&self, id: Uuid) -> Result<KeyLock, Problem> {
        let locked = tokio::time::timeout(WAIT_TIMEOUT, async {
            loop {
                let mut released = match self.try_lock_key(id) {
                    Ok(lock) => return Ok(lock),
                    Err(released) => released.ok_or_else(Problem::key_in_use)?,
                };
                // An error means that the sender was dropped, which is a release as well.
                let _ = released.wait_for(|is_released| *is_released).await;
            }
        });
        locked.await.unwrap_or_else(|_| Err(Problem::key_in_use()))
    }

    /// Locks the key if no other request holds the lock.
    ///
    /// # Errors
    /// The channel that reports the release of the lock; `None` if too many requests wait.
    fn try_lock_key(&self, id: Uuid) -> Result<KeyLock, Option<watch::Receiver<bool>>> {
        let mut keys = self.lock();
        keys.evict_old(Instant::now());
        let accepted = match keys.entries.get(&id) {
            Some(Entry::Locked(released)) => {
                let may_wait = released.receiver_count() < MAX_WAITERS;
                return Err(may_wait.then(|| released.subscribe()));
            }
            Some(Entry::Accepted(fingerprint, _)) => Some(fingerprint.clone()),
            None => None,
        };
        let released = Arc::new(watch::Sender::new(false));
        keys.entries.insert(id, Entry::Locked(released.clone()));
        Ok(KeyLock {
            keys: self.clone(),
            id,
            accepted,
            released,
        })
    }
}

impl Keys {
    fn evict_old(&mut self, now: Instant) {
        while let Some((at, id)) = self.accepted.front().copied() {
            let is_old = now.duration_since(at) > RETENTION;
            if !is_old && self.accepted.len() <= MAX_REMEMBERED {
                return;
            }
            self.accepted.pop_front();
            // Unless the key was accepted again since.
            if matches!(self.entries.get(&id), Some(Entry::Accepted(_, since)) if *since == at) {
                self.entries.remove(&id);
            }
        }
    }
}

impl KeyLock {
    /// Returns the fingerprint of the operation accepted under the key, if it is remembered.
    pub(crate) fn accepted(&self) -> Option<&str> {
        self.accepted.as_deref()
    }

    /// Remembers the fingerprint of the operation accepted under the key; the first one counts.
    pub(crate) fn record_accepted(&mut self, fingerprint: String) {
        self.accepted.get_or_insert(fingerprint);
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        let mut keys = self.keys.lock();
        match self.accepted.take() {
            Some(fingerprint) => {
                let now = Instant::now();
                keys.entries
                    .insert(self.id, Entry::Accepted(fingerprint, now));
                keys.accepted.push_back((now, self.id));
            }
            None => {
                keys.entries.remove(&self.id);
            }
        }
        drop(keys);
        self.released.send_replace(true);
    }
}

#[cfg(test)]
mod tests {
    use actix_web::ResponseError;

    use super::*;

    #[tokio::test]
    async fn the_second_waits_for_the_first_and_knows_its_outcome() {
        let keys = InFlight::default();
        let id = Uuid::from_u128(1);
        let mut first = keys.lock_key(id).await.expect("a lock");
        assert_eq!(first.accepted(), None);
        let waiting = keys.lock_key(id);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err(), "it waits");
        // Locks of other keys are independent.
        assert!(keys.lock_key(Uuid::from_u128(2)).await.is_ok());
        first.record_accepted("f".into());
        drop(first);
        let second = waiting.await.expect("a lock");
        assert_eq!(second.accepted(), Some("f"));
        drop(second);
        let third = keys.lock_key(id).await.expect("a lock");
        assert_eq!(third.accepted(), Some("f"));
    }

    #[tokio::test]
    async fn a_key_without_an_accepted_operation_is_forgotten() {
        let keys = InFlight::default();
        let id = Uuid::from_u128(1);
        drop(keys.lock_key(id).await.expect("a lock"));
        assert!(keys.lock().entries.is_empty());
        assert_eq!(keys.lock_key(id).await.expect("a lock").accepted(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_is_bounded_in_time_and_number() {
        let keys = InFlight::default();
        let id = Uuid::from_u128(1);
        let first = keys.lock_key(id).await.expect("a lock");
        let waiting: Vec<_> = (0..MAX_WAITERS + 3)
            .map(|_| {
                let keys = keys.clone();
                tokio::spawn(async move {
                    let refused = keys.lock_key(id).await.err();
                    (refused, tokio::time::Instant::now())
                })
            })
            .collect();
        let start = tokio::time::Instant::now();
        let mut at_once = 0;
        for waiting in waiting {
            let (refused, at) = waiting.await.expect("an outcome");
            assert_eq!(refused.expect("409").status_code(), 409);
            at_once += usize::from(at - start < WAIT_TIMEOUT);
        }
        assert_eq!(at_once, 3);
        drop(first);
        assert!(keys.lock_key(id).await.is_ok());
    }

    #[tokio::test]
    async fn remembered_keys_are_bounded() {
        let keys = InFlight::default();
        for id in 0..MAX_REMEMBERED as u128 + 50 {
            let mut lock = keys.lock_key(Uuid::from_u128(id)).await.expect("a lock");
            lock.record_accepted(String::new());
        }
        // A key that is locked repeatedly has one entry.
        for _ in 0..50 {
            drop(keys.lock_key(Uuid::from_u128(60)).await.expect("a lock"));
        }
        assert!(keys.lock().entries.len() <= MAX_REMEMBERED + 1);
        assert!(keys.lock().accepted.len() <= MAX_REMEMBERED + 1);
        let later = Instant::now() + 2 * RETENTION;
        keys.lock().evict_old(later);
        assert!(keys.lock().entries.is_empty() && keys.lock().accepted.is_empty());
    }
}
