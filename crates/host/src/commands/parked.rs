//! `parked`: what has been set aside, at a server that runs: see it, try it again, give it
//! up. By the same calls as anybody else's, so that what an operator did is on record.

use crate::output::stdout;
use crate::{Parked, ParkedTask, Settings};
use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::admin_client::AdminClient;

/// Lines of a page.
const PAGE: usize = 100;
/// Seconds that an outcome is waited for.
const WAIT: &str = "wait=20";

/// Does it; whether it could be done.
pub(crate) async fn parked(settings: &Settings, asked: Parked) -> Result<bool> {
    let desk = Desk(AdminClient::new(settings, &asked.counter)?);
    match asked.what.unwrap_or(ParkedTask::List) {
        ParkedTask::List => desk.list().await,
        ParkedTask::Retry { operation } => desk.settle(&operation, "retry", None).await,
        ParkedTask::Discard { operation, reason } => {
            let body = json!({ "reason": reason });
            desk.settle(&operation, "discard", Some(&body)).await
        }
    }
}

/// What has been set aside, at a counter.
struct Desk(AdminClient);

impl Desk {
    async fn list(&self) -> Result<bool> {
        let mut after = 0;
        let mut count = 0;
        let mut is_read = true;
        loop {
            let path = format!("/parked?limit={PAGE}&after={after}");
            let page = self.0.json(self.0.get(&path)).await?;
            let lines = page.as_array().context("expected a list")?;
            for line in lines {
                is_read = stdout::line(&text(line))?;
                after = line["position"].as_u64().unwrap_or(after);
            }
            count += lines.len();
            if lines.len() < PAGE || !is_read {
                break;
            }
        }
        if count == 0 {
            stdout::line("nothing is set aside")?;
        }
        Ok(true)
    }

    async fn settle(&self, operation: &str, what: &str, body: Option<&Value>) -> Result<bool> {
        let path = format!("/parked/{operation}/{what}");
        let mut request = self.0.post(&path);
        if let Some(body) = body {
            request = request.json(body);
        }
        let accepted = self.0.send(request).await?;
        let receipt = accepted.headers().get("operation-location");
        let receipt = receipt.and_then(|path| path.to_str().ok());
        // Here, and not where the public URL says.
        let id = receipt.and_then(|link| link.rsplit('/').next());
        let receipt = format!("/operation/{}", id.context("202 without a receipt")?);
        let request = self.0.get(&receipt).header("prefer", WAIT);
        let outcome = self.0.json(request).await?;
        let word = |name: &str| outcome[name].as_str().unwrap_or_default().to_owned();
        match word("status").as_str() {
            "baked" | "executed" => {
                stdout::line(&format!("done, at position {}", outcome["position"]))?;
                Ok(true)
            }
            "rejected" => {
                stdout::line(&format!("refused: {}", word("reason")))?;
                Ok(false)
            }
            other => {
                let place = self.0.shown_at(&receipt);
                stdout::line(&format!("not settled yet: {other}; see {place}"))?;
                Ok(false)
            }
        }
    }
}

/// Position, identity, what it was to do and of what, and why it stands still.
fn text(line: &Value) -> String {
    let word = |name: &str| line[name].as_str().unwrap_or_default().to_owned();
    let members = line.as_object().into_iter().flatten();
    // Named by the domain: `order_id`, say.
    let mut entity = members.filter(|(name, _)| name.ends_with("_id") && *name != "operation_id");
    let entity = entity
        .next()
        .and_then(|(_, id)| id.as_str())
        .unwrap_or_default();
    format!(
        "{}\t{}\t{} {entity}\t{}",
        line["position"],
        word("operation_id"),
        word("operation"),
        word("reason")
    )
}
