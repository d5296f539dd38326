//! Rules for feed sources. A rule takes a feed of five frames.

use std::sync::Arc;
use std::time::Duration;

use bakehouse_engine::Position;
use bakehouse_engine::ports::FeedSource;

/// Feed under test, with its server.
pub struct FeedSetup<G> {
    /// Feed.
    pub feed: Arc<dyn FeedSource>,
    /// Epoch of the feed's log.
    pub epoch: String,
    /// Server of the feed, kept alive.
    pub guard: G,
}

/// Generates the suite's tests: `feeds_suite!(name, async { FeedSetup { … } })`.
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
                it_can_be_read_again_from_any_position,
                after_its_end_the_feed_is_empty_and_live,
            ]
        );
    };
}

/// Reads all frames after a position, in as many calls as needed.
async fn read_all(feed: &dyn FeedSource, after: Position, limit: usize) -> Vec<Position> {
    let mut positions = Vec::new();
    let reading = async {
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
    let read = tokio::time::timeout(Duration::from_secs(30), reading).await;
    assert!(read.is_ok(), "only {positions:?} arrived");
    positions
}

/// The head is the same before and after frames have been read.
pub async fn its_head_names_the_log_and_its_end<G>(setup: FeedSetup<G>) {
    for _ in 0..2 {
        let head = setup.feed.head().await.unwrap();
        assert_eq!((&head.epoch, head.position), (&setup.epoch, 5));
        read_all(setup.feed.as_ref(), 3, 9).await;
    }
}

/// Frames arrive in order for every limit.
pub async fn frames_come_in_order_and_no_more_than_were_asked_for<G>(setup: FeedSetup<G>) {
    for limit in [1, 2, 9] {
        assert_eq!(
            read_all(setup.feed.as_ref(), 0, limit).await,
            [1, 2, 3, 4, 5]
        );
    }
}

/// A feed can be read again from an earlier or later position.
pub async fn it_can_be_read_again_from_any_position<G>(setup: FeedSetup<G>) {
    for (after, expected) in [(3, &[4, 5][..]), (0, &[1, 2, 3, 4, 5]), (4, &[5])] {
        assert_eq!(read_all(setup.feed.as_ref(), after, 9).await, expected);
    }
}

/// After its end the feed returns no frames, and becomes live.
pub async fn after_its_end_the_feed_is_empty_and_live<G>(setup: FeedSetup<G>) {
    read_all(setup.feed.as_ref(), 0, 9).await;
    let live = async {
        while !setup.feed.is_live() {
            assert!(setup.feed.frames(5, 9).await.unwrap().is_empty());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let live = tokio::time::timeout(Duration::from_secs(30), live).await;
    assert!(live.is_ok(), "the feed does not become live");
}
