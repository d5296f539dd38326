//! Section `auth`: bearer tokens and their issuer.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::values;
use crate::UrlOrFile;

/// Settings of bearer tokens. Without `jwks` no token is required.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Public keys of the issuer: a URL, or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<UrlOrFile>,
    /// Issuer of the tokens (`iss`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Audience that tokens must name (`aud`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// Signature algorithms that are accepted.
    #[serde(deserialize_with = "values::list")]
    pub algorithms: Vec<String>,
    /// Claim whose value is the owner of orders.
    pub owner_claim: String,
    /// Allowed difference between the clocks of issuer and server.
    #[serde(with = "humantime_serde")]
    pub leeway: Duration,
    /// Time for which fetched keys are cached.
    #[serde(with = "humantime_serde", alias = "keys_lifetime")]
    pub jwks_cache_ttl: Duration,
}

impl Default for Auth {
    fn default() -> Self {
        Self {
            jwks: None,
            issuer: None,
            audience: None,
            algorithms: ["RS256", "ES256", "EdDSA"].map(str::to_owned).into(),
            owner_claim: "sub".into(),
            leeway: Duration::from_secs(5),
            jwks_cache_ttl: Duration::from_secs(300),
        }
    }
}

impl Auth {
    /// True if every request needs a token.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.jwks.is_some()
    }

    pub(super) fn check(&self) -> Result<()> {
        let (has_issuer, has_audience) = (self.issuer.is_some(), self.audience.is_some());
        if let Some(UrlOrFile::Url(url)) = &self.jwks {
            ensure!(
                url.is_protected(),
                "auth.jwks: expected https://, or a server on this machine: over http:// \
                 an attacker on the network path could replace the keys; use https://, or a file"
            );
        }
        if self.is_on() {
            ensure!(has_issuer, "auth.issuer: required where auth.jwks is set");
            ensure!(
                has_audience,
                "auth.audience: required where auth.jwks is set"
            );
            ensure!(
                !self.algorithms.is_empty(),
                "auth.algorithms: expected at least one, such as RS256"
            );
        } else {
            ensure!(
                !has_issuer && !has_audience,
                "auth.jwks: required where auth.issuer or auth.audience is set; without it \
                 no token would be required"
            );
        }
        Ok(())
    }
}
