//! The publishing connection: one a process, rebuilt whenever it breaks.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_pipeline::backoff::{Backoff, Reminder};
use bakehouse_pipeline::torture::point;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;

use crate::connection::{Target, reason};

/// How often the connection is looked at although it said nothing.
const LOOK: Duration = Duration::from_millis(250);
/// How long a message that nobody relies on may hold up its sender.
const COURTESY: Duration = Duration::from_millis(500);
/// How often somebody who waits looks whether waiting makes sense.
const IMPATIENCE: Duration = Duration::from_millis(50);
const PERSISTENT: u8 = 2;
const BLOCKED: &str = "the broker takes no messages: it is short of memory or disk";

/// What may wait for its confirmation at once, in KiB: each message takes as many as it
/// has, and one more. Beyond that it is better to be told so than to wait.
const ROOM: usize = 64 * 1024;
const FULL: &str = "too much waits for the broker's confirmation already";

/// The connection as it is now, or why there is none.
type State = Result<Live, String>;

#[derive(Clone)]
struct Live {
    connection: Arc<Connection>,
    /// Every message on it is confirmed.
    confirmed: Channel,
    /// None is.
    plain: Channel,
    /// Told by whoever waits for it in vain.
    suspicion: Arc<Notify>,
}

/// A handle to the publishing connection, which lives as long as any handle.
#[derive(Clone)]
pub(crate) struct Publisher {
    state: watch::Receiver<State>,
    confirm_timeout: Duration,
    room: Arc<Semaphore>,
}

impl Publisher {
    pub(crate) fn start(target: Target, confirm_timeout: Duration) -> Self {
        let (sender, state) = watch::channel(Err("not connected to the broker yet".to_owned()));
        tokio::spawn(keep_connected(target, sender));
        Self {
            state,
            confirm_timeout,
            room: Arc::new(Semaphore::new(ROOM)),
        }
    }

    /// Whether a message could be published now, and if not, why.
    pub(crate) fn check(&self) -> Result<(), String> {
        self.live().map(|_| ())
    }

    fn live(&self) -> Result<Live, String> {
        let live = self.state.borrow().clone()?;
        if live.connection.status().blocked() {
            return Err(BLOCKED.into());
        }
        Ok(live)
    }

    /// Publishes a message and waits until the broker has it on disk, in a queue.
    pub(crate) async fn publish_durably(
        &self,
        exchange: String,
        key: String,
        payload: Vec<u8>,
    ) -> Result<(), String> {
        let live = self.live()?;
        let size = u32::try_from(payload.len() / 1024 + 1).unwrap_or(u32::MAX);
        let room = self.room.clone().try_acquire_many_owned(size);
        let room = room.map_err(|_| FULL)?;
        // In a task of its own: whoever waits may go away, but a confirmation
        // that nobody awaits would stay in the channel's books for ever.
        let channel = live.confirmed.clone();
        let mut confirming = tokio::spawn(async move {
            let confirmed = confirm(channel, exchange, key, payload).await;
            drop(room);
            confirmed
        });
        let deadline = Instant::now() + self.confirm_timeout;
        loop {
            let look = deadline.min(Instant::now() + IMPATIENCE);
            tokio::select! {
                outcome = &mut confirming => {
                    return outcome.unwrap_or_else(|panicked| Err(panicked.to_string()));
                }
                () = tokio::time::sleep_until(look) => {}
            }
            // A broker says that it is blocked when somebody publishes, not before.
            if live.connection.status().blocked() {
                return Err(BLOCKED.into());
            }
            if Instant::now() >= deadline {
                live.suspicion.notify_one();
                let seconds = self.confirm_timeout.as_secs_f64();
                return Err(format!("the broker has not confirmed within {seconds} s"));
            }
        }
    }

    /// Publishes a message if that can be done now.
    pub(crate) async fn publish_if_possible(
        &self,
        exchange: String,
        key: String,
        payload: Vec<u8>,
    ) {
        let Ok(live) = self.live() else { return };
        let options = BasicPublishOptions::default();
        let properties = properties();
        let publishing =
            live.plain
                .basic_publish(exchange.into(), key.into(), options, &payload, properties);
        let _ = tokio::time::timeout(COURTESY, publishing).await;
    }
}

fn properties() -> BasicProperties {
    BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type("application/json".into())
}

/// Only an empty acknowledgement says that the message is in a queue: one with
/// the message in it says that no queue wanted it.
async fn confirm(
    channel: Channel,
    exchange: String,
    key: String,
    payload: Vec<u8>,
) -> Result<(), String> {
    let options = BasicPublishOptions {
        mandatory: true,
        ..BasicPublishOptions::default()
    };
    let published =
        channel.basic_publish(exchange.into(), key.into(), options, &payload, properties());
    let confirming = published.await.map_err(reason)?;
    point("rabbitmq.published");
    match confirming.await.map_err(reason)? {
        Confirmation::Ack(None) => {
            point("rabbitmq.confirmed");
            Ok(())
        }
        Confirmation::Ack(Some(_)) => Err("no queue is bound for the message".into()),
        Confirmation::Nack(_) => Err("the broker refused the message".into()),
        Confirmation::NotRequested => Err("the channel does not confirm".into()),
    }
}

/// Connects, waits until the connection is of no use any more, and starts over;
/// until nobody wants it.
async fn keep_connected(target: Target, state: watch::Sender<State>) {
    let mut backoff = Backoff::default();
    let mut reminder = Reminder::default();
    while !state.is_closed() {
        match open(&target).await {
            Ok(live) => {
                tracing::info!("connected to the broker");
                backoff.reset();
                reminder = Reminder::default();
                let _ = state.send_replace(Ok(live.clone()));
                broken(&live, &state).await;
                let _ = state.send_replace(Err("the connection to the broker is lost".into()));
            }
            Err(error) => {
                if reminder.is_due() {
                    tracing::warn!("waiting for the broker: {error}");
                }
                let _ = state.send_replace(Err(error));
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.step()) => {}
            () = state.closed() => {}
        }
    }
}

async fn open(target: &Target) -> State {
    let connection = target.connect("publishing").await?;
    let confirmed = connection.create_channel().await.map_err(reason)?;
    confirmed
        .confirm_select(ConfirmSelectOptions::default())
        .await
        .map_err(reason)?;
    let plain = connection.create_channel().await.map_err(reason)?;
    Ok(Live {
        connection: Arc::new(connection),
        confirmed,
        plain,
        suspicion: Arc::default(),
    })
}

async fn broken(live: &Live, state: &watch::Sender<State>) {
    while live.connection.status().connected()
        && live.confirmed.status().connected()
        && live.plain.status().connected()
    {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = state.closed() => return,
            () = live.suspicion.notified() => return,
        }
    }
}
