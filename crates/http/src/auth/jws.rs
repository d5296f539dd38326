//! Signed tokens in compact form (RFC 7515): parsing and checks of the header, before any key is
//! looked up.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::algorithm::known_algorithm;
use super::refusal::TokenRefusal;

/// Maximum length of a token, in bytes. Longer ones are refused without decoding.
pub(crate) const MAX_TOKEN_LENGTH: usize = 8 * 1024;

/// Token with a parsed header and an unverified signature.
#[derive(Debug)]
pub(super) struct Jws<'a> {
    /// Signed text: the encoded header and payload.
    signed: &'a str,
    payload: &'a str,
    signature: &'a str,
    /// Signature algorithm.
    pub(super) algorithm: Algorithm,
    /// Id of the signing key, if the token names one.
    pub(super) key_id: Option<String>,
}

impl<'a> Jws<'a> {
    /// Parses a token and checks its header. Critical extensions (`crit`) are not supported; keys
    /// in the header (`jwk`, `jku`, `x5c`, `x5u`) are ignored.
    ///
    /// # Errors
    /// [`TokenRefusal`] if the token is malformed, has another type or an unsupported algorithm.
    pub(super) fn parse(token: &'a str) -> Result<Self, TokenRefusal> {
        if token.len() > MAX_TOKEN_LENGTH {
            return Err(TokenRefusal::Malformed("it is longer than 8192 bytes"));
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            let why = "expected three parts separated by dots; encrypted tokens are not supported";
            return Err(TokenRefusal::Malformed(why));
        };
        let header = decode(header, "its header is not base64url")?;
        let why = "its header is not a JSON object with unique members";
        let header = Object::parse(&header, why)?;
        check_rules(&header)?;
        Ok(Self {
            signed: &token[..token.len() - signature.len() - 1],
            payload,
            signature,
            algorithm: algorithm(&header)?,
            key_id: header.optional_text("kid", "its kid is not text")?,
        })
    }

    /// Verifies the signature with this key.
    pub(super) fn is_signed_with(&self, key: &DecodingKey) -> bool {
        let verified = crypto::verify(self.signature, self.signed.as_bytes(), key, self.algorithm);
        verified.is_ok_and(|is_valid| is_valid)
    }

    /// Decodes the claims, which must not be trusted before the signature is verified.
    ///
    /// # Errors
    /// [`TokenRefusal::Malformed`] if they are not base64url.
    pub(super) fn payload(&self) -> Result<Vec<u8>, TokenRefusal> {
        decode(self.payload, "its claims are not base64url")
    }
}

/// Checks header parameters other than `alg` and `kid`.
fn check_rules(header: &Object<'_>) -> Result<(), TokenRefusal> {
    if header.get("crit").is_some() {
        let why = "its header names critical extensions, which are not supported";
        return Err(TokenRefusal::Malformed(why));
    }
    // Allowed together with `crit` only (RFC 7797, section 6), and never in a JWT.
    if header.get("b64").is_some() {
        return Err(TokenRefusal::Malformed("its header has b64"));
    }
    // Refuses tokens issued for other purposes (RFC 8725, section 3.11): only the generic type
    // and that of access tokens (RFC 9068) are accepted.
    if let Some(kind) = header.optional_text("typ", "its typ is not text")? {
        let kind = kind.to_ascii_lowercase();
        let kind = kind.strip_prefix("application/").unwrap_or(&kind);
        if !["jwt", "at+jwt"].contains(&kind) {
            return Err(TokenRefusal::Type);
        }
    }
    if let Some(content) = header.optional_text("cty", "its cty is not text")? {
        let content = content.to_ascii_lowercase();
        if !["json", "application/json"].contains(&content.as_str()) {
            let why = "its cty is not that of claims";
            return Err(TokenRefusal::Malformed(why));
        }
    }
    Ok(())
}

fn algorithm(header: &Object<'_>) -> Result<Algorithm, TokenRefusal> {
    let name = header.optional_text("alg", "its alg is not text")?;
    let name = name.ok_or(TokenRefusal::Malformed("its header has no alg"))?;
    known_algorithm(&name).ok_or(TokenRefusal::Algorithm)
}

fn decode(part: &str, why: &'static str) -> Result<Vec<u8>, TokenRefusal> {
    let decoded = URL_SAFE_NO_PAD.decode(part);
    decoded.map_err(|_| TokenRefusal::Malformed(why))
}

