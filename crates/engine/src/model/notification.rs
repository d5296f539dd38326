//! Notifications: messages to external recipients about one position of the log, each sent once.
//! `requested → accepted → sent | failed`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::ids;
use crate::{Frame, Json, Position, Timestamp, jitter};

/// Status of a notification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotificationStatus {
    /// Recorded, without an attempt to send it.
    Requested,
    /// Claimed by a delivery worker at least once. A failed attempt will be repeated.
    Accepted,
    /// Confirmed by the receiver.
    Sent,
    /// Failed permanently, for the recorded reason.
    Failed,
    /// Not sent: it was pending in the backup that the store was restored from.
    #[serde(rename = "not-sent")]
    NotSent,
}

impl NotificationStatus {
    /// Returns the stored form: `requested`, `accepted`, `sent`, `failed` or `not-sent`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Accepted => "accepted",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::NotSent => "not-sent",
        }
    }

    /// Reads the stored form. Returns `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let all = [
            Self::Requested,
            Self::Accepted,
            Self::Sent,
            Self::Failed,
            Self::NotSent,
        ];
        all.into_iter().find(|status| status.as_str() == text)
    }
}

/// A message to send, as requested by the domain's [`NotificationRules`].
#[derive(Clone, Debug)]
pub struct Request {
    /// Name of the channel whose delivery worker sends it. Each receiver has a channel of its own:
    /// a mail server, a gateway, a webhook endpoint.
    pub lane: String,
    /// Kind of the channel: `email`, `sms`, `webhook`.
    pub channel: &'static str,
    /// Recipient as it may be shown: an address or a phone number. For a webhook only the host,
    /// because URLs may contain secrets.
    pub to: String,
    /// Message in the form of the channel.
    pub message: Json,
}

/// Notifications of one frame.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// Time of the event.
    pub at: Timestamp,
    /// Messages to send; may be empty.
    pub requests: Vec<Request>,
}

/// Rules of a domain: which messages to send for a frame. Pure: the same frame gives the same
/// requests.
pub trait NotificationRules: Send + Sync {
    /// Returns the messages to send for a frame.
    ///
    /// # Errors
    /// When the frame is not a frame of the domain.
    fn announce(&self, frame: &Frame) -> Result<Announcement, serde_json::Error>;
}

/// A recorded notification.
#[derive(Clone, Debug)]
pub struct Notification {
    /// Identity, derived from operation, channel and recipient. A repeated frame therefore leads to
    /// the same notification, and receivers can detect duplicates.
    pub id: Uuid,
    /// Position of the event.
    pub position: Position,
    /// Type of the frame: `order.created`, …
    pub kind: String,
    /// Id of the entity.
    pub entity_id: String,
    /// See [`Request::lane`].
    pub lane: String,
    /// See [`Request::channel`].
    pub channel: String,
    /// See [`Request::to`].
    pub to: String,
    /// See [`Request::message`].
    pub message: Json,
    /// Status.
    pub status: NotificationStatus,
    /// Number of attempts, including a running one.
    pub attempts: u32,
    /// Time of the event, from which the age limit counts.
    pub occurred_at: Timestamp,
    /// Time at which it was recorded.
    pub requested_at: Timestamp,
    /// Time of the first claim by a delivery worker.
    pub accepted_at: Option<Timestamp>,
    /// Time at which it was sent or failed permanently.
    pub ended_at: Option<Timestamp>,
    /// Earliest time of the next attempt; `None`: no further attempt.
    pub due_at: Option<Timestamp>,
    /// Reason of the latest failure.
    pub reason: Option<String>,
}

impl Notification {
    /// Creates a notification that is due immediately. Its id is derived from the `operation` of
    /// the frame, the channel and the recipient, so it stays the same after a restore.
    #[must_use]
    pub fn requested(
        operation: Uuid,
        frame: &Frame,
        occurred_at: Timestamp,
        request: Request,
        now: Timestamp,
    ) -> Self {
        let operation = operation.to_string();
        let parts = ["notification", &operation, &request.lane, &request.to];
        Self {
            id: ids::derived(&parts),
            position: frame.position,
            kind: frame.kind.clone(),
            entity_id: frame.entity_id.clone(),
            lane: request.lane,
            channel: request.channel.to_owned(),
            to: request.to,
            message: request.message,
            status: NotificationStatus::Requested,
            attempts: 0,
            occurred_at,
            requested_at: now,
            accepted_at: None,
            ended_at: None,
            due_at: Some(now),
            reason: None,
        }
    }

