//! Requests that are refused, or that anybody may send, as fast as they are answered.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bakehouse_e2e::feed::Received;
use bakehouse_e2e::issuer::{bearer, claims};
use bakehouse_e2e::{Client, Feed, Issuer};
use futures_util::FutureExt;
use futures_util::future::try_join_all;
use serde_json::json;

use crate::attack::{Access, Attack, Bounds, nothing};
use crate::target::Target;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
/// Time for which the requests come.
const PERIOD: Duration = Duration::from_secs(5);
/// Addresses that the requests come from.
const ADDRESSES: u8 = 8;
/// Connections from each of them.
const CONNECTIONS: usize = 8;
/// Longest that another client may wait meanwhile.
pub(super) const CONCURRENT_WAIT: Option<Duration> = Some(Duration::from_secs(1));

/// Invalid tokens of an address that may be verified: at once, and each second.
const VERIFIED_AT_ONCE: u64 = 100;
const VERIFIED_PER_SECOND: u64 = 10;
/// Clients that open websockets, one after the other.
const SOCKETS: usize = 50;
/// Calls that need no token.
const PROBES: [&str; 3] = ["/health/live", "/health/ready", "/metrics"];

pub(super) fn attacks() -> Vec<Attack> {
    let connections = u64::from(ADDRESSES) * CONNECTIONS as u64;
    let bounds = Bounds {
        memory: Some(32 * MIB),
        // A client opens another connection where it does not want to wait for the first.
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
                // One that is open, and one that is being closed.
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
                // Readiness is looked up once a second, with some writes of 64 KiB.
                written: Some(PERIOD.as_secs() * PROBES.len() as u64 * 512 * KIB),
                ..bounds
            },
        },
    ]
}

/// Tokens that are invalid for one reason each.
fn tokens(target: &Target) -> Result<Vec<String>> {
    let stranger = Issuer::new()?;
    let good = target.token(&claims("ada", "orders:read"))?;
    let mut past = claims("ada", "orders:read");
    past["exp"] = 1_000_000_000.into();
    let (signed, _) = good.rsplit_once('.').unwrap_or_default();
    Ok(vec![
        "x".repeat(4 * 1024),
        // {"alg":"none"}
        "eyJhbGciOiJub25lIn0.e30.".to_owned(),
        // The signature is of the right length.
        format!("{signed}.{}", "A".repeat(86)),
        stranger.token("ada", "orders:read")?,
        target.token(&past)?,
    ])
}

async fn invalid_tokens(target: Target) -> Result<()> {
    let tokens: Vec<String> = tokens(&target)?.iter().map(|one| bearer(one)).collect();
    let until = Instant::now() + PERIOD;
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
    let each = VERIFIED_AT_ONCE + VERIFIED_PER_SECOND * (PERIOD.as_secs() + 1);
    let most = each * u64::from(ADDRESSES);
    ensure!(verified <= most, "{verified} tokens were verified");
    ensure!(verified >= VERIFIED_AT_ONCE, "only {verified} were refused");
    Ok(())
}

/// A client from each address.
fn clients(target: &Target) -> Vec<Client> {
    (0..ADDRESSES)
        .map(|last| Client::from_address(&target.base, [127, 0, 1, last + 1].into()))
        .collect()
}

async fn invalid_first_frames(target: Target) -> Result<()> {
    let tokens = tokens(&target)?;
    let until = Instant::now() + PERIOD;
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
    let most = VERIFIED_AT_ONCE + VERIFIED_PER_SECOND * (PERIOD.as_secs() + 1);
    ensure!(refused <= most, "{refused} tokens were verified");
    ensure!(refused > 0, "no token was verified");
    Ok(())
}

/// Opens a websocket and shows the token: true if it was verified and refused (4401), false if
/// it was not looked at (4001), or the websocket was not opened (429).
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
        let until = Instant::now() + PERIOD;
        let ask = async |client: &Client| {
            while Instant::now() < until {
                let answer = client.get(path).await?;
                ensure!(answer.status == 200, "{path}: {}", answer.status);
            }
            Ok(())
        };
        let senders = clients
            .iter()
            .flat_map(|client| (0..CONNECTIONS).map(|_| ask(client)));
        try_join_all(senders).await?;
    }
    Ok(())
}
