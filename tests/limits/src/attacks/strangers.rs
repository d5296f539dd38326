//! Requests for data of another owner, which may cost no more than requests for missing data.

use anyhow::{Result, ensure};
use futures_util::FutureExt;
use serde_json::json;
use uuid::Uuid;

use super::full_speed::CONCURRENT_WAIT;
use crate::attack::Attack;
use crate::bounds::Bounds;
use crate::target::{Access, Target};

const MIB: u64 = 1024 * 1024;
/// Number of orders of the owner, each with a different correlation id.
const ORDERS: usize = 100;
/// Number of changes of one more order, all with the same correlation id.
const CHANGES: usize = 100;
/// Correlation id of these changes.
const CORRELATION: &str = "a-large-one";
/// Size of each body, in bytes.
const BODY_SIZE: usize = 60 * 1024;
/// Number of lookups of each correlation id in a run.
const REPEATS: usize = 3;
/// Bound of the bytes read from files for all lookups, above those of the baseline. It covers the
/// server's own checks of its file; the bodies would be four times as much.
const MAX_READ: u64 = 32 * MIB;
/// Bound of the time of the lookups, as a multiple of the baseline. It covers noise of the machine.
const MAX_TIME_RATIO: f64 = 1.5;

pub(super) fn attacks() -> Vec<Attack> {
    vec![Attack {
        name: "correlations of another owner's large orders",
        access: Access::Tokens,
        prepare: |target| large_orders(target).boxed(),
        baseline: Some(|target| missing_correlations(target).boxed()),
        run: |target| correlations_of_owner(target).boxed(),
        bounds: Bounds {
            memory: Some(32 * MIB),
            read: Some(MAX_READ),
            others_wait: CONCURRENT_WAIT,
            time_ratio: Some(MAX_TIME_RATIO),
            ..Bounds::default()
        },
    }]
}

async fn large_orders(target: Target) -> Result<()> {
    let client = target.client();
    let authorization = target.authorization("owner")?;
    let authorization = ("Authorization", authorization.as_str());
    let product = json!({ "name": "x".repeat(190), "price": "1" });
    let size = product.to_string().len() + 1;
    let body = json!({ "products": vec![product; BODY_SIZE / size] }).to_string();
    let mut correlations = vec![CORRELATION.to_owned(); CHANGES];
    let mut order = String::new();
    let mut last = String::new();
    for _ in 0..ORDERS {
        let headers = [authorization];
        let placed = client.post_with("/order", &headers, body.clone()).await?;
        ensure!(placed.status == 202, "{placed:?}");
        placed.header("location").clone_into(&mut order);
        let operation = placed.header("operation-location");
        correlations.extend(operation.rsplit('/').next().map(str::to_owned));
    }
    let headers = [authorization, ("X-Correlation-ID", CORRELATION)];
    for _ in 0..CHANGES {
        let changed = client.put(&order, &headers, body.clone()).await?;
        ensure!(changed.status == 202, "{changed:?}");
        changed.header("operation-location").clone_into(&mut last);
    }
    let headers = [authorization, ("Prefer", "wait=30")];
    let receipt = client.get_with(&last, &headers).await?.json();
    ensure!(receipt["status"] == "baked", "{receipt}");
    let path = format!("/correlation/{CORRELATION}?limit={CHANGES}");
    let seen = client.get_with(&path, &[authorization]).await?.json();
    let seen = seen.as_array().map_or(0, Vec::len);
    ensure!(seen == CHANGES, "the owner sees {seen} changes");
    target.store_notes(correlations).await;
    Ok(())
}

async fn correlations_of_owner(target: Target) -> Result<()> {
    let correlations = target.notes().await;
    look_up(&target, &correlations).await
}

async fn missing_correlations(target: Target) -> Result<()> {
    let count = target.notes().await.len();
    let random_id = |_| Uuid::now_v7().to_string();
    let correlations: Vec<String> = (0..count).map(random_id).collect();
    look_up(&target, &correlations).await
}

async fn look_up(target: &Target, correlations: &[String]) -> Result<()> {
    let client = target.client();
    let authorization = target.authorization("stranger")?;
    let headers = [("Authorization", authorization.as_str())];
    for _ in 0..REPEATS {
        for correlation in correlations {
            let path = format!("/correlation/{correlation}");
            let answer = client.get_with(&path, &headers).await?;
            ensure!(answer.status == 200, "{answer:?}");
            ensure!(answer.body == "[]", "a stranger sees {answer:?}");
        }
    }
    Ok(())
}
