//! Notices between the stages. A notice only wakes its receivers, which read the stores. A lost
//! notice costs latency and nothing else.

use async_trait::async_trait;

use crate::{Frame, Position};

/// Topic of a notice: its sender and receivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// From events-writer to orders-manager.
    Stored,
    /// From orders-manager to data-baker.
    Executed,
    /// From data-baker to every api-server.
    Baked,
}

/// A notice of new data.
#[derive(Clone, Debug)]
pub enum Notice {
    /// Operations have been stored in the log.
    Stored {
        /// Last position of the log.
        head: Position,
    },
    /// Log entries have been executed.
    Executed {
        /// Checkpoint before the batch.
        from: Position,
        /// Checkpoint after the batch.
        to: Position,
        /// Changes in between: type (`order.created`) and entity id.
        changes: Vec<(String, String)>,
    },
    /// Log entries have been baked.
    Baked {
        /// Checkpoint before the batch.
        from: Position,
        /// All frames of the batch, in order.
        frames: Vec<Frame>,
    },
}

impl Notice {
    /// Returns the topic of the notice.
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Self::Stored { .. } => Topic::Stored,
            Self::Executed { .. } => Topic::Executed,
            Self::Baked { .. } => Topic::Baked,
        }
    }
}

/// Publishes and receives notices.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Sends a notice to all subscribers, if possible now. Reports no failure, because receivers
    /// also poll.
    async fn publish(&self, notice: Notice);

    /// Subscribes to a topic. Always succeeds: if the server is unavailable, the stream connects
    /// later.
    async fn subscribe(&self, topic: Topic) -> Box<dyn NoticeStream>;
}

/// Stream of notices.
#[async_trait]
pub trait NoticeStream: Send {
    /// Waits for the next notice. `None` means that notices may have been lost and the receiver
    /// must read the stores. Cancel-safe. The stream never ends: without a sender it waits
    /// indefinitely.
    async fn next(&mut self) -> Option<Notice>;
}