    /// Marks the notification as not sent.
    #[must_use]
    pub fn withheld(self, reason: String, now: Timestamp) -> Self {
        Self {
            status: NotificationStatus::NotSent,
            ..self.abandoned(reason, now)
        }
    }

    /// Marks the notification as failed without an attempt.
    #[must_use]
    pub fn abandoned(self, reason: String, now: Timestamp) -> Self {
        Self {
            status: NotificationStatus::Failed,
            ended_at: Some(now),
            due_at: None,
            reason: Some(reason),
            ..self
        }
    }
}

/// Result of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Confirmed by the receiver.
    Sent {
        /// Time of the result.
        at: Timestamp,
    },
    /// Failed; another attempt follows.
    Postponed {
        /// Earliest time of the next attempt.
        due_at: Timestamp,
        /// Reason of this failure.
        reason: String,
    },
    /// Failed permanently.
    Failed {
        /// Time of the result.
        at: Timestamp,
        /// Reason of the failure.
        reason: String,
    },
}

/// Retry policy of deliveries.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Delay before the second attempt. Every further delay is three times as long.
    pub initial_backoff: Duration,
    /// Maximum delay.
    pub max_backoff: Duration,
    /// Maximum age of the event. Older notifications are not sent.
    pub give_up_after: Duration,
}

impl RetryPolicy {
    /// Checks whether an event is too old to be notified of.
    #[must_use]
    pub fn is_over(&self, occurred_at: Timestamp, now: Timestamp) -> bool {
        occurred_at.after(self.give_up_after) <= now
    }

    /// Returns the time of the next attempt; `None`: no further attempt. `retry_after` is the
    /// minimum delay that the receiver requested. Adds up to a quarter of the delay at random, so
    /// that notifications that failed together are not repeated together.
    #[must_use]
    pub fn next(
        &self,
        notification: &Notification,
        retry_after: Option<Duration>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let exponent = notification.attempts.saturating_sub(1).min(20);
        let delay = self
            .initial_backoff
            .saturating_mul(3_u32.saturating_pow(exponent));
        let delay = delay
            .min(self.max_backoff)
            .max(retry_after.unwrap_or_default());
        let due = now.after(delay.mul_f64(jitter::between(1.0, 1.25)));
        (!self.is_over(notification.occurred_at, due)).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_json;

    const RETRY_POLICY: RetryPolicy = RetryPolicy {
        initial_backoff: Duration::from_secs(5),
        max_backoff: Duration::from_secs(60),
        give_up_after: Duration::from_secs(600),
    };

    fn time(seconds: i64) -> Timestamp {
        Timestamp::from_millis(1_700_000_000_000 + seconds * 1_000).expect("in range")
    }

    fn notification(operation: u128, lane: &str, to: &str) -> Notification {
        let frame = Frame {
            position: 1,
            kind: "order.created".into(),
            entity_id: "e".into(),
            owner: None,
            group: None,
            left_group: None,
            body: to_json(&()).expect("JSON"),
        };
        let request = Request {
            lane: lane.into(),
            channel: "email",
            to: to.into(),
            message: to_json(&()).expect("JSON"),
        };
        Notification::requested(
            Uuid::from_u128(operation),
            &frame,
            time(0),
            request,
            time(1),
        )
    }

    #[test]
    fn an_id_is_stable_and_one_for_each_event_lane_and_recipient() {
        let id = notification(1, "email", "ada").id;
        assert_eq!(id, notification(1, "email", "ada").id);
        for other in [
            notification(2, "email", "ada"),
            notification(1, "sms", "ada"),
            notification(1, "email", "bob"),
        ] {
            assert_ne!(id, other.id);
        }
    }

    #[test]
    fn delays_grow_up_to_the_maximum_until_the_event_is_too_old() {
        let delay = |attempts, retry_after, now| {
            let notification = Notification {
                attempts,
                ..notification(1, "email", "ada")
            };
            let next = RETRY_POLICY.next(&notification, retry_after, time(now))?;
            Some((next.millis() - time(now).millis()) as f64 / 1_000.0)
        };
        for (attempts, expected) in [(1, 5.0), (2, 15.0), (3, 45.0), (4, 60.0), (99, 60.0)] {
            let found = delay(attempts, None, 0).expect("another attempt");
            assert!((expected..=expected * 1.25).contains(&found), "{found}");
        }
        let found = delay(1, Some(Duration::from_secs(100)), 0).expect("another attempt");
        assert!(found >= 100.0, "{found}");
        assert_eq!(delay(1, None, 599), None);
        assert!(RETRY_POLICY.is_over(time(0), time(600)));
        assert!(!RETRY_POLICY.is_over(time(0), time(599)));
    }
}
