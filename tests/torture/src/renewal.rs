//! An operator has everything made anew from the log, while all else goes on.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bakehouse_e2e::Client;
use hyper::Method;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::clients::Identity;

const PARTS: [&str; 2] = ["source", "presentation"];
/// How long one call may take.
const CALL: Duration = Duration::from_secs(5);
/// How long a round may take once nothing goes wrong any more.
const ROUND: Duration = Duration::from_secs(600);

/// Begins a round of each part.
///
/// # Errors
/// When nobody takes it.
pub async fn begin(operator: &Identity) -> Result<()> {
    let headers = [("authorization", operator.authorization.as_str())];
    for part in PARTS {
        let path = format!("/rebuilds/{part}");
        let mut is_taken = false;
        for base in &operator.bases {
            let client = Client::new(base);
            let asked = client.send(Method::POST, &path, &headers, "");
            let answer = timeout(CALL, asked).await;
            is_taken |= answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 202));
        }
        ensure!(is_taken, "nobody takes {path}");
    }
    Ok(())
}

/// Waits until none is under way: how many there have been of each part.
///
/// # Errors
/// When that takes too long, or a round was given up.
pub async fn ended(operator: &Identity) -> Result<BTreeMap<String, u64>> {
    let client = Client::new(&operator.bases[0]);
    let headers = [("authorization", operator.authorization.as_str())];
    let until = tokio::time::Instant::now() + ROUND;
    loop {
        let rounds = client.get_with("/rebuilds", &headers).await?.json();
        let has = |state: &str| {
            let mut all = rounds.as_array().into_iter().flatten();
            all.any(|round| round["state"] == state)
        };
        ensure!(!has("given-up"), "given up: {rounds}");
        if !has("under-way") {
            let all = rounds.as_array().into_iter().flatten();
            let count = |round: &Value| {
                let name = round["name"].as_str().unwrap_or_default().to_owned();
                (name, round["round"].as_u64().unwrap_or_default())
            };
            return Ok(all.map(count).collect());
        }
        if tokio::time::Instant::now() > until {
            bail!("still under way: {rounds}");
        }
        sleep(Duration::from_millis(200)).await;
    }
}
