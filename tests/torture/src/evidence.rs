//! Evidence that is gathered when all is quiet: from the stores, and by the public interface.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bakehouse_e2e::{Client, Feed};
use serde_json::Value;
use tokio::time::sleep;

use crate::check::Evidence;
use crate::clients::Identity;
use crate::ledger::Entry;
use crate::log::Row;
use crate::partner::{KINDS, Partner};
use crate::reads::Reads;
use crate::run::RECOVERY;
use crate::scene::Scene;
use crate::watchers::Audience;

/// Gathers all of it, once everybody has finished.
///
/// # Errors
/// When something cannot be read.
pub async fn gather(
    scene: &mut Scene,
    operator: &Identity,
    ledgers: Vec<Vec<Entry>>,
    spoiled: HashSet<String>,
    audience: Audience,
    partner: Partner,
) -> Result<Evidence> {
    let log = settled(scene).await?;
    let head = log.last().map_or(0, |row| row.position);
    let feed = tokio::time::timeout(10 * RECOVERY, whole_feed(operator, head));
    let feed = feed.await.context("the feed does not come to its end")??;
    let seen = audience.finish(head).await;
    let heard = partner.finish(of_interest(&feed)).await;
    let list = whole_list(operator, "/order?limit=100").await?;
    let others = missing(operator, &log, &list).await?;
    let reads = Reads::gather(operator, &ledgers, &log, &list).await?;
    Ok(Evidence {
        ledgers,
        log,
        feed,
        list,
        others,
        reads,
        seen,
        heard,
        spoiled,
    })
}

/// Number of these frames that the partner wants to be told of.
fn of_interest(feed: &[String]) -> usize {
    let is_one = |text: &&String| {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        frame["type"]
            .as_str()
            .is_some_and(|kind| KINDS.contains(&kind))
    };
    feed.iter().filter(is_one).count()
}

/// The log once nothing comes any more: a request that nobody waited for may have taken
/// its time.
async fn settled(scene: &Scene) -> Result<Vec<Row>> {
    let mut log = scene.log().await?;
    for _ in 0..20 {
        sleep(Duration::from_secs(2)).await;
        let now = scene.log().await?;
        let is_settled = now.len() == log.len() && now.iter().all(|row| row.status != "stored");
        log = now;
        if is_settled {
            break;
        }
    }
    Ok(log)
}

async fn whole_feed(operator: &Identity, head: u64) -> Result<Vec<String>> {
    let token = operator.authorization.strip_prefix("Bearer ");
    let mut texts: Vec<String> = Vec::new();
    let mut cursor = 0;
    // A subscriber who is too slow is sent away, and goes on from where they were.
    for _ in 0..1_000 {
        let query = format!("since={cursor}");
        let mut feed = Feed::open_with(&operator.bases[0], &query, token).await?;
        while cursor < head {
            let Ok(Ok(text)) = feed.message().await else {
                break;
            };
            let frame: Value = serde_json::from_str(&text)?;
            let is_event = frame["type"]
                .as_str()
                .is_some_and(|kind| kind.contains('.'));
            if is_event {
                cursor = frame["position"].as_u64().unwrap_or(cursor);
                texts.push(text);
            }
        }
        if cursor >= head {
            return Ok(texts);
        }
    }
    bail!("the feed has {cursor} of {head} events")
}

/// One read as an operator.
pub(crate) async fn read(
    client: &Client,
    operator: &Identity,
    path: &str,
) -> Result<bakehouse_e2e::Answer> {
    let headers = [("authorization", operator.authorization.as_str())];
    client.get_with(path, &headers).await
}

/// All pages of a list.
pub(crate) async fn whole_list(operator: &Identity, path: &str) -> Result<Vec<Value>> {
    let client = Client::new(&operator.bases[0]);
    let mut next = Some(path.to_owned());
    let mut all = Vec::new();
    while let Some(path) = next {
        let page = read(&client, operator, &path).await?;
        ensure!(page.status == 200, "{page:?}");
        let Value::Array(documents) = page.json() else {
            bail!("no list: {page:?}");
        };
        all.extend(documents);
        next = page.next_page();
    }
    Ok(all)
}

/// Orders that the list does not have.
async fn missing(
    operator: &Identity,
    log: &[Row],
    list: &[Value],
) -> Result<HashMap<String, Value>> {
    let listed: HashSet<&str> = list.iter().filter_map(|one| one["id"].as_str()).collect();
    let all: HashSet<&str> = log.iter().map(|row| row.order.as_str()).collect();
    let client = Client::new(&operator.bases[0]);
    let mut found = HashMap::new();
    for id in all.difference(&listed) {
        let answer = read(&client, operator, &format!("/order/{id}")).await?;
        if answer.status == 200 {
            found.insert((*id).to_owned(), answer.json());
        }
    }
    Ok(found)
}
