//! Number of operations on their way to the log, asked for without declaring anything.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_engine::ports::{Backlog, StoreError, Waiting};
use lapin::Connection;
use tokio::sync::Mutex;

use crate::connection::Target;
use crate::topology::find;

pub(crate) struct RabbitBacklog {
    target: Target,
    /// Opened when it is first asked for.
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

    /// Counts what the consumer of the schedule queue will be given: of the queue, of the one that
    /// takes its place while it is replaced, and of the dead letters.
    async fn count(&self) -> Result<Waiting, String> {
        let connection = self.connection().await?;
        let count = async |queue: String| {
            let counted = find(&connection, &queue).await?;
            Ok::<_, String>(counted.map(u64::from))
        };
        // A message on its way from one to the other is counted twice rather than not at all.
        let scheduled = count(self.target.schedule_queue()).await?;
        let moving = count(self.target.moving_queue()).await?;
        if scheduled.is_none() && moving.is_none() {
            let queue = self.target.schedule_queue();
            return Err(format!("broker: there is no queue {queue}"));
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
