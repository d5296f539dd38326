//! Online rebuilds of source and presentation, requested by an operator through the API.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bakehouse_e2e::Client;
use hyper::Method;
use serde_json::Value;
use tokio::time::{sleep, timeout};

use crate::clients::Identity;

const TARGETS: [&str; 2] = ["source", "presentation"];
/// Timeout of one API call.
const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Time within which all rebuilds must be done after the last fault.
const REBUILD_TIMEOUT: Duration = Duration::from_secs(600);

/// Requests a rebuild of each target.
///
/// # Errors
/// When no api-server accepts the request.
pub async fn request(operator: &Identity) -> Result<()> {
    let headers = [("authorization", operator.authorization.as_str())];
    for target in TARGETS {
        let path = format!("/rebuilds/{target}");
        let mut is_accepted = false;
        for base in &operator.bases {
            let client = Client::new(base);
            let sending = client.send(Method::POST, &path, &headers, "");
            let answer = timeout(CALL_TIMEOUT, sending).await;
            is_accepted |=
                answer.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status == 202));
        }
        ensure!(is_accepted, "no api-server accepted POST {path}");
    }
    Ok(())
}

/// Waits until no rebuild is in progress. Returns the number of rebuilds of each target.
///
/// # Errors
/// When that takes too long, or a rebuild was abandoned.
pub async fn wait_until_done(operator: &Identity) -> Result<BTreeMap<String, u64>> {
    let client = Client::new(&operator.bases[0]);
    let headers = [("authorization", operator.authorization.as_str())];
    let until = tokio::time::Instant::now() + REBUILD_TIMEOUT;
    loop {
        let rebuilds = client.get_with("/rebuilds", &headers).await?.json();
        let has = |state: &str| {
            let mut all = rebuilds.as_array().into_iter().flatten();
            all.any(|rebuild| rebuild["state"] == state)
        };
        ensure!(!has("given-up"), "rebuild abandoned: {rebuilds}");
        if !has("under-way") {
            let all = rebuilds.as_array().into_iter().flatten();
            let count = |rebuild: &Value| {
                let name = rebuild["name"].as_str().unwrap_or_default().to_owned();
                (name, rebuild["round"].as_u64().unwrap_or_default())
            };
            return Ok(all.map(count).collect());
        }
        if tokio::time::Instant::now() > until {
            bail!("rebuild still in progress: {rebuilds}");
        }
        sleep(Duration::from_millis(200)).await;
    }
}
