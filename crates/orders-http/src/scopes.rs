//! Token scopes of the orders API.

/// Prefix of the token scopes.
pub(crate) const SCOPES: &str = "orders";
