//! Rebuilds of the source and presentation stores, requested over HTTP as operators do.

use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::time::sleep;

use crate::Client;

/// Names of the stores that can be rebuilt.
pub const PARTS: [&str; 2] = ["source", "presentation"];
/// Timeout of a rebuild.
pub const REBUILD_TIMEOUT: Duration = Duration::from_secs(900);

/// Requests a rebuild.
///
/// # Panics
/// When the request is not accepted.
pub async fn ask(client: &Client, part: &str) {
    let answer = client.post_to(&format!("/rebuilds/{part}"), "").await;
    assert_eq!(answer.expect("an answer").status, 202);
}

/// Waits until the last rebuild has ended, and returns it.
///
/// # Panics
/// When it does not end in time.
pub async fn ended(client: &Client, part: &str) -> Value {
    let until = Instant::now() + REBUILD_TIMEOUT;
    loop {
        let rebuild = last(client, part).await;
        if rebuild["state"] != "under-way" {
            return rebuild;
        }
        assert!(Instant::now() < until, "still under way: {rebuild}");
        sleep(Duration::from_millis(50)).await;
    }
}

async fn last(client: &Client, part: &str) -> Value {
    let rebuilds = client.get("/rebuilds").await.expect("an answer").json();
    let mut all = rebuilds.as_array().expect("rebuilds").iter();
    let found = all.find(|rebuild| rebuild["name"] == part);
    found.expect("a rebuild of that part").clone()
}
