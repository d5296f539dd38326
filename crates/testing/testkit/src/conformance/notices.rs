//! Rules of notices between the stages. A rule takes their sender.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::ports::{Notice, NoticeStream, Notices, Topic};
use bakehouse_engine::{Frame, Json, Position, to_json};

/// The sender under test.
pub type Sender = Arc<dyn Notices>;

/// Writes the suite's tests: `notices_suite!(name, async { notices })`.
#[macro_export]
macro_rules! notices_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            notices,
            $make,
            [
                notices_reach_every_subscriber_of_their_topic_and_no_other,
                what_they_carry_arrives_whole,
                notices_of_one_sender_come_in_order,
                who_is_behind_is_told_to_look_and_hears_what_follows,
                a_wait_that_was_dropped_loses_nothing,
                nobody_need_listen,
            ]
        );
    };
}

/// However long a server takes to connect.
const IN_TIME: Duration = Duration::from_secs(30);

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

/// A notice of the topic that ends at this position.
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

/// Last position of a notice.
fn end(notice: &Notice) -> Position {
    match notice {
        Notice::Stored { head } => *head,
        Notice::Executed { to, .. } => *to,
        Notice::Baked { frames, .. } => frames.last().unwrap().position,
    }
}

/// The next notice that is one, and not of [`subscribed`]. `None` only says that some may
/// have been missed.
async fn next(stream: &mut dyn NoticeStream) -> Notice {
    let found = async {
        loop {
            match stream.next().await {
                Some(notice) if end(&notice) > 0 => return notice,
                _ => {}
            }
        }
    };
    tokio::time::timeout(IN_TIME, found)
        .await
        .expect("a notice")
}

/// A subscriber that is reached by what is sent: some connect later.
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
    tokio::time::timeout(IN_TIME, reached)
        .await
        .expect("connected");
    stream
}

const TOPICS: [Topic; 3] = [Topic::Stored, Topic::Executed, Topic::Baked];

/// Several subscribers of a topic get all of its notices each.
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

/// Large content comes in several notices, each of which begins where the one before it ends.
pub async fn what_they_carry_arrives_whole(notices: Sender) {
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
        for told in frames {
            at += 1;
            let sent = frame(at, &body);
            assert!(format!("{told:?}") == format!("{sent:?}"), "at {at}");
        }
    }
}

/// The order is that of sending.
pub async fn notices_of_one_sender_come_in_order(notices: Sender) {
    let mut stream = subscribed(notices.as_ref(), Topic::Stored).await;
    for position in 1..=100 {
        notices.publish(notice(Topic::Stored, position)).await;
    }
    for position in 1..=100 {
        assert_eq!(end(&next(stream.as_mut()).await), position);
    }
}

/// A slow subscriber holds up nobody meanwhile.
pub async fn who_is_behind_is_told_to_look_and_hears_what_follows(notices: Sender) {
    const MANY: Position = 5_000;
    let mut stream = subscribed(notices.as_ref(), Topic::Stored).await;
    let sending = async {
        for position in 1..=MANY {
            notices.publish(notice(Topic::Stored, position)).await;
        }
    };
    let sent = tokio::time::timeout(IN_TIME, sending).await;
    assert!(sent.is_ok(), "the sender waits for who does not read");
    let (mut heard, mut is_told, mut last) = (0, false, 0);
    let reading = async {
        // The last one may be among the missed; what is sent from now on is not.
        while last <= MANY {
            match tokio::time::timeout(Duration::from_millis(200), stream.next()).await {
                Ok(Some(notice)) => {
                    assert!(end(&notice) == 0 || end(&notice) > last || last > MANY);
                    last = end(&notice);
                    heard += 1;
                }
                Ok(None) => is_told = true,
                Err(_) => notices.publish(notice(Topic::Stored, MANY + 1)).await,
            }
        }
    };
    let read = tokio::time::timeout(IN_TIME, reading).await;
    assert!(read.is_ok(), "{heard} heard, the last was {last}");
    assert!(
        is_told || heard >= MANY,
        "{heard} heard, and not told of the rest"
    );
}

/// Dropping a wait, as a `select` does, loses no notice.
pub async fn a_wait_that_was_dropped_loses_nothing(notices: Sender) {
    let mut stream = subscribed(notices.as_ref(), Topic::Stored).await;
    for position in 1..=20 {
        let wait = Duration::from_millis(1);
        let early = tokio::time::timeout(wait, next(stream.as_mut())).await;
        assert!(early.is_err(), "{early:?}");
        notices.publish(notice(Topic::Stored, position)).await;
        assert_eq!(end(&next(stream.as_mut()).await), position);
    }
}

/// A later subscriber hears what is sent later.
pub async fn nobody_need_listen(notices: Sender) {
    for topic in TOPICS {
        notices.publish(notice(topic, 1)).await;
        drop(notices.subscribe(topic).await);
        notices.publish(notice(topic, 2)).await;
    }
    let mut stream = subscribed(notices.as_ref(), Topic::Baked).await;
    notices.publish(notice(Topic::Baked, 3)).await;
    assert_eq!(end(&next(stream.as_mut()).await), 3);
}
