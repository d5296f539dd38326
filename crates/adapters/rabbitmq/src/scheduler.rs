//! api-server's end of the schedule queue.

use async_trait::async_trait;
use bakehouse_pipeline::Operation;
use bakehouse_pipeline::ports::{ScheduleError, Scheduler};

use crate::publisher::{Message, Publisher};
use crate::topology::SCHEDULE;

pub(crate) struct RabbitScheduler {
    pub(crate) publisher: Publisher,
    pub(crate) exchange: String,
}

#[async_trait]
impl Scheduler for RabbitScheduler {
    async fn schedule(&self, operation: &Operation) -> Result<(), ScheduleError> {
        let payload = serde_json::to_vec(operation)
            .map_err(|error| ScheduleError::Unconfirmed(error.to_string()))?;
        let message = Message::json(self.exchange.clone(), SCHEDULE.to_owned(), payload);
        let published = self.publisher.publish_durably(message);
        published.await.map_err(ScheduleError::Unconfirmed)
    }
}
