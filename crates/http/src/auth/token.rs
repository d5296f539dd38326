//! Bearer tokens: JSON Web Tokens (RFC 7519), signed by the issuer's keys.

use std::time::Duration;

use bakehouse_engine::Timestamp;
use jsonwebtoken::Algorithm;

use super::Principal;
use super::claims::Claims;
use super::jws::Jws;
use super::key_set::KeySet;
use super::keys::{KeySource, Keys};
use super::refusal::{self, TokenRefusal};
use crate::api_definition::ApiDefinition;
use crate::response::problem::Problem;

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
/// Name that RFC 9864 gives to EdDSA with the one curve that is known here.
const ED25519: &str = "Ed25519";

/// The algorithm of a name. Those with a shared secret are not known: whoever
/// could check such a token could also make one.
///
/// # Errors
/// [`UnknownAlgorithm`].
pub fn algorithm(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
    known_algorithm(name).ok_or_else(|| UnknownAlgorithm(name.to_owned()))
}

/// The algorithm of a name, if it is one of public keys.
pub(super) fn known_algorithm(name: &str) -> Option<Algorithm> {
    if name == ED25519 {
        return Some(Algorithm::EdDSA);
    }
    NAMES.contains(&name).then(|| name.parse().ok()).flatten()
}

/// Believes tokens, or not.
pub(super) struct Verifier {
    api: ApiDefinition,
    settings: TokenSettings,
    keys: Keys,
}

impl Verifier {
    pub(super) fn new(settings: TokenSettings, api: ApiDefinition) -> Self {
        let keys = Keys::new(settings.keys.clone(), settings.keys_lifetime);
        Self {
            api,
            settings,
            keys,
        }
    }

    /// Who the bearer of this token is.
    ///
    /// # Errors
    /// 401 for a token that is not to be believed, with the check that it fails; 403 for one
    /// that does not name its owner; 503 when the issuer's keys cannot be had.
    pub(super) async fn verify(&self, token: &str) -> Result<Principal, Problem> {
        let refused = |refusal: TokenRefusal| {
            refusal.record();
            Problem::invalid_token(refusal)
        };
        let token = Jws::parse(token).map_err(refused)?;
        if !self.settings.algorithms.contains(&token.algorithm) {
            return Err(refused(TokenRefusal::Algorithm));
        }
        self.check_signature(&token).await?.map_err(refused)?;
        let payload = token.payload().map_err(refused)?;
        let claims = Claims::check(&payload, &self.settings, Timestamp::now()).map_err(refused)?;
        self.principal(&claims)
    }

    /// Looks for a key that has signed it; once more among newer keys, where the issuer may
    /// have changed them.
    async fn check_signature(&self, token: &Jws<'_>) -> Result<Result<(), TokenRefusal>, Problem> {
        let known = self.keys.current().await?;
        let checked = check_signature(token, &known);
        if !checked.is_worth_newer_keys {
            return Ok(checked.outcome);
        }
        let newer = self.keys.newer_than(&known).await;
        let checked = newer.map_or(checked, |newer| check_signature(token, &newer));
        Ok(checked.outcome)
    }

    fn principal(&self, claims: &Claims<'_>) -> Result<Principal, Problem> {
        let scopes = claims.scopes(&self.api);
        let owner = match self.settings.owner_claim.as_str() {
            "sub" => Some(claims.subject.clone()),
            claim => claims.text(claim),
        };
        let owner = owner.filter(|owner| !owner.is_empty());
        if owner.is_none() && !scopes.admin {
            let claim = &self.settings.owner_claim;
            let detail = format!("the token has no claim {claim:?} that says whose it is");
            refusal::record(refusal::OWNER, &detail);
            return Err(Problem::forbidden(detail));
        }
        // One that is believed only because clocks differ: a feed that it opens is not to
        // be closed at once.
        let is_over = claims.expires_at <= Timestamp::now();
        let expires_at = match is_over {
            true => claims.expires_at.after(self.settings.leeway),
            false => claims.expires_at,
        };
        let subject = claims.subject.clone();
        Ok(Principal::named(subject, owner, scopes, expires_at).through(claims.actor()))
    }
}

/// Outcome of a look for the key that has signed a token.
struct Checked {
    outcome: Result<(), TokenRefusal>,
    /// True if a newer key set may have the key.
    is_worth_newer_keys: bool,
}

fn check_signature(token: &Jws<'_>, keys: &KeySet) -> Checked {
    let found = keys.candidates(token.key_id.as_deref(), token.algorithm);
    let is_signed = found.keys.iter().any(|key| token.is_signed_with(key));
    let outcome = match () {
        () if is_signed => Ok(()),
        () if !found.keys.is_empty() => Err(TokenRefusal::Signature),
        () if found.is_by_id => Err(TokenRefusal::Algorithm),
        () => Err(TokenRefusal::UnknownKey),
    };
    Checked {
        is_worth_newer_keys: outcome.is_err() && !found.is_by_id,
        outcome,
    }
}
