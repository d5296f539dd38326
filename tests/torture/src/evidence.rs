//! Collection of the final state, from the stores and through the public interface.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bakehouse_e2e::{Client, Feed};
use serde_json::Value;
use tokio::time::sleep;

use crate::clients::Identity;
use crate::ledger::Entry;
use crate::log::Row;
use crate::queries::{read, whole_list};
use crate::reads::Reads;
use crate::recovery::RECOVERY_TIMEOUT;
use crate::setup::Setup;
use crate::subscribers::{SubscriberRecord, Subscribers};
use crate::webhook_receiver::{EVENT_TYPES, ReceivedNotifications, WebhookReceiver};

/// Everything that is checked.
pub struct Evidence {
    /// Ledger of each client, in order of its requests.
    pub ledgers: Vec<Vec<Entry>>,
    /// The log, read from its store.
    pub log: Vec<Row>,
    /// All frames of the feed for an operator.
    pub feed: Vec<String>,
    /// The whole list of orders, newest first.
    pub list: Vec<Value>,
    /// Documents of orders that are not on the list, by id.
    pub unlisted: HashMap<String, Value>,
    /// Records of all subscribers.
    pub subscribers: Vec<SubscriberRecord>,
    /// Sampled receipts, histories, files and filtered lists.
    pub reads: Reads,
    /// Notifications of the webhook receiver.
    pub notifications: ReceivedNotifications,
    /// Orders with an operation of an unknown schema version.
    pub poisoned: HashSet<String>,
}

/// Collects everything that is checked, after all clients have ended.
///
/// # Errors
/// When something cannot be read.
pub async fn gather(
    setup: &mut Setup,
    operator: &Identity,
    ledgers: Vec<Vec<Entry>>,
    poisoned: HashSet<String>,
    subscribers: Subscribers,
    receiver: WebhookReceiver,
) -> Result<Evidence> {
    let log = settled_log(setup).await?;
    let head = log.last().map_or(0, |row| row.position);
    let feed = tokio::time::timeout(10 * RECOVERY_TIMEOUT, whole_feed(operator, head));
    let feed = feed.await.context("timed out reading the feed")??;
    let subscribers = subscribers.finish(head).await;
    let notifications = receiver.finish(count_subscribed(&feed)).await;
    let list = whole_list(operator, "/order?limit=100").await?;
    let unlisted = read_unlisted(operator, &log, &list).await?;
    let reads = Reads::gather(operator, &ledgers, &log, &list).await?;
    Ok(Evidence {
        ledgers,
        log,
        feed,
        list,
        unlisted,
        reads,
        subscribers,
        notifications,
        poisoned,
    })
}

/// Counts the frames whose type the webhook receiver subscribes to.
fn count_subscribed(feed: &[String]) -> usize {
    let is_subscribed = |text: &&String| {
        let frame: Value = serde_json::from_str(text).unwrap_or_default();
        frame["type"]
            .as_str()
            .is_some_and(|kind| EVENT_TYPES.contains(&kind))
    };
    feed.iter().filter(is_subscribed).count()
}

/// Reads the log once it does not change any more. Requests whose clients have stopped waiting may
/// still be processed.
async fn settled_log(setup: &Setup) -> Result<Vec<Row>> {
    let mut log = setup.log().await?;
    for _ in 0..20 {
        sleep(Duration::from_secs(2)).await;
        let now = setup.log().await?;
        let is_settled = now.len() == log.len() && now.iter().all(|row| row.status != "stored");
        log = now;
        if is_settled {
            break;
        }
    }
    Ok(log)
}

/// Reads the feed up to a position.
async fn whole_feed(operator: &Identity, head: u64) -> Result<Vec<String>> {
    let token = operator.authorization.strip_prefix("Bearer ");
    let mut texts: Vec<String> = Vec::new();
    let mut cursor = 0;
    // The server disconnects slow subscribers; each connection resumes after the last frame.
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

/// Reads the documents of orders that are not on the list.
async fn read_unlisted(
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
