//! Names of the supported signature algorithms.

use jsonwebtoken::Algorithm;

/// Name that is not a supported signature algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unsupported signature algorithm {0:?}; supported: {names}", names = NAMES.join(", "))]
pub struct UnknownAlgorithm(String);

const NAMES: [&str; 9] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
];
/// Name of EdDSA with the only supported curve (RFC 9864).
const ED25519: &str = "Ed25519";

/// Parses the name of a signature algorithm. Algorithms with a shared secret are not supported:
/// their verification key can also sign tokens.
///
/// # Errors
/// [`UnknownAlgorithm`] if the algorithm is not supported.
pub fn parse_algorithm(name: &str) -> Result<Algorithm, UnknownAlgorithm> {
    known_algorithm(name).ok_or_else(|| UnknownAlgorithm(name.to_owned()))
}

/// Parses the name of a signature algorithm; `None` if it is not supported.
pub(super) fn known_algorithm(name: &str) -> Option<Algorithm> {
    if name == ED25519 {
        return Some(Algorithm::EdDSA);
    }
    NAMES.contains(&name).then(|| name.parse().ok()).flatten()
}
