//! Rules of channels to somebody outside. A rule takes one, and the other side of it.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::model::notification::Request;
use bakehouse_engine::ports::{Channel, SendError};
use bakehouse_engine::{Frame, Json, Notification, Timestamp, to_json};
use uuid::Uuid;

/// Answers of the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Takes the message.
    Taken,
    /// Refuses the message for good.
    Never,
    /// Asks for another attempt later.
    Later,
    /// Gives no answer at all.
    Silence,
    /// Ends the connection in the middle.
    End,
}

/// The other side.
pub trait OtherSide: Send + Sync {
    /// Answers like this from now on.
    fn answer(&self, answer: Answer);

    /// Everything that it was sent and has taken, as text, one text a message.
    fn received(&self) -> Vec<String>;
}

/// The channel under test.
pub struct Line {
    /// The channel; it waits no longer than a few seconds.
    pub channel: Arc<dyn Channel>,
    /// Receiver at its other end.
    pub other: Arc<dyn OtherSide>,
    /// An address that it takes.
    pub to: &'static str,
    /// A message of its form.
    pub message: Json,
    /// Part of the message that arrives as it is.
    pub part: &'static str,
    /// Text that no error may show.
    pub secret: &'static str,
}

/// Writes the suite's tests: `channel_suite!(name, async { Line { … } })`.
#[macro_export]
macro_rules! channel_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            channel,
            $make,
            [
                what_was_taken_has_arrived,
                what_will_never_be_taken_is_refused,
                what_may_be_taken_later_is_to_be_tried_again,
                whoever_gives_no_answer_is_to_be_tried_again,
                what_comes_twice_can_be_told_by_its_id,
            ]
        );
    };
}

impl Line {
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
        self.other.answer(answer);
        let notification = self.notification(number);
        let sent = self.channel.send(&notification);
        let sent = tokio::time::timeout(Duration::from_secs(30), sent).await;
        let sent = sent.expect("an end of waiting");
        if let Err(error) = &sent {
            assert!(!error.to_string().contains(self.secret), "{error}");
            assert!(!error.to_string().is_empty());
        }
        sent
    }
}

/// Whole, and once.
pub async fn what_was_taken_has_arrived(line: Line) {
    assert_eq!(line.send(1, Answer::Taken).await, Ok(()));
    let received = line.other.received();
    assert_eq!(received.len(), 1);
    assert!(received[0].contains(line.part), "{}", received[0]);
}

/// A final refusal is reported as such, so that nobody tries again.
pub async fn what_will_never_be_taken_is_refused(line: Line) {
    let refused = line.send(1, Answer::Never).await;
    assert!(matches!(refused, Err(SendError::Refused(_))), "{refused:?}");
    assert!(line.other.received().is_empty());
    // What comes after it is none the worse.
    assert_eq!(line.send(2, Answer::Taken).await, Ok(()));
}

fn is_unavailable(sent: &Result<(), SendError>) -> bool {
    matches!(sent, Err(SendError::Unavailable { .. }))
}

/// A later attempt is taken.
pub async fn what_may_be_taken_later_is_to_be_tried_again(line: Line) {
    let later = line.send(1, Answer::Later).await;
    assert!(is_unavailable(&later), "{later:?}");
    assert!(line.other.received().is_empty());
    assert_eq!(line.send(1, Answer::Taken).await, Ok(()));
    assert_eq!(line.other.received().len(), 1);
}

/// Silence ends in an error after a bounded time.
pub async fn whoever_gives_no_answer_is_to_be_tried_again(line: Line) {
    for answer in [Answer::Silence, Answer::End] {
        let none = line.send(1, answer).await;
        assert!(is_unavailable(&none), "{answer:?}: {none:?}");
    }
    assert_eq!(line.send(1, Answer::Taken).await, Ok(()));
}

/// An answer may have been lost.
pub async fn what_comes_twice_can_be_told_by_its_id(line: Line) {
    for number in [1, 1, 2] {
        assert_eq!(line.send(number, Answer::Taken).await, Ok(()));
    }
    let received = line.other.received();
    let counted = |number| {
        let id = line.notification(number).id;
        let forms = [id.to_string(), id.simple().to_string()];
        let has = |text: &&String| forms.iter().any(|form| text.contains(form));
        received.iter().filter(has).count()
    };
    assert_eq!((counted(1), counted(2)), (2, 1), "{received:?}");
}
