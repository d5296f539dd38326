//! api-server's end of the schedule queue.

use async_trait::async_trait;
use bakehouse_engine::Operation;
use bakehouse_engine::ports::{ScheduleError, Scheduler};

use crate::publisher::{Message, Publisher};

pub(crate) struct RabbitScheduler {
    pub(crate) publisher: Publisher,
}

#[async_trait]
impl Scheduler for RabbitScheduler {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        let payload = serde_json::to_vec(operation)
            .map_err(|error| ScheduleError::Unconfirmed(error.to_string()))?;
        let published = self.publisher.publish_durably(Message::operation(payload));
        published.await.map_err(ScheduleError::Unconfirmed)
    }
}
