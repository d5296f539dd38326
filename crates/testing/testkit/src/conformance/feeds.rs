//! Rules of feeds that handlers follow. A rule takes one that has five frames.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::Position;
use bakehouse_engine::ports::FeedSource;

/// The feed under test, and whatever must live as long.
pub struct Fed<G> {
    /// The feed.
    pub feed: Arc<dyn FeedSource>,
    /// The identity of its log.
    pub epoch: String,
    /// Server of the feed, kept alive.
    pub guard: G,
}

/// Writes the suite's tests: `feeds_suite!(name, async { Fed { … } })`.
#[macro_export]
macro_rules! feeds_suite {
    ($module:ident, $make:expr) => {
        $crate::suite!(
            $module,
            feeds,
            $make,
            [
                its_head_names_the_log_and_its_end,
                frames_come_in_order_and_no_more_than_were_asked_for,
                it_can_be_followed_again_from_anywhere,
                behind_its_end_there_is_nothing_yet,
            ]
        );
    };
}

/// Frames after a position, however often it has to be asked for them.
async fn follow(feed: &dyn FeedSource, after: Position, limit: usize) -> Vec<Position> {
    let mut positions = Vec::new();
    let following = async {
        let mut at = after;
        while at < 5 {
            let frames = feed.frames(at, limit).await.unwrap();
            assert!(frames.len() <= limit);
            for frame in &frames {
                let body: serde_json::Value = serde_json::from_str(frame.body.get()).unwrap();
                assert_eq!(body["position"], frame.position);
                assert_eq!(body["type"], frame.kind);
                positions.push(frame.position);
                at = frame.position;
            }
            if frames.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    let followed = tokio::time::timeout(Duration::from_secs(30), following).await;
    assert!(followed.is_ok(), "{positions:?} have come");
    positions
}

/// Which it tells whether or not anybody follows it.
pub async fn its_head_names_the_log_and_its_end<G>(fed: Fed<G>) {
    for _ in 0..2 {
        let head = fed.feed.head().await.unwrap();
        assert_eq!((&head.epoch, head.position), (&fed.epoch, 5));
        follow(fed.feed.as_ref(), 3, 9).await;
    }
}

/// One, two or all at a time.
pub async fn frames_come_in_order_and_no_more_than_were_asked_for<G>(fed: Fed<G>) {
    for limit in [1, 2, 9] {
        assert_eq!(follow(fed.feed.as_ref(), 0, limit).await, [1, 2, 3, 4, 5]);
    }
}

/// Further back, or further on.
pub async fn it_can_be_followed_again_from_anywhere<G>(fed: Fed<G>) {
    for (after, expected) in [(3, &[4, 5][..]), (0, &[1, 2, 3, 4, 5]), (4, &[5])] {
        assert_eq!(follow(fed.feed.as_ref(), after, 9).await, expected);
    }
}

/// The feed is live once its end has been reached.
pub async fn behind_its_end_there_is_nothing_yet<G>(fed: Fed<G>) {
    follow(fed.feed.as_ref(), 0, 9).await;
    let live = async {
        while !fed.feed.is_live() {
            assert!(fed.feed.frames(5, 9).await.unwrap().is_empty());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let live = tokio::time::timeout(Duration::from_secs(30), live).await;
    assert!(live.is_ok(), "it is never live");
}
