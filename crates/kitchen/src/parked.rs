//! `parked`: what has been set aside, at a server that runs: see it, try it again, give it
//! up. By the same calls as anybody else's, so that what an operator did is on record.

use std::path::Path;

use anyhow::{Context, Result, bail};
use bakehouse_service::{Parked, ParkedTask, Settings};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

/// Lines of a page.
const PAGE: usize = 100;
/// Seconds that an outcome is waited for.
const WAIT: &str = "wait=20";

/// Does it; whether it could be done.
pub(crate) async fn parked(settings: &Settings, asked: Parked) -> Result<bool> {
    let counter = Counter {
        url: match asked.url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => format!("http://{}", settings.http.bind),
        },
        token: asked.token_file.as_deref().map(token).transpose()?,
        client: bakehouse_feeds::client()?,
    };
    match asked.what.unwrap_or(ParkedTask::List) {
        ParkedTask::List => counter.list().await,
        ParkedTask::Retry { operation } => counter.settle(&operation, "retry", None).await,
        ParkedTask::Discard { operation, reason } => {
            let body = json!({ "reason": reason });
            counter.settle(&operation, "discard", Some(&body)).await
        }
    }
}

fn token(file: &Path) -> Result<String> {
    let text = std::fs::read_to_string(file).with_context(|| file.display().to_string())?;
    Ok(text.trim().to_owned())
}

/// Where operators are served.
struct Counter {
    url: String,
    token: Option<String>,
    client: Client,
}

impl Counter {
    async fn list(&self) -> Result<bool> {
        let mut after = 0;
        let mut count = 0;
        loop {
            let path = format!("/parked?limit={PAGE}&after={after}");
            let page = self.json(self.client.get(self.at(&path))).await?;
            let lines = page.as_array().context("expected a list")?;
            for line in lines {
                println!("{}", text(line));
                after = line["position"].as_u64().unwrap_or(after);
            }
            count += lines.len();
            if lines.len() < PAGE {
                break;
            }
        }
        if count == 0 {
            println!("nothing is set aside");
        }
        Ok(true)
    }

    async fn settle(&self, operation: &str, what: &str, body: Option<&Value>) -> Result<bool> {
        let path = format!("/parked/{operation}/{what}");
        let mut request = self.client.post(self.at(&path));
        if let Some(body) = body {
            request = request.json(body);
        }
        let accepted = self.send(request).await?;
        let receipt = accepted.headers().get("operation-location");
        let receipt = receipt.and_then(|path| path.to_str().ok());
        let receipt = receipt.context("202 without a receipt")?;
        let request = self.client.get(self.at(receipt)).header("prefer", WAIT);
        let outcome = self.json(request).await?;
        let word = |name: &str| outcome[name].as_str().unwrap_or_default().to_owned();
        match word("status").as_str() {
            "baked" | "executed" => {
                println!("done, at position {}", outcome["position"]);
                Ok(true)
            }
            "rejected" => {
                println!("refused: {}", word("reason"));
                Ok(false)
            }
            other => {
                println!("not settled yet: {other}; see {}", self.at(receipt));
                Ok(false)
            }
        }
    }

    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    async fn json(&self, request: reqwest::RequestBuilder) -> Result<Value> {
        Ok(self.send(request).await?.json().await?)
    }

    /// # Errors
    /// In the server's own words, where it has any.
    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Response> {
        let request = match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        };
        let sent = request.send().await;
        let answer = sent.with_context(|| format!("nothing answers at {}", self.url))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let problem: Value = answer.json().await.unwrap_or_default();
        let detail = problem["detail"].as_str().or(problem["title"].as_str());
        let hint = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => " (see --token-file)",
            _ => "",
        };
        bail!("{status}: {}{hint}", detail.unwrap_or("no reason given"))
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
