//! Whom api-server believes: bearer tokens and their issuer.

use std::time::Duration;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::load;
use crate::UrlOrFile;

/// Bearer tokens. Without `jwks` nobody is asked for one.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Auth {
    /// Where the issuer's public keys are: a URL, or a file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks: Option<UrlOrFile>,
    /// The tokens' issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Whom the tokens must be for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// How tokens may be signed.
    #[serde(deserialize_with = "load::list")]
    pub algorithms: Vec<String>,
    /// The claim that says whose orders a token is for.
    pub owner_claim: String,
    /// By how much the clocks may differ.
    #[serde(with = "humantime_serde")]
    pub leeway: Duration,
    /// How long keys are used without looking for newer ones.
    #[serde(with = "humantime_serde")]
    pub keys_lifetime: Duration,
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
            keys_lifetime: Duration::from_secs(300),
        }
    }
}

impl Auth {
    /// Whether everybody is asked who they are.
    #[must_use]
    pub fn is_on(&self) -> bool {
        self.jwks.is_some()
    }

    pub(super) fn check(&self) -> Result<()> {
        let (has_issuer, has_audience) = (self.issuer.is_some(), self.audience.is_some());
        if let Some(UrlOrFile::Url(url)) = &self.jwks {
            ensure!(
                url.is_protected(),
                "auth.jwks: expected https://, or a server on this machine: over http:// anybody \
                 on the way could put keys of their own there; use https://, or a file"
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
                 nobody would be asked for a token"
            );
        }
        Ok(())
    }
}
