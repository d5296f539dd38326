//! Bearer tokens: JSON Web Tokens (RFC 7519), signed by the issuer's keys.

use bakehouse_engine::Timestamp;

use super::Principal;
use super::claims::Claims;
use super::jws::Jws;
use super::key_set::KeySet;
use super::keys::Keys;
use super::refusal::{self, TokenRefusal};
use super::token_settings::TokenSettings;
use crate::api_definition::ApiDefinition;
use crate::response::problem::Problem;

/// Verifies tokens.
pub(super) struct Verifier {
    api: ApiDefinition,
    settings: TokenSettings,
    keys: Keys,
}

impl Verifier {
    pub(super) fn new(settings: TokenSettings, api: ApiDefinition) -> Self {
        let keys = Keys::new(settings.keys.clone(), settings.jwks_cache_ttl);
        Self {
            api,
            settings,
            keys,
        }
    }

    /// Verifies a token and returns its principal.
    ///
    /// # Errors
    /// 401 with the failed check if the token is invalid; 403 if it does not name an owner; 503 if
    /// the issuer's keys are unavailable.
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

    /// Verifies the signature with the current keys and, if the issuer may have changed them, with
    /// newer ones.
    async fn check_signature(&self, token: &Jws<'_>) -> Result<Result<(), TokenRefusal>, Problem> {
        let current = self.keys.current().await?;
        let checked = check_signature(token, &current);
        if !checked.may_need_newer_keys {
            return Ok(checked.outcome);
        }
        let newer = self.keys.newer_than(&current).await;
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
            let detail = format!("the token has no claim {claim:?}, which names the owner");
            refusal::record(refusal::OWNER, &detail);
            return Err(Problem::forbidden(detail));
        }
        // A token that is valid only because of the leeway must not open a feed that is closed
        // at once.
        let is_over = claims.expires_at <= Timestamp::now();
        let expires_at = match is_over {
            true => claims.expires_at.after(self.settings.leeway),
            false => claims.expires_at,
        };
        let subject = claims.subject.clone();
        Ok(Principal::named(subject, owner, scopes, expires_at).with_actor(claims.actor()))
    }
}

/// Result of a signature check with one key set.
struct SignatureCheck {
    outcome: Result<(), TokenRefusal>,
    /// True if a newer key set may contain the key.
    may_need_newer_keys: bool,
}

fn check_signature(token: &Jws<'_>, keys: &KeySet) -> SignatureCheck {
    let found = keys.candidates(token.key_id.as_deref(), token.algorithm);
    let is_signed = found.keys.iter().any(|key| token.is_signed_with(key));
    let outcome = match () {
        () if is_signed => Ok(()),
        () if !found.keys.is_empty() => Err(TokenRefusal::Signature),
        () if found.is_by_id => Err(TokenRefusal::Algorithm),
        () => Err(TokenRefusal::UnknownKey),
    };
    SignatureCheck {
        may_need_newer_keys: outcome.is_err() && !found.is_by_id,
        outcome,
    }
}
