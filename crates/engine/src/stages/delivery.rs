//! A courier: takes what is due of one lane, sends it, and notes what became of it.
//!
//! Every receiver that can be slow by itself (a mail server, a gateway, a webhook's endpoint) has
//! a lane, and every lane a courier of its own, so that a mail server that is away holds up mail
//! and nothing else. Within a lane deliveries run side by side, at most `at_once` of them: a
//! delivery that has ended makes room for the next one, whatever the others are waiting for, and
//! what became of it is noted while they go on. Any number of processes may run couriers of one
//! lane: what one has taken nobody else gets, until it must have died.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::fault_injection::{self, point};
use crate::model::notification::{Attempt, Patience};
use crate::ports::{Channel, Claim, Notifications, SendError, Settled, StoreError};
use crate::{Notification, Position, Shutdown, Timestamp};

/// How long what was taken stays taken, in times of how long an attempt may
/// take: the rest is for noting what became of it.
const CLAIM: u32 = 4;
/// Interval between two looks into the record while there is more: deliveries that end at about
/// the same time are replaced by one look.
const REFILL_INTERVAL: Duration = Duration::from_millis(5);

/// How a courier works.
#[derive(Clone, Debug)]
pub struct DeliverySettings {
    /// How often it looks although nobody told it to.
    pub poll_interval: Duration,
    /// How long an attempt may take.
    pub timeout: Duration,
    /// How many are sent at the same time.
    pub at_once: usize,
    /// How often, and how long, it tries.
    pub patience: Patience,
}

/// Runs until shutdown; what has been begun by then is finished.
pub async fn run(
    channel: Arc<dyn Channel>,
    notifications: Arc<dyn Notifications>,
    settings: DeliverySettings,
    mut recorded: watch::Receiver<Position>,
    shutdown: Shutdown,
) {
    let delivery = DeliveryWorker {
        channel,
        notifications: fault_injection::notifications(notifications),
        settings,
        shutdown,
    };
    let mut round = Round::new(&delivery);
    loop {
        round.note();
        if delivery.shutdown.is_cancelled() {
            if round.work.is_empty() {
                return;
            }
            round.finish_one().await;
            continue;
        }
        let has_room = round.has_room();
        if has_room && round.next_look <= Instant::now() {
            recorded.mark_unchanged();
            round.take();
        }
        let has_room = round.has_room();
        let mut look = pin!(tokio::time::sleep_until(round.next_look));
        tokio::select! {
            biased;
            () = delivery.shutdown.cancelled() => {}
            Some(done) = round.work.next(), if !round.work.is_empty() => round.is_done(done),
            // The sender lives as long as the process.
            _ = recorded.changed(), if has_room => round.look_soon(),
            () = &mut look, if has_room => {}
        }
    }
}

struct DeliveryWorker {
    channel: Arc<dyn Channel>,
    notifications: Arc<dyn Notifications>,
    settings: DeliverySettings,
    shutdown: Shutdown,
}

/// Deliveries that a courier has in hand.
struct Round<'a> {
    delivery: &'a DeliveryWorker,
    /// Everything that is under way: looks into the record, attempts, notes.
    work: FuturesUnordered<BoxFuture<'a, Done>>,
    /// Attempts under way.
    sending: usize,
    /// Attempts that have ended and are still to be noted.
    settled: Vec<Settled>,
    /// Attempts that are being noted.
    noting: usize,
    is_taking: bool,
    /// Time of the next look into the record.
    next_look: Instant,
    backoff: Backoff,
}

/// A piece of work that has ended.
enum Done {
    /// A look into the record for at most so many.
    Taken(usize, Result<Vec<Notification>, StoreError>),
    Attempted(Settled),
    Noted,
}

impl<'a> Round<'a> {
    fn new(delivery: &'a DeliveryWorker) -> Self {
        Self {
            delivery,
            work: FuturesUnordered::new(),
            sending: 0,
            settled: Vec::new(),
            noting: 0,
            is_taking: false,
            next_look: Instant::now(),
            backoff: Backoff::default(),
        }
    }

    /// The number of deliveries that may be begun.
    fn free(&self) -> usize {
        let in_hand = self.sending + self.settled.len() + self.noting;
        self.delivery.settings.at_once.saturating_sub(in_hand)
    }

    fn has_room(&self) -> bool {
        !self.is_taking && self.free() > 0
    }

    /// Something has gone on record.
    fn look_soon(&mut self) {
        let pause = match self.work.is_empty() {
            true => Duration::ZERO,
            false => REFILL_INTERVAL,
        };
        self.next_look = self.next_look.min(Instant::now() + pause);
    }

