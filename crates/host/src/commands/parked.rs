//! Command `parked`: lists parked operations of a running server, retries or discards them.
//! It uses the public API, so that the log has what an operator did.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::admin_client::AdminClient;
use crate::output::stdout;
use crate::{Parked, ParkedTask, Settings};

/// Number of parked operations that are read at once.
const PAGE: usize = 100;
/// Preference to wait for the outcome, in seconds.
const WAIT: &str = "wait=20";
/// Names of the columns.
const HEADER: [&str; 5] = ["POSITION", "OPERATION ID", "OPERATION", "ENTITY", "REASON"];

/// Runs the command; `Ok(false)`: the server rejected it, or has not executed it yet.
pub(crate) async fn parked(settings: &Settings, arguments: Parked) -> Result<bool> {
    let client = AdminClient::new(settings, &arguments.server)?;
    match arguments.task.unwrap_or(ParkedTask::List) {
        ParkedTask::List => list(&client).await,
        ParkedTask::Retry { operation } => resolve(&client, &operation, "retry", None).await,
        ParkedTask::Discard { operation, reason } => {
            let body = json!({ "reason": reason });
            resolve(&client, &operation, "discard", Some(&body)).await
        }
    }
}

async fn list(client: &AdminClient) -> Result<bool> {
    let mut after = 0;
    let mut count = 0;
    loop {
        let path = format!("/parked?limit={PAGE}&after={after}");
        let page = client.json(client.get(&path)).await?;
        let page = page.as_array().context("the server sent no list")?;
        let rows: Vec<_> = page.iter().map(row).collect();
        let header = HEADER.map(str::to_owned);
        let mut is_read = true;
        for row in std::iter::once(&header)
            .filter(|_| count == 0 && !page.is_empty())
            .chain(&rows)
        {
            is_read = stdout::line(&aligned(row))?;
        }
        count += page.len();
        after = page
            .last()
            .and_then(|last| last["position"].as_u64())
            .unwrap_or(after);
        if page.len() < PAGE || !is_read {
            break;
        }
    }
    if count == 0 {
        stdout::line("no parked operations")?;
    }
    Ok(true)
}

async fn resolve(
    client: &AdminClient,
    operation: &str,
    verb: &str,
    body: Option<&Value>,
) -> Result<bool> {
    let mut request = client.post(&format!("/parked/{operation}/{verb}"));
    if let Some(body) = body {
        request = request.json(body);
    }
    let accepted = client.send(request).await?;
    let receipt = accepted.headers().get("operation-location");
    let receipt = receipt.and_then(|path| path.to_str().ok());
    // Read from this server, not from its public URL.
    let id = receipt.and_then(|link| link.rsplit('/').next());
    let receipt = format!("/operation/{}", id.context("the server sent no receipt")?);
    let outcome = client
        .json(client.get(&receipt).header("prefer", WAIT))
        .await?;
    let text = |name: &str| outcome[name].as_str().unwrap_or_default().to_owned();
    match text("status").as_str() {
        "baked" | "executed" => {
            stdout::line(&format!("ok: executed at position {}", outcome["position"]))?;
            Ok(true)
        }
        "rejected" => {
            stdout::line(&format!("rejected: {}", text("reason")))?;
            Ok(false)
        }
        status => {
            let url = client.shown_at(&receipt);
            stdout::line(&format!("not executed yet ({status}); see {url}"))?;
            Ok(false)
        }
    }
}

/// Columns of one parked operation.
fn row(parked: &Value) -> [String; 5] {
    let text = |name: &str| parked[name].as_str().unwrap_or_default().to_owned();
    let members = parked.as_object().into_iter().flatten();
    // Its name depends on the domain, for example `order_id`.
    let mut ids = members.filter(|(name, _)| name.ends_with("_id") && *name != "operation_id");
    let entity = ids
        .next()
        .and_then(|(_, id)| id.as_str())
        .unwrap_or_default();
    [
        parked["position"].to_string(),
        text("operation_id"),
        text("operation"),
        entity.to_owned(),
        text("reason"),
    ]
}

/// Line with aligned columns, if ids have their usual length.
fn aligned([position, id, operation, entity, reason]: &[String; 5]) -> String {
    format!("{position:<10} {id:<36} {operation:<9} {entity:<36} {reason}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let id = "0190f5fe-0000-7000-8000-000000000001";
        let parked = json!({
            "position": 7, "operation_id": id, "operation": "UPDATE", "order_id": id,
            "reason": "its payload cannot be read",
        });
        let header = aligned(&HEADER.map(str::to_owned));
        let line = aligned(&row(&parked));
        let column = |text: &str, word: &str| text.find(word);
        assert_eq!(column(&header, "REASON"), column(&line, "its payload"));
        assert_eq!(column(&header, "OPERATION "), column(&line, id));
    }
}
