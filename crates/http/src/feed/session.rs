//! One subscription to the feed, independent of its transport: visibility, filter, and control
//! frames.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::Position;
use bakehouse_engine::feed::{Feed, FeedItem, SharedFrame, Subscription};

use super::messages::{self, CloseReason};
use super::subscribe_request::{Filter, Included, SubscribeRequest};
use crate::auth::Principal;

/// Message to be sent to a subscriber.
pub(super) enum FeedMessage {
    /// Frame of the log, shared by all subscribers that receive it.
    Frame(Arc<SharedFrame>),
    /// JSON text for this subscriber only, with the position that it reaches by it, if any.
    Text(String, Option<Position>),
}

/// Subscription whose `welcome` frame has been created.
pub(super) struct FeedSession {
    principal: Principal,
    filter: Filter,
    subscription: Subscription,
    /// Last position that has been sent or filtered out.
    processed: Position,
    /// Last position that the subscriber has been informed of.
    reported: Position,
    /// Position of the last frame of the log sent on this connection; 0 if none.
    last_sent: Position,
}

impl FeedSession {
    /// Starts a subscription, and returns it with its `welcome` frame.
    ///
    /// # Errors
    /// [`CloseReason`], when the position cannot be served, or the feed is not available yet.
    pub(super) async fn start(
        feed: &Arc<Feed>,
        principal: Principal,
        request: SubscribeRequest,
        heartbeat: Duration,
    ) -> Result<(Self, FeedMessage), CloseReason> {
        let subscription = feed.join(request.since, request.epoch.as_deref()).await?;
        let epoch = feed.epoch().unwrap_or_default();
        let welcome = messages::welcome(epoch, feed.head_position(), heartbeat.as_secs());
        let cursor = subscription.cursor();
        let session = Self {
            principal,
            filter: request.filter,
            subscription,
            processed: cursor,
            reported: cursor,
            last_sent: 0,
        };
        Ok((session, FeedMessage::Text(welcome, None)))
    }

    /// Last position that has been sent or filtered out.
    pub(super) fn processed(&self) -> Position {
        self.processed
    }

    /// Position of the last frame of the log sent on this connection; 0 if none.
    pub(super) fn last_sent(&self) -> Position {
        self.last_sent
    }

    /// Carries over the last sent position of the connection's previous session.
    pub(super) fn with_last_sent(self, last_sent: Position) -> Self {
        Self { last_sent, ..self }
    }

    /// Waits for the feed's next item and returns its messages, none if all of its frames are
    /// filtered out. Cancel-safe.
    ///
    /// # Errors
    /// [`CloseReason`], when the subscription cannot continue.
    pub(super) async fn next(&mut self) -> Result<Vec<FeedMessage>, CloseReason> {
        match self.subscription.next().await? {
            FeedItem::Live(position) => {
                let live = messages::live(position);
                Ok(vec![FeedMessage::Text(live, Some(position))])
            }
            FeedItem::Frames(frames) => {
                self.processed = frames.last().map_or(self.processed, |frame| frame.position);
                let mut batch = Vec::new();
                for frame in frames {
                    if !self.principal.can_view(frame.owner.as_deref()) {
                        continue;
                    }
                    let position = frame.position;
                    batch.push(match self.filter.includes(&frame) {
                        Included::No => continue,
                        Included::Yes => FeedMessage::Frame(frame),
                        Included::Left => {
                            let left = messages::left(frame.body.get());
                            FeedMessage::Text(left, Some(position))
                        }
                    });
                    self.reported = position;
                    self.last_sent = position;
                }
                Ok(batch)
            }
        }
    }

    /// Messages of a heartbeat: the processed position if it is ahead of the reported one, and a
    /// ping.
    pub(super) fn heartbeat(&mut self) -> Vec<FeedMessage> {
        let mut batch = Vec::new();
        if self.reported < self.processed {
            self.reported = self.processed;
            let text = messages::position(self.reported);
            batch.push(FeedMessage::Text(text, Some(self.reported)));
        }
        batch.push(FeedMessage::Text(messages::ping(), None));
        batch
    }
}
