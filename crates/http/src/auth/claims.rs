//! Claims of a token (RFC 7519) whose signature has been verified.

use bakehouse_engine::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;

use super::Scope;
use super::jws::Object;
use super::principal::Scopes;
use super::refusal::TokenRefusal;
use super::token_settings::TokenSettings;
use crate::api_definition::ApiDefinition;

/// Latest expiry, to which later ones are clamped: the end of the year 9999, in milliseconds.
const MAX_EXPIRY_MILLIS: f64 = 253_402_300_799_999.0;

/// Claims that are valid now, from the expected issuer, for the expected audience.
pub(super) struct Claims<'a> {
    /// Subject of the token.
    pub(super) subject: String,
    /// Expiry, without the leeway.
    pub(super) expires_at: Timestamp,
    members: Object<'a>,
}

impl<'a> Claims<'a> {
    /// Parses the claims, and checks those that every token must have.
    ///
    /// # Errors
    /// [`TokenRefusal`] of the first check that fails.
    pub(super) fn check(
        payload: &'a [u8],
        settings: &TokenSettings,
        now: Timestamp,
    ) -> Result<Self, TokenRefusal> {
        let why = "its claims are not a JSON object with unique members";
        let members = Object::parse(payload, why)?;
        let issuer = members.optional_text("iss", "its iss is not text")?;
        if issuer.as_deref() != Some(settings.issuer.as_str()) {
            return Err(TokenRefusal::Issuer);
        }
        if !has_audience(members.get("aud"), &settings.audience) {
            return Err(TokenRefusal::Audience);
        }
        let leeway = settings.leeway.as_secs_f64();
        let now = seconds(now);
        let date = |name, why| {
            let date = members.get(name).map(numeric_date);
            date.map(|date| date.ok_or(TokenRefusal::Malformed(why)))
                .transpose()
        };
        let expiry = date("exp", "its exp is not a number")?;
        let expiry = expiry.ok_or(TokenRefusal::Malformed("it has no exp"))?;
        if expiry + leeway <= now {
            return Err(TokenRefusal::Expired);
        }
        if date("nbf", "its nbf is not a number")?.is_some_and(|start| start > now + leeway) {
            return Err(TokenRefusal::NotYetValid);
        }
        // Only its form is checked: it is informational (RFC 7519, section 4.1.6).
        date("iat", "its iat is not a number")?;
        let subject = members.optional_text("sub", "its sub is not text")?;
        let subject = subject.filter(|subject| !subject.is_empty());
        Ok(Self {
            subject: subject.ok_or(TokenRefusal::Malformed("it has no sub"))?,
            expires_at: timestamp(expiry),
            members,
        })
    }

    /// Returns a claim that is a string.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.members.optional_text(name, "").ok().flatten()
    }

    /// Returns the subject of the party that acts on behalf of the token's subject (RFC 8693,
    /// section 4.1).
    pub(super) fn actor(&self) -> Option<String> {
        let actor = self.value("act")?;
        actor.get("sub")?.as_str().map(str::to_owned)
    }

    /// Returns the scopes from `scope` (RFC 8693: names separated by spaces) and `scp`, which some
    /// issuers use instead; either may be an array.
    pub(super) fn scopes(&self, api: &ApiDefinition) -> Scopes {
        let mut scopes = Scopes::default();
        for claim in ["scope", "scp"].iter().filter_map(|name| self.value(name)) {
            let names: Vec<&str> = match &claim {
                Value::String(names) => names.split(' ').collect(),
                Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            let has = |scope| names.contains(&api.scope(scope).as_str());
            scopes.read |= has(Scope::Read);
            scopes.write |= has(Scope::Write);
            scopes.admin |= has(Scope::Admin);
        }
        scopes
    }

    fn value(&self, name: &str) -> Option<Value> {
        serde_json::from_str(self.members.get(name)?.get()).ok()
    }
}

/// Checks whether the audience is the claim, or one of an array of strings.
fn has_audience(claim: Option<&RawValue>, audience: &str) -> bool {
    let claim = claim.and_then(|claim| serde_json::from_str::<Value>(claim.get()).ok());
    match claim {
        Some(Value::String(one)) => one == audience,
        Some(Value::Array(all)) => {
            all.iter().all(Value::is_string) && all.iter().any(|one| one == audience)
        }
        _ => false,
    }
}

