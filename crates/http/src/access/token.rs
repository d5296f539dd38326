//! Bearer tokens: JSON Web Tokens (RFC 7519), signed by the issuer's keys.

use std::time::Duration;

use bakehouse_pipeline::Timestamp;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::keys::{KeySource, Keys};
use super::principal::Scopes;
use super::{Principal, Scope};
use crate::menu::Menu;
use crate::problem::Problem;

/// What a token must be.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// Its `iss`.
    pub issuer: String,
    /// What must be among its `aud`.
    pub audience: String,
    /// How it may be signed; only ever with public keys.
    pub algorithms: Vec<Algorithm>,
    /// The claim that says what the bearer may see and change.
    pub owner_claim: String,
    /// By how much the clocks may differ.
    pub leeway: Duration,
    /// Where the issuer's keys are.
    pub keys: KeySource,
    /// How long they may be used without looking for newer ones.
    pub keys_lifetime: Duration,
}

/// No algorithm of public keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no algorithm that tokens may be signed with; known are {names}", names = NAMES.join(", "))]
pub struct UnknownAlgorithm(String);

const NAMES: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];

/// The algorithm of a name. Those with a shared secret are not known: whoever
/// could check such a token could also make one.
///
/// # Errors
/// [`UnknownAlgorithm`].
pub fn algorithm(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
    let known = NAMES.contains(&name).then(|| name.parse().ok()).flatten();
    known.ok_or_else(|| UnknownAlgorithm(name.to_owned()))
}

/// Believes tokens, or not.
pub(super) struct Verifier {
    menu: Menu,
    settings: TokenSettings,
    keys: Keys,
}

impl Verifier {
    pub(super) fn new(settings: TokenSettings, menu: Menu) -> Self {
        let keys = Keys::new(settings.keys.clone(), settings.keys_lifetime);
        Self {
            menu,
            settings,
            keys,
        }
    }

    /// Who the bearer of this token is.
    ///
    /// # Errors
    /// 401 for a token that is not to be believed, without saying more than an
    /// honest client needs; 503 when the issuer's keys cannot be had.
    pub(super) async fn verify(&self, token: &str) -> Result<Principal, Problem> {
        let invalid = |error: jsonwebtoken::errors::Error| {
            tracing::debug!("a token is refused: {error}");
            Problem::invalid_token()
        };
        let head = decode_header(token).map_err(invalid)?;
        if !self.settings.algorithms.contains(&head.alg) {
            return Err(Problem::invalid_token());
        }
        let key = self.keys.find(head.kid.as_deref()).await?;
        let key = key.ok_or_else(Problem::invalid_token)?;
        let decoded = decode::<Claims>(token, &key, &self.validation(head.alg)).map_err(invalid)?;
        self.principal(decoded.claims)
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        // The one that the header names, which is one of those allowed.
        let mut validation = Validation::new(algorithm);
        validation.leeway = self.settings.leeway.as_secs();
        validation.validate_nbf = true;
        validation.set_issuer(&[&self.settings.issuer]);
        validation.set_audience(&[&self.settings.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        validation
    }

    fn principal(&self, claims: Claims) -> Result<Principal, Problem> {
        let scopes = claims.scopes(&self.menu);
        let actor = claims.actor();
        let owner = if self.settings.owner_claim == "sub" {
            Some(claims.sub.clone())
        } else {
            let claim = claims.others.get(&self.settings.owner_claim);
            claim.and_then(Value::as_str).map(str::to_owned)
        };
        let owner = owner.filter(|owner| !owner.is_empty());
        if owner.is_none() && !scopes.admin {
            let claim = &self.settings.owner_claim;
            let detail = format!("the token has no claim {claim:?} that says whose it is");
            return Err(Problem::forbidden(detail));
        }
        let mut millis = claims.exp.saturating_mul(1_000);
        // One that is believed only because clocks differ: a feed that it opens is not to
        // be closed at once.
        if millis <= Timestamp::now().millis() {
            let leeway = self.settings.leeway.as_millis().try_into();
            millis = millis.saturating_add(leeway.unwrap_or(i64::MAX));
        }
        let expires_at = Timestamp::from_millis(millis).ok_or_else(Problem::invalid_token)?;
        Ok(Principal::named(claims.sub, owner, scopes, expires_at).through(actor))
    }
}

#[derive(Deserialize)]
struct Claims {
    sub: String,
    exp: i64,
    #[serde(flatten)]
    others: Map<String, Value>,
}

impl Claims {
    /// Who acts in the subject's stead (RFC 8693, section 4.1), where that is said by
    /// a subject's name.
    fn actor(&self) -> Option<String> {
        let actor = self.others.get("act")?.get("sub")?;
        actor.as_str().map(str::to_owned)
    }

    /// From `scope` (RFC 8693: names with blanks in between) or, as some issuers
    /// write it, `scp`; either may be an array.
    fn scopes(&self, menu: &Menu) -> Scopes {
        let claims = ["scope", "scp"].map(|name| self.others.get(name));
        let mut scopes = Scopes::default();
        for claim in claims.into_iter().flatten() {
            let names: Vec<&str> = match claim {
                Value::String(names) => names.split(' ').collect(),
                Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            let has = |scope| names.contains(&menu.scope(scope).as_str());
            scopes.read |= has(Scope::Read);
            scopes.write |= has(Scope::Write);
            scopes.admin |= has(Scope::Admin);
        }
        scopes
    }
}
