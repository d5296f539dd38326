//! Depth of the schedule queue, asked for without declaring anything.

use std::sync::Arc;

use async_trait::async_trait;
use bakehouse_pipeline::ports::{Backlog, StoreError, Waiting};
use lapin::{Channel, Connection};
use tokio::sync::Mutex;

use crate::connection::{Target, reason};
use crate::topology::ask;

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

    async fn channel(&self) -> Result<Channel, String> {
        let mut connection = self.connection.lock().await;
        if let Some(open) = connection.as_ref().filter(|open| open.status().connected())
            && let Ok(channel) = open.create_channel().await
        {
            return Ok(channel);
        }
        *connection = None;
        let open = self.target.open("counting").await?;
        let channel = open.create_channel().await.map_err(reason)?;
        *connection = Some(Arc::new(open));
        Ok(channel)
    }

    async fn count(&self) -> Result<Waiting, String> {
        let channel = self.channel().await?;
        let scheduled = ask(&channel, &self.target.schedule_queue()).await;
        let scheduled = scheduled.map_err(reason)?;
        let parked = ask(&channel, &self.target.parked_queue()).await;
        let parked = parked.map_err(reason)?;
        let _ = channel.close(200, "counted".into()).await;
        Ok(Waiting {
            operations: u64::from(scheduled.message_count()),
            unreadable: u64::from(parked.message_count()),
            ..Waiting::default()
        })
    }
}

#[async_trait]
impl Backlog for RabbitBacklog {
    async fn waiting(&self) -> Result<Waiting, StoreError> {
        self.count().await.map_err(StoreError::Unavailable)
    }
}
