//! Callers of the API, one for each role and each kind of invalid token.

use serde_json::{Value, json};

use crate::issuer::{Issuer, claims};

const READ_AND_WRITE: &str = "orders:read orders:write";

/// Role of a caller towards the orders of the owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Caller without a token, or with one that is invalid.
    Unauthenticated,
    /// Caller with a valid token that grants nothing here.
    Unauthorized,
    /// Caller of the owner's tenant, with the scope to read.
    Reader,
    /// Caller of the owner's tenant, with the scope to write.
    Writer,
    /// Caller of the owner's tenant, with both scopes.
    Member,
    /// Caller of another tenant, with both scopes.
    Outsider,
    /// Caller with the scope of operators.
    Operator,
}

/// Caller with its token.
pub struct Caller {
    /// Name of the caller, for failure messages.
    pub name: &'static str,
    /// Token; empty for the caller without one.
    pub token: String,
    /// Role.
    pub role: Role,
}

/// Returns callers of every role. The orders of the caller `owner` belong to the tenant `north`.
#[must_use]
pub fn callers(issuer: &Issuer) -> Vec<Caller> {
    let member = |subject: &str, scope: &str| {
        let mut claims = claims(subject, scope);
        claims["tenant"] = json!("north");
        claims
    };
    let sign = |claims: &Value| issuer.sign(claims).expect("a token");
    let changed = |name: &str, value: Value| {
        let mut claims = member("ada", READ_AND_WRITE);
        claims[name] = value;
        sign(&claims)
    };
    let good = sign(&member("ada", READ_AND_WRITE));
    let unsigned = {
        let claims = good.split('.').nth(1).expect("claims");
        // {"alg":"none","typ":"JWT"}
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")
    };
    let other_issuer = Issuer::new().expect("another issuer");
    let invalid = [
        ("no token", String::new()),
        ("expired", changed("exp", json!(1_700_000_000))),
        ("wrong audience", changed("aud", json!("others"))),
        ("wrong issuer", changed("iss", json!("https://other"))),
        ("not yet valid", changed("nbf", json!(4_000_000_000_u64))),
        ("no subject", changed("sub", Value::Null)),
        ("algorithm none", unsigned),
        (
            "key of another issuer",
            other_issuer
                .sign(&member("ada", READ_AND_WRITE))
                .expect("a token"),
        ),
        (
            "public key as a shared secret",
            issuer
                .sign_with_public_key(&member("ada", READ_AND_WRITE))
                .expect("a token"),
        ),
        ("nonsense", "a.b.c".to_owned()),
    ];
    let outsider = |subject: &str| {
        let mut claims = claims(subject, READ_AND_WRITE);
        claims["tenant"] = json!("south");
        sign(&claims)
    };
    let valid = [
        (
            "no scope",
            sign(&member("ada", "other")),
            Role::Unauthorized,
        ),
        (
            "no tenant",
            sign(&claims("ada", READ_AND_WRITE)),
            Role::Unauthorized,
        ),
        ("reader", sign(&member("ada", "orders:read")), Role::Reader),
        ("writer", sign(&member("ada", "orders:write")), Role::Writer),
        ("another tenant", outsider("bob"), Role::Outsider),
        (
            "same subject, another tenant",
            outsider("ada"),
            Role::Outsider,
        ),
        ("owner", good.clone(), Role::Member),
        (
            "colleague",
            sign(&member("eve", READ_AND_WRITE)),
            Role::Member,
        ),
        (
            "operator",
            sign(&claims("root", "orders:admin")),
            Role::Operator,
        ),
    ];
    let invalid = invalid.map(|(name, token)| (name, token, Role::Unauthenticated));
    let all = invalid.into_iter().chain(valid);
    all.map(|(name, token, role)| Caller { name, token, role })
        .collect()
}
