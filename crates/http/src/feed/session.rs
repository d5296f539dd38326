//! A subscriber's way along the feed, whatever carries it: who sees what, and
//! what is said beside the frames.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::Position;
use bakehouse_engine::feed::{Feed, Shared, Step, Subscription};

use super::messages::{self, CloseReason};
use super::subscribe_request::{Filter, Included, SubscribeRequest};
use crate::auth::Principal;

/// What is to be sent.
pub(super) enum Piece {
    /// A frame of the log, the same for all who get it.
    Frame(Arc<Shared>),
    /// Something said to this subscriber, with the position that it has then.
    Own(String, Option<Position>),
}

/// A subscriber that has been welcomed.
pub(super) struct FeedSession {
    principal: Principal,
    filter: Filter,
    subscription: Subscription,
    /// The last position that has been sent, or that the subscriber does not want.
    done: Position,
    /// The last position that the subscriber has been told of.
    told: Position,
    /// That of the last frame of the log that has been sent on this connection; 0: none.
    sent: Position,
}

impl FeedSession {
    /// Begins to follow; the piece is the welcome.
    ///
    /// # Errors
    /// When the position means nothing here, or the feed is not there yet.
    pub(super) async fn begin(
        feed: &Arc<Feed>,
        principal: Principal,
        request: SubscribeRequest,
        heartbeat: Duration,
    ) -> Result<(Self, Piece), CloseReason> {
        let subscription = feed.join(request.since, request.epoch.as_deref()).await?;
        let epoch = feed.epoch().unwrap_or_default();
        let welcome = messages::welcome(epoch, feed.head_position(), heartbeat.as_secs());
        let cursor = subscription.cursor();
        let follower = Self {
            principal,
            filter: request.filter,
            subscription,
            done: cursor,
            told: cursor,
            sent: 0,
        };
        Ok((follower, Piece::Own(welcome, None)))
    }

    /// Everything up to here has been sent, or is not wanted.
    pub(super) fn done(&self) -> Position {
        self.done
    }

    /// The last frame of the log that this connection has had is of this position; 0: it
    /// has had none.
    pub(super) fn sent(&self) -> Position {
        self.sent
    }

    /// The same connection goes on, with other wishes.
    pub(super) fn after(self, sent: Position) -> Self {
        Self { sent, ..self }
    }

    /// Waits for what comes next; it may be nothing that this subscriber wants.
    /// Dropping the future loses nothing.
    ///
    /// # Errors
    /// When it cannot go on.
    pub(super) async fn next(&mut self) -> Result<Vec<Piece>, CloseReason> {
        match self.subscription.next().await? {
            Step::Live(position) => Ok(vec![Piece::Own(messages::live(position), Some(position))]),
            Step::Frames(frames) => {
                self.done = frames.last().map_or(self.done, |frame| frame.position);
                let mut pieces = Vec::new();
                for frame in frames {
                    if !self.principal.can_view(frame.owner.as_deref()) {
                        continue;
                    }
                    let position = frame.position;
                    pieces.push(match self.filter.includes(&frame) {
                        Included::No => continue,
                        Included::Yes => Piece::Frame(frame),
                        Included::Left => {
                            Piece::Own(messages::left(frame.body.get()), Some(position))
                        }
                    });
                    self.told = position;
                    self.sent = position;
                }
                Ok(pieces)
            }
        }
    }

    /// What every heartbeat says: where a subscriber is whose filter has passed
    /// nothing, and that the connection is alive.
    pub(super) fn beat(&mut self) -> Vec<Piece> {
        let mut pieces = Vec::new();
        if self.told < self.done {
            self.told = self.done;
            let text = messages::position(self.told);
            pieces.push(Piece::Own(text, Some(self.told)));
        }
        pieces.push(Piece::Own(messages::ping(), None));
        pieces
    }
}
