//! Settings of token verification.

use std::time::Duration;

use jsonwebtoken::Algorithm;

use super::keys::KeySource;

/// Requirements of a token, and the source of the keys that verify it.
#[derive(Clone, Debug)]
pub struct TokenSettings {
    /// Expected `iss`.
    pub issuer: String,
    /// Audience that `aud` must contain.
    pub audience: String,
    /// Accepted signature algorithms; asymmetric ones only.
    pub algorithms: Vec<Algorithm>,
    /// Claim that names the owner of the entities which the bearer may read and change.
    pub owner_claim: String,
    /// Tolerated difference between the clocks.
    pub leeway: Duration,
    /// Location of the issuer's keys.
    pub keys: KeySource,
    /// Age at which the keys are loaded again.
    pub jwks_cache_ttl: Duration,
}
