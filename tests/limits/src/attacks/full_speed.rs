//! Requests with invalid tokens or without authentication, as fast as they are answered.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bakehouse_e2e::feed::Received;
use bakehouse_e2e::issuer::{bearer, claims};
use bakehouse_e2e::{Client, Feed, Issuer};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use serde_json::json;

use crate::attack::{Attack, nothing};
use crate::bounds::Bounds;
use crate::target::{Access, Target};

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Duration of an attack.
const ATTACK_DURATION: Duration = Duration::from_secs(5);
/// Number of source addresses.
const ADDRESSES: u8 = 8;
/// Number of connections from each address.
const CONNECTIONS: usize = 8;
/// Maximum waiting time of another client.
pub(super) const CONCURRENT_WAIT: Option<Duration> = Some(Duration::from_secs(1));

/// Burst of invalid tokens of one address that the server verifies.
const VERIFIED_BURST: u64 = 100;
/// Invalid tokens of one address that the server verifies per second after that.
const VERIFIED_PER_SECOND: u64 = 10;
/// Number of clients that open one websocket after the other.
const SOCKETS: usize = 50;
/// Paths that require no token.
const PROBES: [&str; 3] = ["/health/live", "/health/ready", "/metrics"];

pub(super) fn attacks() -> Vec<Attack> {
    let connections = u64::from(ADDRESSES) * CONNECTIONS as u64;
    let bounds = Bounds {
        memory: Some(32 * MIB),
        // A client may open a second connection while the first one is busy.
        descriptors: Some(2 * connections),
        others_wait: CONCURRENT_WAIT,
        ..Bounds::default()
    };
    vec![
        Attack {
            name: "invalid tokens at full speed",
            access: Access::Tokens,
            prepare: nothing,
            baseline: None,
            run: |target| invalid_tokens(target).boxed(),
            bounds,
        },
        Attack {
            name: "invalid tokens in first frames of websockets",
            access: Access::Tokens,
            prepare: nothing,
            baseline: None,
            run: |target| invalid_first_frames(target).boxed(),
            bounds: Bounds {
                // For each client one open websocket and one that is being closed.
                descriptors: Some(2 * SOCKETS as u64 + 50),
                ..bounds
            },
        },
        Attack {
            name: "probes and metrics at full speed",
            access: Access::Open,
            prepare: nothing,
            baseline: None,
            run: |target| probes(target).boxed(),
            bounds: Bounds {
                // Readiness is checked once a second, with some writes of 64 KiB.
                written: Some(ATTACK_DURATION.as_secs() * PROBES.len() as u64 * 512 * KIB),
                ..bounds
            },
        },
    ]
}

/// Returns tokens that are each invalid for a different reason.
fn tokens(target: &Target) -> Result<Vec<String>> {
    let other_issuer = Issuer::new()?;
    let good = target.token(&claims("ada", "orders:read"))?;
    let mut expired = claims("ada", "orders:read");
    expired["exp"] = 1_000_000_000.into();
    let (signed, _) = good.rsplit_once('.').unwrap_or_default();
    Ok(vec![
        "x".repeat(4 * 1024),
        // {"alg":"none"}
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
        // The signature is of the right length.
        format!("{signed}.{}", "A".repeat(86)),
        other_issuer.token("ada", "orders:read")?,
        target.token(&expired)?,
    ])
}

async fn invalid_tokens(target: Target) -> Result<()> {
    let tokens: Vec<String> = tokens(&target)?.iter().map(|one| bearer(one)).collect();
    let until = Instant::now() + ATTACK_DURATION;
    let send = async |client: &Client, first: usize| {
        let mut verified = 0;
        for token in tokens.iter().cycle().skip(first) {
            if Instant::now() > until {
                break;
            }
            let headers = [("Authorization", token.as_str())];
            let answer = client.get_with("/order", &headers).await?;
            match answer.status.as_u16() {
                401 => verified += 1,
                429 => {}
                other => anyhow::bail!("an invalid token was answered {other}"),
            }
        }
        anyhow::Ok(verified)
    };
    let clients: Vec<Client> = clients(&target);
    let senders = clients
        .iter()
        .flat_map(|client| (0..CONNECTIONS).map(|first| send(client, first)));
    let verified: u64 = try_join_all(senders).await?.into_iter().sum();
    let per_address = VERIFIED_BURST + VERIFIED_PER_SECOND * (ATTACK_DURATION.as_secs() + 1);
    let max_verified = per_address * u64::from(ADDRESSES);
    ensure!(verified <= max_verified, "{verified} tokens were verified");
    ensure!(verified >= VERIFIED_BURST, "only {verified} were refused");
    Ok(())
}

/// Returns a client for each source address.
fn clients(target: &Target) -> Vec<Client> {
    (0..ADDRESSES)
        .map(|last| Client::from_address(&target.base, [127, 0, 1, last + 1].into()))
        .collect()
}

async fn invalid_first_frames(target: Target) -> Result<()> {
    let tokens = tokens(&target)?;
    let until = Instant::now() + ATTACK_DURATION;
    let clients = (0..SOCKETS).map(|first| {
        let (target, tokens) = (&target, &tokens);
        async move {
            let mut refused = 0;
            for token in tokens.iter().cycle().skip(first) {
                if Instant::now() > until {
                    break;
                }
                refused += u64::from(is_refused(target, token).await?);
            }
            anyhow::Ok(refused)
        }
    });
    let refused: u64 = try_join_all(clients).await?.into_iter().sum();
    let max_verified = VERIFIED_BURST + VERIFIED_PER_SECOND * (ATTACK_DURATION.as_secs() + 1);
    ensure!(refused <= max_verified, "{refused} tokens were verified");
    ensure!(refused > 0, "no token was verified");
    Ok(())
}

/// Opens a websocket and sends a token. Returns true if the token was verified and refused (4401),
/// and false if it was not verified (4001) or the websocket was refused (429).
async fn is_refused(target: &Target, token: &str) -> Result<bool> {
    let mut feed = match Feed::open_at(&target.base, "/order-events", None).await {
        Ok(feed) => feed,
        Err(error) => {
            ensure!(error.to_string().contains("429"), "{error:#}");
            return Ok(false);
        }
    };
    let frame = json!({ "type": "subscribe", "token": token });
    feed.say(&frame.to_string()).await?;
    loop {
        match feed.receive().await? {
            Received::Closed(4401) => return Ok(true),
            Received::Closed(4001) => return Ok(false),
            Received::Closed(code) => anyhow::bail!("closed with {code}"),
            Received::Frame(_) => {}
        }
    }
}

async fn probes(target: Target) -> Result<()> {
    let clients: Vec<Client> = clients(&target);
    for path in PROBES {
        let until = Instant::now() + ATTACK_DURATION;
        let send = async |client: &Client| {
            while Instant::now() < until {
                let answer = client.get(path).await?;
                ensure!(answer.status == 200, "{path}: {}", answer.status);
            }
            Ok(())
        };
        let senders = clients
            .iter()
            .flat_map(|client| (0..CONNECTIONS).map(|_| send(client)));
        try_join_all(senders).await?;
    }
    Ok(())
}
