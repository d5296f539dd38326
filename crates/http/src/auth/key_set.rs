//! A JSON Web Key Set (RFC 7517): the keys of it that tokens may be signed with. An entry that
//! cannot be used is in no other's way.

use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::token::known_algorithm;

/// Keys that are taken of one set; what follows is left out.
const MAX_KEYS: usize = 100;
/// Keys that are tried on one token, where it does not name one or several share its id.
const MAX_CANDIDATES: usize = 8;
/// Bytes of an RSA modulus: 2,048 bits at least (RFC 7518, section 3.3), and no more than the
/// library takes.
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// Bytes of an RSA exponent.
const EXPONENT_BYTES: std::ops::RangeInclusive<usize> = 1..=4;
/// Bytes of an Ed25519 public key.
const ED25519_BYTES: usize = 32;

/// Public keys that tokens may be signed with.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Why entries were left out.
    pub(super) unusable: Vec<&'static str>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    kind: Kind,
    /// The one algorithm that it is for, if it says so.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// Kind of a key, which decides what it can check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    /// Kind of the keys that an algorithm takes.
    fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            Algorithm::EdDSA => Some(Self::Ed25519),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => None,
            _ => Some(Self::Rsa),
        }
    }

    /// An algorithm that takes such keys.
    fn example(self) -> Algorithm {
        match self {
            Self::Rsa => Algorithm::RS256,
            Self::P256 => Algorithm::ES256,
            Self::P384 => Algorithm::ES384,
            Self::Ed25519 => Algorithm::EdDSA,
        }
    }
}

/// Keys that may have signed a token.
pub(super) struct Candidates<'a> {
    pub(super) keys: Vec<&'a DecodingKey>,
    /// True if they were found by the id that the token names.
    pub(super) is_by_id: bool,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// An entry, with the members that matter here (RFC 7518, section 6; RFC 8037).
#[derive(Deserialize)]
struct Entry {
    kty: String,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl KeySet {
    /// Reads a set.
    ///
    /// # Errors
    /// When it is none, or has no key that can be used.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let document: Document<'_> = serde_json::from_slice(text)
            .map_err(|error| format!("expected a JSON Web Key Set: {error}"))?;
        let mut set = Self::default();
        for entry in document.keys {
            match Key::parse(entry.get()) {
                Ok(_) if set.keys.len() >= MAX_KEYS => set.unusable.push("beyond 100 keys"),
                Ok(key) => set.keys.push(key),
                Err(why) => set.unusable.push(why),
            }
        }
        if set.keys.is_empty() {
            let why = reasons(&set.unusable).unwrap_or_else(|| "it is empty".to_owned());
            return Err(format!(
                "it has no key that tokens can be signed with ({why})"
            ));
        }
        Ok(set)
    }

    /// Count of usable keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// The keys that a token may be signed with: those of the id that it names, else those
    /// without an id; all of them where it names none. Of these the ones that fit its algorithm.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Candidates<'_> {
        let by_id = |wanted: &str| {
            let keys = self.keys.iter();
            keys.filter(|key| key.id.as_deref() == Some(wanted))
                .collect::<Vec<_>>()
        };
        let of_the_id = id.map(by_id).unwrap_or_default();
        let is_by_id = !of_the_id.is_empty();
        let found = match id {
            Some(_) if is_by_id => of_the_id,
            Some(_) => self.keys.iter().filter(|key| key.id.is_none()).collect(),
            None => self.keys.iter().collect(),
        };
        let fitting = found.iter().filter(|key| key.fits(algorithm));
        Candidates {
            keys: fitting.map(|key| &key.key).take(MAX_CANDIDATES).collect(),
            is_by_id,
        }
    }
}

