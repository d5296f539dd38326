//! Having everything made anew, as operators do.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::Client;

/// What can be made anew.
pub const PARTS: [&str; 2] = ["source", "presentation"];
/// How long a round may take.
pub const ROUND: Duration = Duration::from_secs(900);

/// Begins a round.
///
/// # Panics
/// When it is not taken.
pub async fn ask(client: &Client, part: &str) {
    let asked = client.post_to(&format!("/rebuilds/{part}"), "").await;
    assert_eq!(asked.expect("an answer").status, 202);
}

/// The last round, once it has ended.
///
/// # Panics
/// When it does not end.
pub async fn ended(client: &Client, part: &str) -> Value {
    let until = Instant::now() + ROUND;
    loop {
        let round = last(client, part).await;
        if round["state"] != "under-way" {
            return round;
        }
        assert!(Instant::now() < until, "still under way: {round}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn last(client: &Client, part: &str) -> Value {
    let rounds = client.get("/rebuilds").await.expect("an answer").json();
    let mut all = rounds.as_array().expect("rounds").iter();
    let found = all.find(|round| round["name"] == part);
    found.expect("a round of that part").clone()
}
