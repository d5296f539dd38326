//! Rules for notices between the stages. A rule takes the adapter, which sends and delivers them.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::{Notice, NoticeStream, Notices, Topic};
use bakehouse_engine::{Frame, Json, Position, to_json};

/// Adapter under test.
pub type Sender = Arc<dyn Notices>;

/// Generates the suite's tests: `notices_suite!(name, async { notices })`.
#[macro_export]
macro_rules! notices_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            notices,
            $make,
            [
                notices_reach_every_subscriber_of_their_topic_and_no_other,
                content_arrives_complete,
                notices_of_one_sender_come_in_order,
                a_slow_subscriber_is_told_to_poll_and_receives_later_notices,
                a_cancelled_wait_loses_no_notice,
                publishing_needs_no_subscriber,
            ]
        );
    };
}

/// Maximum time until a notice arrives, including the connection to a server.
const ARRIVAL_TIMEOUT: Duration = Duration::from_secs(30);

fn body(size: usize) -> Json {
    to_json(&"x".repeat(size)).unwrap()
}

fn frame(position: Position, body: &Json) -> Frame {
    Frame {
        position,
        kind: "counter.raised".into(),
        entity_id: "a".into(),
        owner: Some("ada".into()),
        group: Some("even".into()),
        left_group: None,
        body: body.clone(),
    }
}

/// Returns a notice of the topic that ends at this position.
fn notice(topic: Topic, position: Position) -> Notice {
    let change = ("counter.raised".to_owned(), format!("c-{position}"));
    match topic {
        Topic::Stored => Notice::Stored { head: position },
        Topic::Executed => Notice::Executed {
            from: position.saturating_sub(1),
            to: position,
            changes: vec![change],
        },
        Topic::Baked => Notice::Baked {
            from: position.saturating_sub(1),
            frames: vec![frame(position, &body(5))],
        },
    }
}

/// Returns the last position of a notice.
fn end(notice: &Notice) -> Position {
    match notice {
        Notice::Stored { head } => *head,
        Notice::Executed { to, .. } => *to,
        Notice::Baked { frames, .. } => frames.last().unwrap().position,
    }
}

/// Returns the next notice, except those of [`subscribed`] at position 0. Skips `None`, which only
/// says that some may have been missed.
async fn next(stream: &mut dyn NoticeStream) -> Notice {
    let found = async {
        loop {
            match stream.next().await {
                Some(notice) if end(&notice) > 0 => return notice,
                _ => {}
            }
        }
    };
    tokio::time::timeout(ARRIVAL_TIMEOUT, found)
        .await
        .expect("a notice")
}

/// Returns a subscriber that receives notices already; some adapters connect with a delay.
async fn subscribed(notices: &dyn Notices, topic: Topic) -> Box<dyn NoticeStream> {
    let mut stream = notices.subscribe(topic).await;
    let reached = async {
        loop {
            notices.publish(notice(topic, 0)).await;
            let wait = Duration::from_millis(100);
            if let Ok(Some(_)) = tokio::time::timeout(wait, stream.next()).await {
                return;
            }
        }
    };
    tokio::time::timeout(ARRIVAL_TIMEOUT, reached)
        .await
        .expect("connected");
    stream
}

const TOPICS: [Topic; 3] = [Topic::Stored, Topic::Executed, Topic::Baked];

/// Every subscriber of a topic receives all of its notices.
pub async fn notices_reach_every_subscriber_of_their_topic_and_no_other(notices: Sender) {
    let mut streams = Vec::new();
    for topic in TOPICS.into_iter().chain(TOPICS) {
        streams.push((topic, subscribed(notices.as_ref(), topic).await));
    }
    for (position, topic) in (1..).zip(TOPICS) {
        notices.publish(notice(topic, position)).await;
    }
    for topic in TOPICS {
        notices.publish(notice(topic, 9)).await;
    }
    for (topic, stream) in &mut streams {
        let first = next(stream.as_mut()).await;
        assert_eq!(first.topic(), *topic);
        assert_eq!(end(&first), 1 + *topic as Position);
        assert_eq!(end(&next(stream.as_mut()).await), 9);
    }
}