    /// Begins a look into the record.
    fn take(&mut self) {
        let (delivery, limit) = (self.delivery, self.free());
        self.is_taking = true;
        let taking = async move { Done::Taken(limit, delivery.take(limit).await) };
        self.work.push(Box::pin(taking));
    }

    /// Begins to note what has ended, unless that is being done already.
    fn note(&mut self) {
        if self.noting > 0 || self.settled.is_empty() {
            return;
        }
        let settled = std::mem::take(&mut self.settled);
        self.noting = settled.len();
        let delivery = self.delivery;
        let noting = async move {
            point("courier.sent");
            delivery.settle(&settled).await;
            Done::Noted
        };
        self.work.push(Box::pin(noting));
    }

    async fn finish_one(&mut self) {
        if let Some(done) = self.work.next().await {
            self.is_done(done);
        }
    }

    fn is_done(&mut self, done: Done) {
        match done {
            Done::Taken(limit, Ok(taken)) => {
                self.is_taking = false;
                self.backoff.reset();
                let pause = match taken.len() < limit {
                    true => self.delivery.settings.poll_interval,
                    false => REFILL_INTERVAL,
                };
                // Something may have gone on record since the look.
                self.next_look = self.next_look.max(Instant::now() + pause);
                self.send(taken);
            }
            Done::Taken(_, Err(error)) => {
                self.is_taking = false;
                let lane = self.delivery.channel.lane();
                tracing::warn!(lane, "waiting: {error}");
                self.next_look = Instant::now() + self.backoff.step();
            }
            Done::Attempted(settled) => {
                self.sending -= 1;
                self.settled.push(settled);
            }
            Done::Noted => self.noting = 0,
        }
    }

    fn send(&mut self, taken: Vec<Notification>) {
        if taken.is_empty() {
            return;
        }
        point("courier.taken");
        self.sending += taken.len();
        let delivery = self.delivery;
        for notification in taken {
            let attempt = async move { Done::Attempted(delivery.attempt(&notification).await) };
            self.work.push(Box::pin(attempt));
        }
    }
}

impl DeliveryWorker {
    /// Takes what is due.
    async fn take(&self, limit: usize) -> Result<Vec<Notification>, StoreError> {
        let now = Timestamp::now();
        let claim = Claim {
            now,
            until: now.after(self.settings.timeout * CLAIM),
            limit,
        };
        self.notifications.take(self.channel.lane(), claim).await
    }

    async fn attempt(&self, notification: &Notification) -> Settled {
        let sending = self.channel.send(notification);
        let result = match tokio::time::timeout(self.settings.timeout, sending).await {
            Ok(result) => result,
            Err(_) => Err(SendError::unavailable(format!(
                "no answer within {} s",
                self.settings.timeout.as_secs_f32()
            ))),
        };
        Settled {
            id: notification.id,
            attempt: notification.attempts,
            outcome: self.outcome(notification, result),
        }
    }

    fn outcome(&self, notification: &Notification, result: Result<(), SendError>) -> Attempt {
        let at = Timestamp::now();
        let (lane, id) = (&notification.lane, notification.id);
        let (reason, wish) = match result {
            Ok(()) => {
                tracing::info!(%lane, %id, attempt = notification.attempts, "sent");
                return Attempt::Sent { at };
            }
            Err(SendError::Refused(reason)) => {
                tracing::warn!(%lane, %id, "refused: {reason}");
                return Attempt::Failed { at, reason };
            }
            Err(SendError::Unavailable { reason, wish }) => (reason, wish),
        };
        match self.settings.patience.next(notification, wish, at) {
            Some(due_at) => {
                tracing::info!(%lane, %id, %due_at, "will be tried again: {reason}");
                Attempt::Postponed { due_at, reason }
            }
            None => {
                tracing::warn!(%lane, %id, attempts = notification.attempts, "given up: {reason}");
                Attempt::Failed { at, reason }
            }
        }
    }

    /// Tries for as long as nobody else can have taken them: what was sent but
    /// not noted is sent once more.
    async fn settle(&self, settled: &[Settled]) {
        let mut backoff = Backoff::default();
        let limit = tokio::time::sleep(self.settings.timeout * (CLAIM - 1));
        tokio::pin!(limit);
        loop {
            match self.notifications.settle(settled).await {
                Ok(()) => return,
                Err(error) => tracing::warn!(
                    lane = self.channel.lane(),
                    "cannot note what was sent: {error}"
                ),
            }
            if self.shutdown.is_cancelled() {
                return;
            }
            tokio::select! {
                () = backoff.wait(&self.shutdown) => {}
                () = &mut limit => return,
            }
        }
    }
}
