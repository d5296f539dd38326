//! `replay`: what is read is made anew from the log, at a server that runs.

use std::time::Duration;

use crate::output::{stderr, stdout};
use crate::{Part, Replay, Settings};
use anyhow::{Context, Result};
use serde::Deserialize;
use tokio::time::sleep;

use super::admin_client::AdminClient;

/// How often it is looked how far it has come.
const LOOK: Duration = Duration::from_millis(500);

/// How often in a row nobody may answer: the round goes on by itself.
const PATIENCE: u32 = 120;

/// Of one part, the last round.
#[derive(Deserialize)]
struct Round {
    name: String,
    round: u64,
    state: String,
    reason: Option<String>,
    position: u64,
    of: u64,
}

/// Does it; whether it was done.
pub(crate) async fn replay(settings: &Settings, asked: Replay) -> Result<bool> {
    let counter = AdminClient::new(settings, &asked.counter)?;
    let Some(part) = asked.part else {
        for round in rounds(&counter).await? {
            stdout::line(&text(&round))?;
        }
        return Ok(true);
    };
    let path = format!("/rebuilds/{}", part.name());
    if asked.give_up {
        counter.send(counter.delete(&path)).await?;
        stdout::line(&text(&round(&counter, part).await?))?;
        return Ok(true);
    }
    let asked_for: Round = serde_json::from_value(counter.json(counter.post(&path)).await?)?;
    let mut silence = 0;
    loop {
        let round = match round(&counter, part).await {
            Ok(round) => round,
            Err(error) if silence < PATIENCE => {
                stderr::line(&format!("replay: {error:#}"));
                silence += 1;
                sleep(LOOK).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        silence = 0;
        // Whoever answers may not know of it yet.
        let is_under_way = round.state == "under-way" || round.round < asked_for.round;
        if !is_under_way || asked.no_wait {
            stdout::line(&text(&round))?;
            return Ok(round.state != "given-up");
        }
        let Round { position, of, .. } = round;
        stderr::line(&format!("replay: position {position} of {of}"));
        sleep(LOOK).await;
    }
}

async fn rounds(counter: &AdminClient) -> Result<Vec<Round>> {
    let rounds = counter.json(counter.get("/rebuilds")).await?;
    serde_json::from_value(rounds).context("expected rounds")
}

async fn round(counter: &AdminClient, part: Part) -> Result<Round> {
    let rounds = rounds(counter).await?.into_iter();
    let mut ours = rounds.filter(|round| round.name == part.name());
    ours.next().context("expected a round of this part")
}

fn text(round: &Round) -> String {
    let Round {
        name,
        round,
        state,
        reason,
        position,
        of,
    } = round;
    if *round == 0 {
        return format!("{name}: never made anew");
    }
    let why = reason.as_ref().map(|reason| format!(": {reason}"));
    let why = why.unwrap_or_default();
    format!("{name}: round {round}, {state}{why}; position {position} of {of}")
}