/// Large content arrives in several notices, each starting where the previous one ends.
pub async fn content_arrives_complete(notices: Sender) {
    let mut executed = subscribed(notices.as_ref(), Topic::Executed).await;
    let mut baked = subscribed(notices.as_ref(), Topic::Baked).await;
    let changed = |kind: &str, id: &str| (format!("counter.{kind}"), id.to_owned());
    let changes = vec![changed("raised", "a"), changed("raised", "b")];
    let sent = Notice::Executed {
        from: 6,
        to: 8,
        changes: changes.clone(),
    };
    notices.publish(sent).await;
    let received = next(executed.as_mut()).await;
    let Notice::Executed {
        from: 6,
        to: 8,
        changes: received,
    } = received
    else {
        panic!("another notice: {received:?}");
    };
    assert_eq!(received, changes);
    let body = body(600_000);
    let frames: Vec<Frame> = (5..=7).map(|position| frame(position, &body)).collect();
    notices.publish(Notice::Baked { from: 4, frames }).await;
    let mut at = 4;
    while at < 7 {
        let Notice::Baked { from, frames } = next(baked.as_mut()).await else {
            panic!("another notice");
        };
        assert_eq!(from, at);
        for received in frames {
            at += 1;
            let sent = frame(at, &body);
            assert!(format!("{received:?}") == format!("{sent:?}"), "at {at}");
        }
    }
}

/// Notices arrive in the order in which they were sent.
pub async fn notices_of_one_sender_come_in_order(notices: Sender) {
    let mut stream = subscribed(notices.as_ref(), Topic::Stored).await;
    for position in 1..=100 {
        notices.publish(notice(Topic::Stored, position)).await;
    }
    for position in 1..=100 {
        assert_eq!(end(&next(stream.as_mut()).await), position);
    }
}

/// A slow subscriber does not block the sender; it gets `None` and then later notices.
pub async fn a_slow_subscriber_is_told_to_poll_and_receives_later_notices(notices: Sender) {
    const MANY: Position = 5_000;
    let mut stream = subscribed(notices.as_ref(), Topic::Stored).await;
    let sending = async {
        for position in 1..=MANY {
            notices.publish(notice(Topic::Stored, position)).await;
        }
    };
    let sent = tokio::time::timeout(ARRIVAL_TIMEOUT, sending).await;
    assert!(sent.is_ok(), "the sender waits for a slow subscriber");
    let (mut received, mut has_missed, mut last) = (0, false, 0);
    let reading = async {
        // The last notice may be missed; those sent from now on are not.
        while last <= MANY {
            match tokio::time::timeout(Duration::from_millis(200), stream.next()).await {
                Ok(Some(notice)) => {
                    assert!(end(&notice) == 0 || end(&notice) > last || last > MANY);
                    last = end(&notice);
                    received += 1;
                }
                Ok(None) => has_missed = true,
                Err(_) => notices.publish(notice(Topic::Stored, MANY + 1)).await,
            }
        }
    };
    let read = tokio::time::timeout(ARRIVAL_TIMEOUT, reading).await;
    assert!(read.is_ok(), "{received} received, the last was {last}");
    assert!(
        has_missed || received >= MANY,
        "{received} received, and the loss of the rest not reported"
    );
}

/// Cancelling a wait, as `select!` does, loses no notice.
pub async fn a_cancelled_wait_loses_no_notice(notices: Sender) {
    let mut stream = subscribed(notices.as_ref(), Topic::Stored).await;
    for position in 1..=20 {
        let wait = Duration::from_millis(1);
        let early = tokio::time::timeout(wait, next(stream.as_mut())).await;
        assert!(early.is_err(), "{early:?}");
        notices.publish(notice(Topic::Stored, position)).await;
        assert_eq!(end(&next(stream.as_mut()).await), position);
    }
}

/// Notices without a subscriber are dropped; a later subscriber receives later ones.
pub async fn publishing_needs_no_subscriber(notices: Sender) {
    for topic in TOPICS {
        notices.publish(notice(topic, 1)).await;
        drop(notices.subscribe(topic).await);
        notices.publish(notice(topic, 2)).await;
    }
    let mut stream = subscribed(notices.as_ref(), Topic::Baked).await;
    notices.publish(notice(Topic::Baked, 3)).await;
    assert_eq!(end(&next(stream.as_mut()).await), 3);
}
