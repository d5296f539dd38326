//! Who may do what: from a bearer token to a [`Principal`].
//!
//! - `guard`: stands before every route, and lets through who may pass;
//! - `token`: what a token must be to be believed;
//! - `jws`, `claims`: its header and signature, and what it says;
//! - `keys`, `key_set`: the issuer's public keys, kept fresh;
//! - `refusal`: why one is refused;
//! - `principal`: who is asking, and what they may see;
//! - `rate`: how often they may ask;
//! - `client_address`: the address they ask from, behind trusted proxies as well.

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

pub(crate) use client_address::counted_as;
pub use client_address::{Network, TrustedProxies};
pub use keys::KeySource;
pub(crate) use principal::MaybePrincipal;
pub use principal::{Principal, Scope};
pub use rate::RateLimitKey;
pub use rate::RateSettings;
pub use token::{TokenSettings, UnknownAlgorithm, algorithm};

use std::time::Duration;

use rate::Limiter;
use token::Verifier;

use crate::api_definition::ApiDefinition;
use crate::limits::Leaky;
use crate::response::problem::Problem;
use crate::state::AppState;

/// How access is decided.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// What tokens must be; without it nobody is asked for one.
    pub tokens: Option<TokenSettings>,
    /// How often each principal may ask; without it as often as they like.
    pub rate: Option<RateSettings>,
}

/// Invalid tokens of one address that are looked at within [`FAILURES_PERIOD`]: enough for
/// clients behind one address that renew theirs late, and too few to cost anything.
const MAX_FAILURES: u32 = 100;
/// Time after which that many invalid tokens of an address are forgotten.
const FAILURES_PERIOD: Duration = Duration::from_secs(10);

/// Decides on access, for all threads that answer.
pub(crate) struct Access {
    api: ApiDefinition,
    verifier: Option<Verifier>,
    limiter: Option<Limiter>,
    /// Invalid tokens, by the address that they came from.
    failures: Leaky<RateLimitKey>,
}

impl Access {
    pub(crate) fn new(settings: AccessSettings, api: &ApiDefinition) -> Self {
        let verifier = |tokens| Verifier::new(tokens, api.clone());
        Self {
            api: api.clone(),
            verifier: settings.tokens.map(verifier),
            limiter: settings.rate.map(|rate| Limiter::new(&rate)),
            failures: Leaky::new(MAX_FAILURES, FAILURES_PERIOD),
        }
    }

    /// Who the bearer of this token is; anybody, where nobody is asked.
    ///
    /// # Errors
    /// When it is not to be believed, or that cannot be found out now; 429, before it is
    /// looked at, when too many from the same address were not.
    pub(crate) async fn verify(
        &self,
        token: &str,
        address: &RateLimitKey,
    ) -> Result<Principal, Problem> {
        let Some(verifier) = &self.verifier else {
            return Ok(Principal::anybody());
        };
        if let Some(seconds) = self.failures.wait_of(address) {
            return Err(Problem::too_many_failures(seconds));
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

/// What may be anybody's is for operators alone to see and to settle.
///
/// # Errors
/// 403 for those who may see but their own.
pub fn operators_only(principal: &Principal, state: &AppState) -> Result<(), Problem> {
    if principal.confined_to().is_none() {
        return Ok(());
    }
    Err(lacks(&state.api, Scope::Admin))
}

/// The refusal of a token without this scope, counted.
pub(crate) fn lacks(api: &ApiDefinition, scope: Scope) -> Problem {
    let scope = api.scope(scope);
    refusal::record(
        refusal::SCOPE,
        &format!("the token lacks the scope {scope}"),
    );
    Problem::insufficient_scope(&scope)
}
