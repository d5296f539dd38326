//! Notifications into the service's own log: what processes have to say where nobody
//! else is to be told.

use async_trait::async_trait;
use bakehouse_engine::Notification;
use bakehouse_engine::ports::{Channel, SendError};

/// The lane that ends in the log.
pub const LANE: &str = "log";

/// Writes them down.
pub(crate) struct LogChannel;

#[async_trait]
impl Channel for LogChannel {
    fn lane(&self) -> &str {
        LANE
    }

    async fn send(&self, notification: &Notification) -> Result<(), SendError> {
        let Notification {
            id,
            position,
            entity_id,
            to,
            message,
            ..
        } = notification;
        tracing::info!(%id, position, entity_id, to, message = message.get(), "notification");
        Ok(())
    }
}
