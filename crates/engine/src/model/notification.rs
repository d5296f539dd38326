//! A notification: somebody outside is to be told of one position of the log,
//! once. `requested → accepted → sent | failed`.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::model::ids;
use crate::{Frame, Json, Position, Timestamp, jitter};

/// How far a notification has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NotificationStatus {
    /// On record; nobody has tried to send it yet.
    Requested,
    /// Taken by a courier at least once; if the attempt failed, there will be another.
    Accepted,
    /// The other side has confirmed it.
    Sent,
    /// Given up, for the reason beside it.
    Failed,
    /// Never sent from here: it was pending in the copy that the store was restored from.
    #[serde(rename = "not-sent")]
    NotSent,
}

impl NotificationStatus {
    /// As stored: `requested`, `accepted`, `sent`, `failed`, `not-sent`.
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

    /// The status of its stored form; `None` for any other text.
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

/// What is to be sent where; the domain says so ([`NotificationRules`]).
#[derive(Clone, Debug)]
pub struct Request {
    /// Which courier takes it: those of one lane wait for one another, and for
    /// nobody else. Unique for each place that things are sent to: a mail
    /// server, a gateway, a webhook's endpoint.
    pub lane: String,
    /// What kind of way that is: `email`, `sms`, `webhook`.
    pub channel: &'static str,
    /// To whom, as it may be shown: an address or a number; of a webhook only
    /// its host, since URLs hold secrets.
    pub to: String,
    /// What, in the channel's own form.
    pub message: Json,
}

/// Whom to tell of a frame.
#[derive(Clone, Debug)]
pub struct Announcement {
    /// When it happened.
    pub at: Timestamp,
    /// To be sent for it; none where nobody is to be told.
    pub requests: Vec<Request>,
}

/// Says whom to tell what. Pure: the same frame gives the same requests.
pub trait NotificationRules: Send + Sync {
    /// Whom to tell of this frame.
    ///
    /// # Errors
    /// When the frame is not one of the domain's.
    fn announce(&self, frame: &Frame) -> Result<Announcement, serde_json::Error>;
}

/// A notification on record.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The same for the same position, lane and recipient, for ever: how one
    /// event leads to one notification however often the log is replayed, and
    /// how a receiver knows one that reaches it twice.
    pub id: Uuid,
    /// Of which event.
    pub position: Position,
    /// `order.created`, …
    pub kind: String,
    /// Whom the event concerns.
    pub entity_id: String,
    /// See [`Request::lane`].
    pub lane: String,
    /// See [`Request::channel`].
    pub channel: String,
    /// See [`Request::to`].
    pub to: String,
    /// See [`Request::message`].
    pub message: Json,
    /// How far it has come.
    pub status: NotificationStatus,
    /// How often it was tried, an attempt under way included.
    pub attempts: u32,
    /// When the event happened: the time to give up is counted from there.
    pub occurred_at: Timestamp,
    /// When it went on record.
    pub requested_at: Timestamp,
    /// When a courier took it for the first time.
    pub accepted_at: Option<Timestamp>,
    /// When it was sent, or given up.
    pub ended_at: Option<Timestamp>,
    /// When it is tried (again) at the earliest; `None`: never.
    pub due_at: Option<Timestamp>,
    /// Why the latest attempt failed.
    pub reason: Option<String>,
}

impl Notification {
    /// A fresh one, due at once. Its identity is that of the `operation` that led to the frame,
    /// the lane and the recipient: the same even if a store was restored and follows once more.
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

    /// Marks it as not to be sent from here.
    #[must_use]
    pub fn withheld(self, reason: String, now: Timestamp) -> Self {
        Self {
            status: NotificationStatus::NotSent,
            ..self.abandoned(reason, now)
        }
    }

    /// The same, given up before it was tried.
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

/// What became of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// Confirmed by the other side.
    Sent {
        /// When.
        at: Timestamp,
    },
    /// To be tried again.
    Postponed {
        /// When, at the earliest.
        due_at: Timestamp,
        /// Why it failed this time.
        reason: String,
    },
    /// Not to be tried again.
    Failed {
        /// When.
        at: Timestamp,
        /// Why.
        reason: String,
    },
}

/// How often, and how long, something is tried.
#[derive(Clone, Debug)]
pub struct Patience {
    /// Before the second attempt; every later wait is three times as long.
    pub first_wait: Duration,
    /// But not longer than this.
    pub longest_wait: Duration,
    /// Counted from the event. Whoever hears of it later than that would rather not.
    pub give_up_after: Duration,
}

impl Patience {
    /// Whether an event of that time is too old to be told of.
    #[must_use]
    pub fn is_over(&self, occurred_at: Timestamp, now: Timestamp) -> bool {
        occurred_at.after(self.give_up_after) <= now
    }

    /// When to try again after `attempts` of them; `None`: not any more. `wish`
    /// is how long the other side asked us to wait. Up to a quarter is added at
    /// random, so that those that failed together do not come back together.
    #[must_use]
    pub fn next(
        &self,
        notification: &Notification,
        wish: Option<Duration>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let exponent = notification.attempts.saturating_sub(1).min(20);
        let wait = self
            .first_wait
            .saturating_mul(3_u32.saturating_pow(exponent));
        let wait = wait.min(self.longest_wait).max(wish.unwrap_or_default());
        let due = now.after(wait.mul_f64(jitter::between(1.0, 1.25)));
        (!self.is_over(notification.occurred_at, due)).then_some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::to_json;

    const PATIENCE: Patience = Patience {
        first_wait: Duration::from_secs(5),
        longest_wait: Duration::from_secs(60),
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
    fn waits_grow_up_to_the_longest_until_it_is_too_late() {
        let wait = |attempts, wish, now| {
            let notification = Notification {
                attempts,
                ..notification(1, "email", "ada")
            };
            let next = PATIENCE.next(&notification, wish, time(now))?;
            Some((next.millis() - time(now).millis()) as f64 / 1_000.0)
        };
        for (attempts, expected) in [(1, 5.0), (2, 15.0), (3, 45.0), (4, 60.0), (99, 60.0)] {
            let waited = wait(attempts, None, 0).expect("there is time");
            assert!((expected..=expected * 1.25).contains(&waited), "{waited}");
        }
        let wished = wait(1, Some(Duration::from_secs(100)), 0).expect("there is time");
        assert!(wished >= 100.0, "{wished}");
        assert_eq!(wait(1, None, 599), None);
        assert!(PATIENCE.is_over(time(0), time(600)) && !PATIENCE.is_over(time(0), time(599)));
    }
}