/// Parses a NumericDate (RFC 7519, section 2) to seconds since 1970: any JSON number, with a
/// fraction or an exponent, of any size. `None` if the claim is not a number.
fn numeric_date(claim: &RawValue) -> Option<f64> {
    let text = claim.get();
    let is_number = text.starts_with(|c: char| c == '-' || c.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

#[expect(clippy::cast_precision_loss, reason = "exact for 285,000 years")]
fn seconds(time: Timestamp) -> f64 {
    time.millis() as f64 / 1_000.0
}

/// Converts seconds since 1970, clamped to [`MAX_EXPIRY_MILLIS`].
#[expect(clippy::cast_possible_truncation, reason = "within bounds")]
fn timestamp(seconds: f64) -> Timestamp {
    let millis = (seconds * 1_000.0).floor().clamp(0.0, MAX_EXPIRY_MILLIS);
    Timestamp::from_millis(millis as i64).unwrap_or_else(Timestamp::now)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::json;

    use super::super::KeySource;
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn settings() -> TokenSettings {
        TokenSettings {
            issuer: "i".into(),
            audience: "a".into(),
            algorithms: Vec::new(),
            owner_claim: "sub".into(),
            leeway: Duration::from_secs(5),
            keys: KeySource::File("keys.json".into()),
            jwks_cache_ttl: Duration::from_secs(300),
        }
    }

    fn check(claims: &str) -> Result<(String, Timestamp), TokenRefusal> {
        let now = Timestamp::from_millis(NOW * 1_000).expect("a time");
        let checked = Claims::check(claims.as_bytes(), &settings(), now);
        checked.map(|claims| (claims.subject, claims.expires_at))
    }

    fn with(name: &str, value: &str) -> Result<Timestamp, TokenRefusal> {
        let mut members = vec![
            ("iss", r#""i""#),
            ("aud", r#""a""#),
            ("sub", r#""s""#),
            ("exp", "1800000000"),
        ];
        members.retain(|(known, _)| *known != name);
        members.push((name, value));
        let members = members
            .iter()
            .map(|(name, value)| format!("{name:?}:{value}"));
        let members: Vec<String> = members.collect();
        check(&format!("{{{}}}", members.join(","))).map(|(_, expiry)| expiry)
    }

    #[test]
    fn dates_are_any_json_numbers() {
        for (exp, millis) in [
            ("1800000000", 1_800_000_000_000),
            ("1800000000.5", 1_800_000_000_500),
            ("1.8e9", 1_800_000_000_000),
            ("18e8", 1_800_000_000_000),
            ("1800000000.123456789", 1_800_000_000_123),
            ("1e300", 253_402_300_799_999),
            ("1e400", 253_402_300_799_999),
            ("9223372036854775808", 253_402_300_799_999),
            // Within the leeway of 5 s.
            ("1699999995.5", 1_699_999_995_500),
        ] {
            let expiry = with("exp", exp).map(Timestamp::millis);
            assert_eq!(expiry, Ok(millis), "{exp}");
        }
        for exp in [
            "1699999995",
            "1699999994.9",
            "0",
            "-1",
            "-1e400",
            "1e-5",
            "1699999995.0",
        ] {
            assert_eq!(with("exp", exp), Err(TokenRefusal::Expired), "{exp}");
        }
        for nbf in ["1700000005", "1700000004.9", "0", "-1.5e3", "-1e400"] {
            assert!(with("nbf", nbf).is_ok(), "{nbf}");
        }
        for nbf in ["1700000005.1", "1e400", "2e9"] {
            assert_eq!(with("nbf", nbf), Err(TokenRefusal::NotYetValid), "{nbf}");
        }
        for iat in ["1700000000.25", "2e9", "-1"] {
            assert!(with("iat", iat).is_ok(), "{iat}");
        }
        for name in ["exp", "nbf", "iat"] {
            for value in ["null", r#""1800000000""#, "true", "[1800000000]", "{}"] {
                let refused = with(name, value).expect_err(value);
                assert_eq!(refused.reason(), "malformed", "{name} {value}");
            }
        }
    }

    #[test]
    fn the_check_that_fails_is_named() {
        for (name, value, reason) in [
            ("iss", r#""j""#, "issuer"),
            ("iss", "1", "malformed"),
            ("aud", r#""b""#, "audience"),
            ("aud", r#"["b","c"]"#, "audience"),
            ("aud", "[]", "audience"),
            ("aud", r#"["a",1]"#, "audience"),
            ("aud", r#"[["a"]]"#, "audience"),
            ("aud", "null", "audience"),
            ("sub", "null", "malformed"),
            ("sub", r#""""#, "malformed"),
            ("sub", r#""\ud800""#, "malformed"),
            ("sub", "7", "malformed"),
        ] {
            let refused = with(name, value).expect_err(value);
            assert_eq!(refused.reason(), reason, "{name} {value}");
        }
        assert!(with("aud", r#"["b","a"]"#).is_ok());
        assert!(with("act", "[[[[]]]]").is_ok());
        for claims in [
            "[]",
            "",
            r#"{"iss":"i","iss":"i","aud":"a","sub":"s","exp":1800000000}"#,
        ] {
            assert_eq!(check(claims).expect_err(claims).reason(), "malformed");
        }
    }

    #[test]
    fn scopes_and_actors_are_read_as_issuers_write_them() {
        let scopes = |claims: Value| {
            let mut claims = claims;
            for (name, value) in [("iss", "i"), ("aud", "a"), ("sub", "s")] {
                claims[name] = json!(value);
            }
            claims["exp"] = json!(1_800_000_000);
            let text = claims.to_string();
            let now = Timestamp::from_millis(NOW * 1_000).expect("a time");
            let claims = Claims::check(text.as_bytes(), &settings(), now).expect("valid");
            (
                claims.scopes(&crate::api_definition::tests::api()),
                claims.actor(),
            )
        };
        let (both, _) = scopes(json!({ "scope": "orders:read orders:write" }));
        assert!(both.read && both.write && !both.admin);
        let (array, _) = scopes(json!({ "scp": ["orders:read"] }));
        assert!(array.read && !array.write);
        let (none, actor) = scopes(json!({ "scope": 7, "act": { "sub": "robot" } }));
        assert_eq!((none, actor.as_deref()), (Scopes::default(), Some("robot")));
    }

    proptest! {
        /// Checks that a token is expired exactly if its expiry plus the leeway is not after now.
        #[test]
        fn expiry_is_on_the_right_side(exp in -1e12_f64..1e12) {
            let text = format!("{exp:e}");
            let is_over = exp + 5.0 <= 1_700_000_000.0;
            prop_assert_eq!(with("exp", &text).is_err(), is_over);
        }

        /// Checks that parsing does not panic.
        #[test]
        fn any_text_is_parsed_or_refused(text in "[-+0-9eE.]{1,40}") {
            let _ = with("exp", &text);
        }
    }
}
