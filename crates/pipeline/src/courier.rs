//! A courier: takes what is due of one lane, sends it, and notes what became of it.
//!
//! Every lane has its own, so that a mail server that is away holds up mail and
//! nothing else. Any number of processes may run couriers of one lane: what one
//! has taken nobody else gets, until it must have died.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::watch;

use crate::backoff::Backoff;
use crate::notification::{Attempt, Patience};
use crate::ports::{Channel, Claim, Notifications, SendError, Settled, StoreError};
use crate::torture::{self, point};
use crate::{Notification, Position, Shutdown, Timestamp};

/// How long what was taken stays taken, in times of how long an attempt may
/// take: the rest is for noting what became of it.
const CLAIM: u32 = 4;

/// How a courier works.
#[derive(Clone, Debug)]
pub struct CourierSettings {
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
    settings: CourierSettings,
    mut recorded: watch::Receiver<Position>,
    shutdown: Shutdown,
) {
    let courier = Courier {
        channel,
        notifications: torture::notifications(notifications),
        settings,
    };
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        recorded.mark_unchanged();
        match courier.round(&shutdown).await {
            Ok(true) => backoff.reset(),
            Ok(false) => {
                backoff.reset();
                tokio::select! {
                    // The sender lives as long as the process.
                    _ = recorded.changed() => {}
                    () = tokio::time::sleep(courier.settings.poll_interval) => {}
                    () = shutdown.cancelled() => {}
                }
            }
            Err(error) => {
                tracing::warn!(lane = courier.channel.lane(), "waiting: {error}");
                backoff.wait(&shutdown).await;
            }
        }
    }
}

struct Courier {
    channel: Arc<dyn Channel>,
    notifications: Arc<dyn Notifications>,
    settings: CourierSettings,
}

impl Courier {
    /// Sends what is due. `false`: nothing is.
    async fn round(&self, shutdown: &Shutdown) -> Result<bool, StoreError> {
        let now = Timestamp::now();
        let claim = Claim {
            now,
            until: now.after(self.settings.timeout * CLAIM),
            limit: self.settings.at_once,
        };
        let taken = self.notifications.take(self.channel.lane(), claim).await?;
        if taken.is_empty() {
            return Ok(false);
        }
        point("courier.taken");
        let settled = join_all(taken.iter().map(|notification| self.attempt(notification))).await;
        point("courier.sent");
        self.settle(&settled, shutdown).await;
        Ok(true)
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
    async fn settle(&self, settled: &[Settled], shutdown: &Shutdown) {
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
            if shutdown.is_cancelled() {
                return;
            }
            tokio::select! {
                () = backoff.wait(shutdown) => {}
                () = &mut limit => return,
            }
        }
    }
}
