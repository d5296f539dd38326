//! Channel that writes notifications of processes to the log lines of the service.

use async_trait::async_trait;
use bakehouse_engine::Notification;
use bakehouse_engine::ports::{Channel, SendError};

/// Name of the channel that writes to the log lines of the service.
pub const LOG_CHANNEL: &str = "log";

/// Channel that logs each notification at level info.
pub(crate) struct LogChannel;

#[async_trait]
impl Channel for LogChannel {
    fn name(&self) -> &str {
        LOG_CHANNEL
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
