//! Notices between stages of one process.

use async_trait::async_trait;
use bakehouse_engine::ports::{Notice, NoticeStream, Notices, Topic};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;

/// Number of notices that a topic buffers for slow subscribers; one that misses a notice gets
/// `None` and reads the store.
const CAPACITY: usize = 256;

/// Notices between stages of one process.
pub struct InProcessNotices {
    stored: broadcast::Sender<Notice>,
    executed: broadcast::Sender<Notice>,
    baked: broadcast::Sender<Notice>,
}

impl Default for InProcessNotices {
    fn default() -> Self {
        Self {
            stored: broadcast::Sender::new(CAPACITY),
            executed: broadcast::Sender::new(CAPACITY),
            baked: broadcast::Sender::new(CAPACITY),
        }
    }
}

impl InProcessNotices {
    fn sender(&self, topic: Topic) -> &broadcast::Sender<Notice> {
        match topic {
            Topic::Stored => &self.stored,
            Topic::Executed => &self.executed,
            Topic::Baked => &self.baked,
        }
    }
}

#[async_trait]
impl Notices for InProcessNotices {
    async fn publish(&self, notice: Notice) {
        // An error means that the topic has no subscribers.
        let _ = self.sender(notice.topic()).send(notice);
    }

    async fn subscribe(&self, topic: Topic) -> Box<dyn NoticeStream> {
        Box::new(Stream(self.sender(topic).subscribe()))
    }
}

struct Stream(broadcast::Receiver<Notice>);

#[async_trait]
impl NoticeStream for Stream {
    async fn next(&mut self) -> Option<Notice> {
        match self.0.recv().await {
            Ok(notice) => Some(notice),
            Err(RecvError::Lagged(_)) => None,
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}
