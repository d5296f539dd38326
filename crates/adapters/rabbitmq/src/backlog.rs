//! Number of operations waiting in the queues, read without declaring anything.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{Backlog, StoreError, Waiting};
use lapin::Connection;
use tokio::sync::Mutex;

use crate::connection::Target;
use crate::topology::message_count;

pub(crate) struct RabbitBacklog {
    target: Target,
    /// Opened at the first request.
    connection: Mutex<Option<Arc<Connection>>>,
}

impl RabbitBacklog {
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            connection: Mutex::default(),
        }
    }

    async fn connection(&self) -> Result<Arc<Connection>, String> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| open.status().connected()) {
            return Ok(open.clone());
        }
        let open = Arc::new(self.target.open("counting").await?);
        *connection = Some(open.clone());
        Ok(open)
    }

    /// Counts the messages that events-writer will receive: those of the schedule queue, of the
    /// queue that stands in for it during a migration, and of the dead-letter queue.
    async fn count(&self) -> Result<Waiting, String> {
        let connection = self.connection().await?;
        let count = async |queue: String| {
            let counted = message_count(&connection, &queue).await?;
            Ok::<_, String>(counted.map(u64::from))
        };
        // In this order, a message that moves meanwhile is counted twice rather than not at all.
        let scheduled = count(self.target.schedule_queue()).await?;
        let moving = count(self.target.moving_queue()).await?;
        if scheduled.is_none() && moving.is_none() {
            let queue = self.target.schedule_queue();
            return Err(format!("broker: queue {queue} not found"));
        }
        let dead_letters = count(self.target.dead_letter_queue()).await?;
        let dead_letters = dead_letters.unwrap_or_default();
        let parked = count(self.target.parked_queue()).await?;
        Ok(Waiting {
            operations: scheduled.unwrap_or_default() + moving.unwrap_or_default() + dead_letters,
            dead_letters,
            unreadable: parked.unwrap_or_default(),
            ..Waiting::default()
        })
    }
}

#[async_trait]
impl Backlog for RabbitBacklog {
    async fn waiting(&self) -> Result<Waiting, StoreError> {
        let counted = self.count().await;
        if counted.is_err() {
            *self.connection.lock().await = None;
        }
        counted.map_err(StoreError::Unavailable)
    }
}