/// Reasons, each once; `None`: there are none.
pub(super) fn reasons(unusable: &[&'static str]) -> Option<String> {
    let mut reasons = unusable.to_vec();
    reasons.sort_unstable();
    reasons.dedup();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

impl Key {
    /// # Errors
    /// Why it cannot be used.
    fn parse(entry: &str) -> Result<Self, &'static str> {
        let entry: Entry = serde_json::from_str(entry).map_err(|_| "an entry is malformed")?;
        if entry.purpose.as_deref().is_some_and(|what| what != "sig") {
            return Err("a key is not for signatures");
        }
        let operations = entry.key_ops.as_deref();
        if operations.is_some_and(|all| !all.iter().any(|one| one == "verify")) {
            return Err("a key is not for verifying");
        }
        let kind = match (entry.kty.as_str(), entry.crv.as_deref()) {
            ("RSA", _) => Kind::Rsa,
            ("EC", Some("P-256")) => Kind::P256,
            ("EC", Some("P-384")) => Kind::P384,
            ("OKP", Some("Ed25519")) => Kind::Ed25519,
            ("oct", _) => return Err("a key is a shared secret"),
            _ => return Err("a key is of a kind or curve that is not known"),
        };
        let algorithm = match entry.alg.as_deref() {
            None => None,
            Some(name) => Some(known_algorithm(name).ok_or("a key is for an unknown algorithm")?),
        };
        if algorithm.is_some_and(|algorithm| Kind::of(algorithm) != Some(kind)) {
            return Err("a key is not of the kind that its algorithm takes");
        }
        Ok(Self {
            key: entry.key(kind)?,
            id: entry.kid,
            kind,
            algorithm,
        })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let is_meant = self.algorithm.is_none_or(|only| only == algorithm);
        is_meant && Kind::of(algorithm) == Some(self.kind)
    }
}

impl Entry {
    /// The key itself, tried out: what the library would choke on later is not taken.
    fn key(&self, kind: Kind) -> Result<DecodingKey, &'static str> {
        let part = |value: &Option<String>| value.clone().unwrap_or_default();
        let bytes = |value: &Option<String>| decoded_length(&part(value));
        let key = match kind {
            Kind::Rsa if !RSA_BYTES.contains(&bytes(&self.n)) => {
                return Err("an RSA key has less than 2048 or more than 4096 bits");
            }
            Kind::Rsa if !EXPONENT_BYTES.contains(&bytes(&self.e)) => {
                return Err("an RSA key has no usable exponent");
            }
            Kind::Rsa => DecodingKey::from_rsa_components(&part(&self.n), &part(&self.e)),
            // The library would take more bytes for a key, and panic over fewer.
            Kind::Ed25519 if bytes(&self.x) != ED25519_BYTES => {
                return Err("an Ed25519 key does not have 32 bytes");
            }
            Kind::Ed25519 => DecodingKey::from_ed_components(&part(&self.x)),
            Kind::P256 | Kind::P384 => {
                DecodingKey::from_ec_components(&part(&self.x), &part(&self.y))
            }
        };
        let key = key.map_err(|_| "a key is not base64url")?;
        // Whether the signature matches is beside the point; whether it can be checked is not.
        let tried = crypto::verify("", b"", &key, kind.example());
        tried.map_err(|_| "a key is invalid")?;
        Ok(key)
    }
}

