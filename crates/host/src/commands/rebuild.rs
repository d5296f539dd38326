//! Command `rebuild`: online rebuild of a stage's output, on a running server.

use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::time::sleep;

use super::admin_client::AdminClient;
use crate::output::{stderr, stdout};
use crate::{Part, Rebuild, Settings};

/// Interval at which the progress is read.
const POLL_INTERVAL: Duration = Duration::from_millis(500);
/// Maximum number of consecutive failed reads. The rebuild continues without this command.
const MAX_FAILED_READS: u32 = 120;

/// State of a part's last rebuild, as the server sends it.
#[derive(Deserialize)]
struct Progress {
    name: String,
    #[serde(rename = "round")]
    rebuild_id: u64,
    state: String,
    reason: Option<String>,
    position: u64,
    of: u64,
}

/// Runs the command; `Ok(false)`: the rebuild has failed.
pub(crate) async fn rebuild(settings: &Settings, arguments: Rebuild) -> Result<bool> {
    let client = AdminClient::new(settings, &arguments.server)?;
    let Some(part) = arguments.part else {
        for progress in all(&client).await? {
            stdout::line(&text(&progress))?;
        }
        return Ok(true);
    };
    let path = format!("/rebuilds/{}", part.name());
    if arguments.cancel {
        client.send(client.delete(&path)).await?;
        stdout::line(&text(&progress_of(&client, part).await?))?;
        return Ok(true);
    }
    let requested: Progress = serde_json::from_value(client.json(client.post(&path)).await?)?;
    let mut failed_reads = 0;
    loop {
        let progress = match progress_of(&client, part).await {
            Ok(progress) => progress,
            Err(error) if failed_reads < MAX_FAILED_READS => {
                stderr::line(&format!("rebuild: {error:#}"));
                failed_reads += 1;
                sleep(POLL_INTERVAL).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        failed_reads = 0;
        // Another server may answer that has not seen the request yet.
        let is_unseen = progress.rebuild_id < requested.rebuild_id;
        let is_running = progress.state == "under-way" || is_unseen;
        if !is_running || arguments.no_wait {
            stdout::line(&text(&progress))?;
            return Ok(progress.state != "given-up");
        }
        let Progress { position, of, .. } = progress;
        stderr::line(&format!("rebuild: position {position} of {of}"));
        sleep(POLL_INTERVAL).await;
    }
}

async fn all(client: &AdminClient) -> Result<Vec<Progress>> {
    let all = client.json(client.get("/rebuilds")).await?;
    serde_json::from_value(all).context("the server sent no list of rebuilds")
}

async fn progress_of(client: &AdminClient, part: Part) -> Result<Progress> {
    let all = all(client).await?.into_iter();
    let mut of_part = all.filter(|progress| progress.name == part.name());
    of_part
        .next()
        .context("the server sent no rebuild of this part")
}

fn text(progress: &Progress) -> String {
    let Progress {
        name,
        rebuild_id,
        state,
        reason,
        position,
        of,
    } = progress;
    if *rebuild_id == 0 {
        return format!("{name}: never rebuilt");
    }
    let reason = reason.as_ref().map(|reason| format!(": {reason}"));
    let reason = reason.unwrap_or_default();
    format!("{name}: rebuild {rebuild_id}, {state}{reason}; position {position} of {of}")
}
