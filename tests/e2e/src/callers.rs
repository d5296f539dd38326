//! Callers of every kind, with the tokens that make them so.

use serde_json::{Value, json};

use crate::issuer::{Issuer, claims};

const BOTH: &str = "orders:read orders:write";

/// Kind of caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Caller without a token, or with one that is invalid.
    Unknown,
    /// Caller with a valid token that grants nothing here.
    Powerless,
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

/// A kind of caller with its token.
pub struct Caller {
    /// Name of the kind.
    pub name: &'static str,
    /// Token; empty where there is none.
    pub token: String,
    /// Kind.
    pub standing: Standing,
}

/// One of each kind. The orders of `owner` belong to the tenant `north`.
#[must_use]
pub fn callers(issuer: &Issuer) -> Vec<Caller> {
    let member = |subject: &str, scope: &str| {
        let mut claims = claims(subject, scope);
        claims["tenant"] = json!("north");
        claims
    };
    let sign = |claims: &Value| issuer.sign(claims).expect("a token");
    let changed = |name: &str, value: Value| {
        let mut claims = member("ada", BOTH);
        claims[name] = value;
        sign(&claims)
    };
    let good = sign(&member("ada", BOTH));
    let unsigned = {
        let claims = good.split('.').nth(1).expect("claims");
        // {"alg":"none","typ":"JWT"}
        format!("eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.{claims}.")
    };
    let stranger = Issuer::new().expect("another issuer");
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
            stranger.sign(&member("ada", BOTH)).expect("a token"),
        ),
        (
            "public key as a shared secret",
            issuer
                .sign_with_public_key(&member("ada", BOTH))
                .expect("a token"),
        ),
        ("nonsense", "a.b.c".to_owned()),
    ];
    let outsider = |subject: &str| {
        let mut claims = claims(subject, BOTH);
        claims["tenant"] = json!("south");
        sign(&claims)
    };
    let valid = [
        (
            "no scope",
            sign(&member("ada", "other")),
            Standing::Powerless,
        ),
        ("no tenant", sign(&claims("ada", BOTH)), Standing::Powerless),
        (
            "reader",
            sign(&member("ada", "orders:read")),
            Standing::Reader,
        ),
        (
            "writer",
            sign(&member("ada", "orders:write")),
            Standing::Writer,
        ),
        ("another tenant", outsider("bob"), Standing::Outsider),
        (
            "same subject, another tenant",
            outsider("ada"),
            Standing::Outsider,
        ),
        ("owner", good.clone(), Standing::Member),
        ("colleague", sign(&member("eve", BOTH)), Standing::Member),
        (
            "operator",
            sign(&claims("root", "orders:admin")),
            Standing::Operator,
        ),
    ];
    let invalid = invalid.map(|(name, token)| (name, token, Standing::Unknown));
    let all = invalid.into_iter().chain(valid);
    all.map(|(name, token, standing)| Caller {
        name,
        token,
        standing,
    })
    .collect()
}
