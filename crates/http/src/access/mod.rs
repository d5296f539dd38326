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
pub(crate) mod guard;
mod jws;
mod key_set;
mod keys;
mod principal;
mod rate;
pub(crate) mod refusal;
mod token;

pub(crate) use client_address::counted_as;
pub use client_address::{Network, TrustedProxies};
pub use keys::KeySource;
pub(crate) use principal::Visitor;
pub use principal::{Principal, Scope};
pub use rate::Caller;
pub use rate::RateSettings;
pub use token::{TokenSettings, UnknownAlgorithm, algorithm};

use rate::Limiter;
use token::Verifier;

use crate::menu::Menu;
use crate::problem::Problem;
use crate::server::Doors;

/// How access is decided.
#[derive(Clone, Debug, Default)]
pub struct AccessSettings {
    /// What tokens must be; without it nobody is asked for one.
    pub tokens: Option<TokenSettings>,
    /// How often each principal may ask; without it as often as they like.
    pub rate: Option<RateSettings>,
}

/// Decides on access, for all threads that answer.
pub(crate) struct Access {
    menu: Menu,
    verifier: Option<Verifier>,
    limiter: Option<Limiter>,
}

impl Access {
    pub(crate) fn new(settings: AccessSettings, menu: &Menu) -> Self {
        let verifier = |tokens| Verifier::new(tokens, menu.clone());
        Self {
            menu: menu.clone(),
            verifier: settings.tokens.map(verifier),
            limiter: settings.rate.map(|rate| Limiter::new(&rate)),
        }
    }

    /// Who the bearer of this token is; anybody, where nobody is asked.
    ///
    /// # Errors
    /// When it is not to be believed, or that cannot be found out now.
    pub(crate) async fn verify(&self, token: &str) -> Result<Principal, Problem> {
        match &self.verifier {
            Some(verifier) => verifier.verify(token).await,
            None => Ok(Principal::anybody()),
        }
    }
}

/// What may be anybody's is for operators alone to see and to settle.
///
/// # Errors
/// 403 for those who may see but their own.
pub fn operators_only(principal: &Principal, doors: &Doors) -> Result<(), Problem> {
    if principal.confined_to().is_none() {
        return Ok(());
    }
    Err(lacks(&doors.menu, Scope::Admin))
}

/// The refusal of a token without this scope, counted.
pub(crate) fn lacks(menu: &Menu, scope: Scope) -> Problem {
    let scope = menu.scope(scope);
    refusal::record(
        refusal::SCOPE,
        &format!("the token lacks the scope {scope}"),
    );
    Problem::insufficient_scope(&scope)
}