/// Members of a JSON object, with unique names.
#[derive(Debug)]
pub(super) struct Object<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Object<'a> {
    /// Parses a JSON object.
    ///
    /// # Errors
    /// [`TokenRefusal::Malformed`] with `why` if it is not an object or has a duplicate member.
    pub(super) fn parse(text: &'a [u8], why: &'static str) -> Result<Self, TokenRefusal> {
        serde_json::from_slice(text).map_err(|_| TokenRefusal::Malformed(why))
    }

    pub(super) fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.get(name).copied()
    }

    /// Returns the string member of this name, if there is one.
    ///
    /// # Errors
    /// [`TokenRefusal::Malformed`] with `why` if the member is not a string.
    pub(super) fn optional_text(
        &self,
        name: &str,
        why: &'static str,
    ) -> Result<Option<String>, TokenRefusal> {
        let text = self.get(name).map(|raw| serde_json::from_str(raw.get()));
        text.transpose().map_err(|_| TokenRefusal::Malformed(why))
    }
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ObjectVisitor)
    }
}

struct ObjectVisitor;

impl<'de> Visitor<'de> for ObjectVisitor {
    type Value = Object<'de>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some((name, value)) = map.next_entry()? {
            if members.insert(name, value).is_some() {
                return Err(A::Error::custom("duplicate member"));
            }
        }
        Ok(Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(header: &str) -> Result<(Algorithm, Option<String>), TokenRefusal> {
        let token = format!("{}.e30.AAAA", URL_SAFE_NO_PAD.encode(header));
        Jws::parse(&token).map(|jws| (jws.algorithm, jws.key_id))
    }

    #[test]
    fn headers_of_access_tokens_are_read() {
        for header in [
            r#"{"alg":"EdDSA"}"#,
            r#"{"alg":"EdDSA","typ":"JWT"}"#,
            r#"{"alg":"EdDSA","typ":"jwt","cty":"json"}"#,
            r#"{"alg":"EdDSA","typ":"at+jwt"}"#,
            r#"{"alg":"EdDSA","typ":"application/at+JWT"}"#,
            r#"{"alg":"Ed25519"}"#,
            // Ignored: only keys of `auth.jwks` are used.
            r#"{"alg":"EdDSA","jku":"https://evil.example","jwk":{"kty":"oct"},"x5u":"x","x5c":[]}"#,
            r#"{"alg":"EdDSA","x":1e999,"deep":[[[[]]]]}"#,
        ] {
            assert_eq!(parse(header), Ok((Algorithm::EdDSA, None)), "{header}");
        }
        let named = parse(r#"{"alg":"RS256","kid":"a"}"#);
        assert_eq!(named, Ok((Algorithm::RS256, Some("a".to_owned()))));
    }

    #[test]
    fn headers_that_break_the_rules_are_refused() {
        for header in [
            "",
            "[]",
            "{",
            r#""JWT""#,
            r#"{"typ":"JWT"}"#,
            r#"{"alg":7}"#,
            r#"{"alg":null}"#,
            r#"{"alg":"EdDSA","alg":"EdDSA"}"#,
            r#"{"alg":"EdDSA","kid":"a","kid":"b"}"#,
            r#"{"alg":"EdDSA","kid":1}"#,
            r#"{"alg":"EdDSA","typ":1}"#,
            r#"{"alg":"EdDSA","crit":["exp"],"exp":1}"#,
            r#"{"alg":"EdDSA","crit":[]}"#,
            r#"{"alg":"EdDSA","crit":["alg"]}"#,
            r#"{"alg":"EdDSA","crit":["b64"],"b64":false}"#,
            r#"{"alg":"EdDSA","crit":["b64"],"b64":true}"#,
            r#"{"alg":"EdDSA","b64":false}"#,
            r#"{"alg":"EdDSA","cty":"JWT"}"#,
            "{\"alg\":\"EdDSA\"}\u{0}",
        ] {
            let refused = parse(header).expect_err(header);
            assert_eq!(refused.reason(), "malformed", "{header}");
        }
        for kind in ["dpop+jwt", "logout+jwt", "secevent+jwt", "JOSE", ""] {
            let header = format!(r#"{{"alg":"EdDSA","typ":"{kind}"}}"#);
            assert_eq!(parse(&header), Err(TokenRefusal::Type), "{kind}");
        }
        for name in [
            "none", "None", "", "HS256", "HS512", "ES512", "eddsa", "RS1",
        ] {
            let header = format!(r#"{{"alg":"{name}"}}"#);
            assert_eq!(parse(&header), Err(TokenRefusal::Algorithm), "{name}");
        }
    }

    #[test]
    fn only_three_parts_of_a_bounded_length_are_a_token() {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"EdDSA"}"#);
        let long = format!("{header}.{}.AAAA", "A".repeat(MAX_TOKEN_LENGTH));
        for token in [
            "",
            ".",
            "..",
            "a.b",
            "a.b.c",
            "é.é.é",
            &format!("{header}.e30"),
            &format!("{header}.e30.AAAA.AAAA"),
            &format!("{header}.e30.AAAA.AAAA.AAAA"),
            &format!("{header}=.e30.AAAA"),
            &long,
        ] {
            let refused = Jws::parse(token).expect_err(token);
            assert_eq!(refused.reason(), "malformed", "{token}");
        }
    }
}
