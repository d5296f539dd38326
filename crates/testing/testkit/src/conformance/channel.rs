//! Rules for notification channels. A rule takes a channel and its receiver.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::model::notification::Request;
use bakehouse_engine::ports::{Channel, SendError};
use bakehouse_engine::{Frame, Json, Notification, Timestamp, to_json};
use uuid::Uuid;

/// Answer of the receiver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Accepts the message.
    Accept,
    /// Refuses the message permanently.
    Refuse,
    /// Refuses the message temporarily.
    Postpone,
    /// Never answers.
    Silence,
    /// Closes the connection in the middle.
    Disconnect,
}

/// Receiver at the other end of a channel.
pub trait Receiver: Send + Sync {
    /// Sets the answer to all following messages.
    fn answer(&self, answer: Answer);

    /// Returns all messages that it accepted, as text.
    fn received(&self) -> Vec<String>;
}

/// Channel under test, with its receiver.
pub struct ChannelSetup {
    /// Channel with a timeout of a few seconds.
    pub channel: Arc<dyn Channel>,
    /// Receiver at the other end.
    pub receiver: Arc<dyn Receiver>,
    /// Address that the receiver accepts.
    pub to: &'static str,
    /// Message in the channel's form.
    pub message: Json,
    /// Part of the message that arrives unchanged.
    pub part: &'static str,
    /// Text that no error may contain.
    pub secret: &'static str,
}

/// Generates the suite's tests: `channel_suite!(name, async { ChannelSetup { … } })`.
#[macro_export]
macro_rules! channel_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            channel,
            $make,
            [
                an_accepted_message_has_arrived,
                a_permanent_refusal_is_reported_as_refused,
                a_temporary_refusal_is_reported_as_unavailable,
                a_missing_answer_is_reported_as_unavailable,
                a_repeated_message_is_recognised_by_its_id,
            ]
        );
    };
}

impl ChannelSetup {
    fn notification(&self, number: u128) -> Notification {
        let frame = Frame {
            position: 7,
            kind: "counter.raised".into(),
            entity_id: "a".into(),
            owner: None,
            group: None,
            left_group: None,
            body: to_json(&()).unwrap(),
        };
        let request = Request {
            lane: self.channel.name().into(),
            channel: "any",
            to: self.to.into(),
            message: self.message.clone(),
        };
        let time = Timestamp::from_millis(1_700_000_000_000).unwrap();
        Notification::requested(Uuid::from_u128(number), &frame, time, request, time)
    }

    async fn send(&self, number: u128, answer: Answer) -> Result<(), SendError> {
        self.receiver.answer(answer);
        let notification = self.notification(number);
        let sent = self.channel.send(&notification);
        let sent = tokio::time::timeout(Duration::from_secs(30), sent).await;
        let sent = sent.expect("the channel times out");
        if let Err(error) = &sent {
            assert!(!error.to_string().contains(self.secret), "{error}");
            assert!(!error.to_string().is_empty());
        }
        sent
    }
}

/// An accepted message arrives complete and once.
pub async fn an_accepted_message_has_arrived(setup: ChannelSetup) {
    assert_eq!(setup.send(1, Answer::Accept).await, Ok(()));
    let received = setup.receiver.received();
    assert_eq!(received.len(), 1);
    assert!(received[0].contains(setup.part), "{}", received[0]);
}

/// A permanent refusal is reported as `Refused`; later messages are not affected.
pub async fn a_permanent_refusal_is_reported_as_refused(setup: ChannelSetup) {
    let refused = setup.send(1, Answer::Refuse).await;
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    assert!(setup.receiver.received().is_empty());
    assert_eq!(setup.send(2, Answer::Accept).await, Ok(()));
}

fn is_unavailable(sent: &Result<(), SendError>) -> bool {
    matches!(sent, Err(SendError::Unavailable { .. }))
}

/// A temporary refusal is reported as `Unavailable`; a later attempt succeeds.
pub async fn a_temporary_refusal_is_reported_as_unavailable(setup: ChannelSetup) {
    let later = setup.send(1, Answer::Postpone).await;
    assert!(is_unavailable(&later), "{later:?}");
    assert!(setup.receiver.received().is_empty());
    assert_eq!(setup.send(1, Answer::Accept).await, Ok(()));
    assert_eq!(setup.receiver.received().len(), 1);
}

/// A missing answer is reported as `Unavailable` after a bounded time.
pub async fn a_missing_answer_is_reported_as_unavailable(setup: ChannelSetup) {
    for answer in [Answer::Silence, Answer::Disconnect] {
        let none = setup.send(1, answer).await;
        assert!(is_unavailable(&none), "{answer:?}: {none:?}");
    }
    assert_eq!(setup.send(1, Answer::Accept).await, Ok(()));
}

/// A repeated message carries the same id, since an answer may have been lost.
pub async fn a_repeated_message_is_recognised_by_its_id(setup: ChannelSetup) {
    for number in [1, 1, 2] {
        assert_eq!(setup.send(number, Answer::Accept).await, Ok(()));
    }
    let received = setup.receiver.received();
    let counted = |number| {
        let id = setup.notification(number).id;
        let forms = [id.to_string(), id.simple().to_string()];
        let has = |text: &&String| forms.iter().any(|form| text.contains(form));
        received.iter().filter(has).count()
    };
    assert_eq!((counted(1), counted(2)), (2, 1), "{received:?}");
}
