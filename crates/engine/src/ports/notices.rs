//! Notices between the stages. They only wake: the truth is in the stores, so
//! losing one costs latency and nothing else.

use async_trait::async_trait;

use crate::{Frame, Position};

/// Who should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// From events-writer to orders-manager.
    Stored,
    /// From orders-manager to data-baker.
    Executed,
    /// From data-baker to every api-server.
    Baked,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Notice {
    /// The log has grown up to this position.
    Stored {
        /// The last position stored.
        head: Position,
    },
    /// The log has been executed up to `to`.
    Executed {
        /// The last position executed before.
        from: Position,
        /// The last position executed now.
        to: Position,
        /// What changed in between: kind (`order.created`) and entity id.
        changes: Vec<(String, String)>,
    },
    /// The log has been baked up to `to`.
    Baked {
        /// The last position baked before.
        from: Position,
        /// Every frame in between, in order.
        frames: Vec<Frame>,
    },
}

impl Notice {
    /// Who should look.
    #[must_use]
    pub fn topic(&self) -> Topic {
        match self {
            Self::Stored { .. } => Topic::Stored,
            Self::Executed { .. } => Topic::Executed,
            Self::Baked { .. } => Topic::Baked,
        }
    }
}

/// Sends and receives notices.
#[async_trait]
pub trait Notices: Send + Sync {
    /// Sends it to everybody who is subscribed, if that can be done now. Says
    /// nothing of failure because nobody could do anything about it: the
    /// receivers look on a timer as well.
    async fn publish(&self, notice: Notice);

    /// Starts receiving. Always succeeds: a stream whose server is away connects later.
    async fn subscribe(&self, topic: Topic) -> Box<dyn NoticeStream>;
}

/// Receives notices.
#[async_trait]
pub trait NoticeStream: Send {
    /// Waits for the next one. `None`: some may have been missed, look in the
    /// stores. Dropping the future loses nothing. Never ends; after the sender
    /// is gone for good it waits for ever.
    async fn next(&mut self) -> Option<Notice>;
}
