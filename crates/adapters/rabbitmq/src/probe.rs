//! Readiness of the broker: publishing connection and schedule queue.

use async_trait::async_trait;
use bakehouse_engine::ports::Probe;

use crate::publisher::Publisher;

pub(crate) struct RabbitProbe(pub(crate) Publisher);

#[async_trait]
impl Probe for RabbitProbe {
    fn name(&self) -> &str {
        "broker"
    }

    async fn check(&self) -> Result<(), String> {
        self.0.check()
    }
}
