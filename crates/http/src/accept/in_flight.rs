//! Idempotency keys whose first request has not reached the log yet: whoever comes second under
//! one waits for the first, and is held against it. For one process; between several of them the
//! log's unique index decides.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use uuid::Uuid;

use crate::response::problem::Problem;

/// Time that a request waits for another one under the same key before it gets 409.
const WAIT_TIMEOUT: Duration = Duration::from_secs(10);
/// Requests that wait for one at the same time; more of them get 409 at once.
const MAX_WAITING: usize = 16;
/// Time for which an accepted operation is remembered: ample for the log to have it.
const MEMORY: Duration = Duration::from_secs(60);
/// Accepted operations that are remembered at most: the oldest go first.
const MAX_REMEMBERED: usize = 10_000;

/// Keys whose requests are being accepted, or just were. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct InFlight(Arc<Mutex<Keys>>);

#[derive(Default)]
struct Keys {
    entries: HashMap<Uuid, Entry>,
    /// Accepted ones, oldest first.
    accepted: VecDeque<(Instant, Uuid)>,
}

/// State of a key, by the id of its operation.
enum Entry {
    /// Its request is being accepted; whoever waits is told the end.
    Running(Arc<watch::Sender<bool>>),
    /// Its operation is durable, with this fingerprint, since then.
    Accepted(String, Instant),
}

/// Exclusive right to accept an operation under a key, until it is dropped.
pub(crate) struct Turn {
    keys: InFlight,
    id: Uuid,
    /// Fingerprint of what has been accepted under the key, if that is remembered.
    accepted: Option<String>,
    done: Arc<watch::Sender<bool>>,
}

impl InFlight {
    fn lock(&self) -> MutexGuard<'_, Keys> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the turn of the key that leads to this operation, as soon as nobody has it.
    ///
    /// # Errors
    /// 409 when that takes too long, or too many wait for it.
    pub(crate) async fn turn(&self, id: Uuid) -> Result<Turn, Problem> {
        let taken = tokio::time::timeout(WAIT_TIMEOUT, async {
            loop {
                let mut running = match self.try_turn(id) {
                    Ok(turn) => return Ok(turn),
                    Err(running) => running.ok_or_else(Problem::key_in_use)?,
                };
                // It may as well be gone.
                let _ = running.wait_for(|is_done| *is_done).await;
            }
        });
        taken.await.unwrap_or_else(|_| Err(Problem::key_in_use()))
    }

    /// # Errors
    /// What tells the end of the turn that somebody else has; `None`: too many wait for it.
    fn try_turn(&self, id: Uuid) -> Result<Turn, Option<watch::Receiver<bool>>> {
        let mut keys = self.lock();
        keys.forget_old(Instant::now());
        let accepted = match keys.entries.get(&id) {
            Some(Entry::Running(done)) => {
                let has_room = done.receiver_count() < MAX_WAITING;
                return Err(has_room.then(|| done.subscribe()));
            }
            Some(Entry::Accepted(fingerprint, _)) => Some(fingerprint.clone()),
            None => None,
        };
        let done = Arc::new(watch::Sender::new(false));
        keys.entries.insert(id, Entry::Running(done.clone()));
        Ok(Turn {
            keys: self.clone(),
            id,
            accepted,
            done,
        })
    }
}

impl Keys {
    fn forget_old(&mut self, now: Instant) {
        while let Some((at, id)) = self.accepted.front().copied() {
            let is_old = now.duration_since(at) > MEMORY;
            if !is_old && self.accepted.len() <= MAX_REMEMBERED {
                return;
            }
            self.accepted.pop_front();
            // Unless it has been accepted again since.
            if matches!(self.entries.get(&id), Some(Entry::Accepted(_, since)) if *since == at) {
                self.entries.remove(&id);
            }
        }
    }
}

impl Turn {
    /// Fingerprint of what was accepted under the key before, or has been since.
    pub(crate) fn known(&self) -> Option<&str> {
        self.accepted.as_deref()
    }

    /// Remembers what was accepted.
    pub(crate) fn accept(&mut self, fingerprint: String) {
        self.accepted.get_or_insert(fingerprint);
    }
}

impl Drop for Turn {
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
        self.done.send_replace(true);
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
        let mut first = keys.turn(id).await.expect("a turn");
        assert_eq!(first.known(), None);
        let waiting = keys.turn(id);
        tokio::pin!(waiting);
        let early = tokio::time::timeout(Duration::from_millis(50), &mut waiting).await;
        assert!(early.is_err(), "it waits");
        // Other keys do not.
        assert!(keys.turn(Uuid::from_u128(2)).await.is_ok());
        first.accept("f".into());
        drop(first);
        let second = waiting.await.expect("a turn");
        assert_eq!(second.known(), Some("f"));
        drop(second);
        assert_eq!(keys.turn(id).await.expect("a turn").known(), Some("f"));
    }

    #[tokio::test]
    async fn what_was_not_accepted_leaves_nothing_behind() {
        let keys = InFlight::default();
        let id = Uuid::from_u128(1);
        drop(keys.turn(id).await.expect("a turn"));
        assert!(keys.lock().entries.is_empty());
        assert_eq!(keys.turn(id).await.expect("a turn").known(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever_nor_in_any_number() {
        let keys = InFlight::default();
        let id = Uuid::from_u128(1);
        let first = keys.turn(id).await.expect("a turn");
        let waiting: Vec<_> = (0..MAX_WAITING + 3)
            .map(|_| {
                let keys = keys.clone();
                tokio::spawn(
                    async move { (keys.turn(id).await.err(), tokio::time::Instant::now()) },
                )
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
        assert!(keys.turn(id).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_remembered_is_bounded() {
        let keys = InFlight::default();
        for id in 0..MAX_REMEMBERED as u128 + 50 {
            let mut turn = keys.turn(Uuid::from_u128(id)).await.expect("a turn");
            turn.accept(String::new());
        }
        // Taken again and again it is remembered once.
        for _ in 0..50 {
            drop(keys.turn(Uuid::from_u128(60)).await.expect("a turn"));
        }
        assert!(keys.lock().entries.len() <= MAX_REMEMBERED + 1);
        assert!(keys.lock().accepted.len() <= MAX_REMEMBERED + 1);
        let later = Instant::now() + 2 * MEMORY;
        keys.lock().forget_old(later);
        assert!(keys.lock().entries.is_empty() && keys.lock().accepted.is_empty());
    }
}
