//! Authentication and authorization: from a bearer token to a [`Principal`].
//!
//! - `middleware`: authentication, rate limit and scope check before every route;
//! - `token_settings` and `token`: requirements of tokens, and their verification;
//! - `algorithm`: names of the supported signature algorithms;
//! - `jws`, `claims`: a token's header and signature, and its claims;
//! - `keys`, `key_set`: the issuer's public keys and their refresh;
//! - `refusal`: reasons for which tokens are refused;
//! - `principal`: identity and permissions of a request's sender;
//! - `rate`: rate limits per principal or address;
//! - `client_address`: address of the client, also behind trusted proxies.

mod algorithm;
mod claims;
mod client_address;
mod jws;
mod key_set;
mod keys;
pub(crate) mod middleware;
mod principal;
mod rate;
pub(crate) mod refusal;
mod token;
mod token_settings;

pub use crate::exposure::{Network, TrustedProxies};
pub use algorithm::{UnknownAlgorithm, parse_algorithm};
pub(crate) use client_address::client_network;
pub use keys::KeySource;
pub(crate) use principal::MaybePrincipal;
pub use principal::{Principal, Scope};
pub use rate::RateLimitKey;
pub use rate::RateSettings;
pub use token_settings::TokenSettings;

use std::time::Duration;

use rate::Limiter;
use token::Verifier;

use crate::api_definition::ApiDefinition;
use crate::limits::LeakyBuckets;
use crate::response::problem::Problem;
use crate::state::AppState;

/// Settings of authentication and rate limits.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// Requirements of tokens; `None`: requests need no token.
    pub tokens: Option<TokenSettings>,
    /// Rate limit of each principal; `None`: unlimited.
    pub rate: Option<RateSettings>,
}

/// Maximum number of invalid tokens of one address that are verified within [`FAILURES_PERIOD`]:
/// enough for many clients behind one address that renew their tokens late.
const MAX_FAILURES: u32 = 100;
/// Time after which [`MAX_FAILURES`] invalid tokens of an address are forgotten.
const FAILURES_PERIOD: Duration = Duration::from_secs(10);

/// Token verification and rate limits, shared by all worker threads.
pub(crate) struct Access {
    api: ApiDefinition,
    verifier: Option<Verifier>,
    limiter: Option<Limiter>,
    /// Counts of invalid tokens, by client address.
    failures: LeakyBuckets<RateLimitKey>,
}

impl Access {
    pub(crate) fn new(settings: AccessSettings, api: &ApiDefinition) -> Self {
        let verifier = |tokens| Verifier::new(tokens, api.clone());
        Self {
            api: api.clone(),
            verifier: settings.tokens.map(verifier),
            limiter: settings.rate.map(|rate| Limiter::new(&rate)),
            failures: LeakyBuckets::new(MAX_FAILURES, FAILURES_PERIOD),
        }
    }

    /// Verifies a token and returns its principal; an anonymous one if no token is required.
    ///
    /// # Errors
    /// 401 or 403 if the token is invalid; 503 if it cannot be verified now; 429 without
    /// verification if too many tokens from the same address were invalid.
    pub(crate) async fn verify(
        &self,
        token: &str,
        address: &RateLimitKey,
    ) -> Result<Principal, Problem> {
        let Some(verifier) = &self.verifier else {
            return Ok(Principal::anonymous());
        };
        if let Some(seconds) = self.failures.wait_of(address) {
            return Err(Problem::too_many_invalid_tokens(seconds));
        }
        let verified = verifier.verify(token).await;
        if let Err(problem) = &verified
            && problem.is_unauthenticated()
        {
            self.failures.add(address.clone());
        }
        verified
    }
}

/// Requires an operator: a principal that is not restricted to an owner.
///
/// # Errors
/// 403 if the principal lacks the scope `admin`.
pub fn require_operator(principal: &Principal, state: &AppState) -> Result<(), Problem> {
    if principal.restricted_to_owner().is_none() {
        return Ok(());
    }
    Err(lacks(&state.api, Scope::Admin))
}

/// Returns the problem of a token without this scope, and records the refusal.
pub(crate) fn lacks(api: &ApiDefinition, scope: Scope) -> Problem {
    let scope = api.scope(scope);
    refusal::record(
        refusal::SCOPE,
        &format!("the token lacks the scope {scope}"),
    );
    Problem::insufficient_scope(&scope)
}