/// Bytes behind base64url without padding; leading zeros of a number are not told apart.
fn decoded_length(text: &str) -> usize {
    text.len() * 3 / 4
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// RFC 8037, appendix A.2.
    const ED25519: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    /// RFC 7517, appendix A.1.
    const P256: [&str; 2] = [
        "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
    ];
    const RSA: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPF\
                       FxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt\
                       7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qM\
                       QvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-\
                       G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn ed25519(more: Value) -> Value {
        let mut key = json!({ "kty": "OKP", "crv": "Ed25519", "x": ED25519 });
        for (name, value) in more.as_object().into_iter().flatten() {
            key[name] = value.clone();
        }
        key
    }

    fn parse(keys: &[Value]) -> Result<KeySet, String> {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes())
    }

    #[test]
    fn one_unusable_entry_harms_no_other() {
        let rsa = |n: &str| json!({ "kty": "RSA", "n": n, "e": "AQAB" });
        let unusable = [
            json!(null),
            json!(7),
            json!("text"),
            json!([]),
            json!({}),
            json!({ "kty": "PQC", "x": "AAAA" }),
            json!({ "kty": "OKP", "crv": "X25519", "x": ED25519 }),
            json!({ "kty": "OKP", "crv": "Ed448", "x": ED25519 }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": P256[0], "y": P256[1] }),
            json!({ "kty": "EC", "crv": "P-521", "x": P256[0], "y": P256[1] }),
            // Not on the curve, of another length, of nothing.
            json!({ "kty": "EC", "crv": "P-256", "x": P256[1], "y": P256[0] }),
            json!({ "kty": "EC", "crv": "P-384", "x": P256[0], "y": P256[1] }),
            json!({ "kty": "EC", "crv": "P-256" }),
            json!({ "kty": "oct", "k": "c2VjcmV0" }),
            rsa("AQAB"),
            rsa(""),
            rsa("not base64url!"),
            json!({ "kty": "RSA", "n": RSA }),
            ed25519(json!({ "x": "AAAA" })),
            ed25519(json!({ "x": "" })),
            ed25519(json!({ "x": null })),
            ed25519(json!({ "x": format!("{ED25519}AAAA") })),
            ed25519(json!({ "use": "enc" })),
            ed25519(json!({ "key_ops": ["encrypt"] })),
            ed25519(json!({ "key_ops": [] })),
            ed25519(json!({ "alg": "HS256" })),
            ed25519(json!({ "alg": "RS256" })),
            ed25519(json!({ "alg": "ECDH-ES" })),
            ed25519(json!({ "alg": 7 })),
            ed25519(json!({ "kid": 7 })),
        ];
        for entry in &unusable {
            let set = parse(&[entry.clone(), ed25519(json!({ "kid": "good" }))]);
            let set = set.expect("a set");
            assert_eq!((set.len(), set.unusable.len()), (1, 1), "{entry}");
            let found = set.candidates(Some("good"), Algorithm::EdDSA);
            assert_eq!(found.keys.len(), 1);
        }
        for usable in [
            rsa(RSA),
            json!({ "kty": "EC", "crv": "P-256", "x": P256[0], "y": P256[1] }),
            ed25519(json!({ "use": "sig", "key_ops": ["verify"], "alg": "EdDSA" })),
            // What is beside the key is not looked at.
            ed25519(json!({ "alg": "Ed25519", "x5t": 7, "x5c": "x", "d": "secret", "ext": true })),
        ] {
            assert!(parse(std::slice::from_ref(&usable)).is_ok(), "{usable}");
        }
    }

    #[test]
    fn no_set_is_made_of_nothing() {
        for text in [
            "",
            "{}",
            "[]",
            "<html></html>",
            r#"{"keys":{}}"#,
            r#"{"keys":null}"#,
            r#"{"keys":[]}"#,
            r#"{"keys":[{}]}"#,
            r#"{"keys":[],"keys":[]}"#,
        ] {
            assert!(KeySet::parse(text.as_bytes()).is_err(), "{text}");
        }
        let many = vec![ed25519(json!({})); MAX_KEYS + 5];
        let set = parse(&many).expect("a set");
        assert_eq!((set.len(), set.unusable.len()), (MAX_KEYS, 5));
    }

    #[test]
    fn candidates_fit_the_id_and_the_algorithm() {
        let ec = json!({ "kty": "EC", "crv": "P-256", "x": P256[0], "y": P256[1], "kid": "a" });
        let set = parse(&[
            ed25519(json!({ "kid": "a" })),
            ec,
            ed25519(json!({ "kid": "b" })),
        ]);
        let set = set.expect("a set");
        let found = |id, algorithm| {
            let found = set.candidates(id, algorithm);
            (found.keys.len(), found.is_by_id)
        };
        assert_eq!(found(Some("a"), Algorithm::EdDSA), (1, true));
        assert_eq!(found(Some("a"), Algorithm::ES256), (1, true));
        // The same id, and no key of it for this algorithm.
        assert_eq!(found(Some("b"), Algorithm::ES256), (0, true));
        assert_eq!(found(Some("c"), Algorithm::EdDSA), (0, false));
        // Without an id any that fits may be it.
        assert_eq!(found(None, Algorithm::EdDSA), (2, false));
        assert_eq!(found(None, Algorithm::ES256), (1, false));
        assert_eq!(found(None, Algorithm::RS256), (0, false));
        // A key without an id may be any.
        let set = parse(&[ed25519(json!({}))]).expect("a set");
        let found = set.candidates(Some("c"), Algorithm::EdDSA);
        assert_eq!((found.keys.len(), found.is_by_id), (1, false));
        let many = vec![ed25519(json!({})); MAX_KEYS];
        let set = parse(&many).expect("a set");
        let found = set.candidates(None, Algorithm::EdDSA);
        assert_eq!(found.keys.len(), MAX_CANDIDATES);
    }
}
