//! JSON Web Key Set (RFC 7517): parsing, and selection of the keys that may have signed a token.
//! Unusable entries are skipped.

use jsonwebtoken::{Algorithm, DecodingKey, crypto};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::algorithm::known_algorithm;

/// Maximum number of keys used of one set; further ones are skipped.
const MAX_KEYS: usize = 100;
/// Maximum number of keys tried on one token, if it names none or several have its key id.
const MAX_CANDIDATES: usize = 8;
/// Length of an RSA modulus, in bytes: at least 2,048 bits (RFC 7518, section 3.3), at most the
/// library's limit.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=512;
/// Length of an RSA exponent, in bytes.
const RSA_EXPONENT_BYTES: std::ops::RangeInclusive<usize> = 1..=4;
/// Length of an Ed25519 public key, in bytes.
const ED25519_BYTES: usize = 32;

/// Public keys that may sign tokens.
#[derive(Debug, Default)]
pub(super) struct KeySet {
    keys: Vec<Key>,
    /// Reasons for which entries were skipped, one per entry.
    pub(super) unusable: Vec<&'static str>,
}

#[derive(Debug)]
struct Key {
    id: Option<String>,
    kind: Kind,
    /// The only algorithm of the key, if it names one.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// Type and curve of a key, which determine its algorithms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    /// Returns the kind of key that an algorithm needs; `None` for symmetric algorithms.
    fn of(algorithm: Algorithm) -> Option<Self> {
        match algorithm {
            Algorithm::ES256 => Some(Self::P256),
            Algorithm::ES384 => Some(Self::P384),
            Algorithm::EdDSA => Some(Self::Ed25519),
            Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => None,
            _ => Some(Self::Rsa),
        }
    }

    /// Returns an algorithm for keys of this kind.
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
    /// True if the token names a key id and the set has keys with it.
    pub(super) is_by_id: bool,
}

#[derive(Deserialize)]
struct Document<'a> {
    #[serde(borrow)]
    keys: Vec<&'a RawValue>,
}

/// Entry of a key set, with the members used here (RFC 7518, section 6; RFC 8037).
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
    /// Parses a key set.
    ///
    /// # Errors
    /// A message for the log if the text is not a key set or has no usable key.
    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let document: Document<'_> = serde_json::from_slice(text)
            .map_err(|error| format!("not a JSON Web Key Set: {error}"))?;
        let mut set = Self::default();
        for entry in document.keys {
            match Key::parse(entry.get()) {
                Ok(_) if set.keys.len() >= MAX_KEYS => set.unusable.push("more than 100 keys"),
                Ok(key) => set.keys.push(key),
                Err(why) => set.unusable.push(why),
            }
        }
        if set.keys.is_empty() {
            let why = reasons(&set.unusable).unwrap_or_else(|| "it is empty".to_owned());
            return Err(format!("the key set has no usable key ({why})"));
        }
        Ok(set)
    }

    /// Returns the number of usable keys.
    pub(super) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Returns the keys that may have signed a token and fit its algorithm: those with the id that
    /// it names, else those without an id; all keys if the token names none.
    pub(super) fn candidates(&self, id: Option<&str>, algorithm: Algorithm) -> Candidates<'_> {
        let by_id = |wanted: &str| {
            let keys = self.keys.iter();
            keys.filter(|key| key.id.as_deref() == Some(wanted))
                .collect::<Vec<_>>()
        };
        let with_id = id.map(by_id).unwrap_or_default();
        let is_by_id = !with_id.is_empty();
        let found = match id {
            Some(_) if is_by_id => with_id,
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

/// Returns the distinct reasons in one text; `None` if there are none.
pub(super) fn reasons(unusable: &[&'static str]) -> Option<String> {
    let mut reasons = unusable.to_vec();
    reasons.sort_unstable();
    reasons.dedup();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

impl Key {
    /// Parses an entry.
    ///
    /// # Errors
    /// The reason why the key cannot be used.
    fn parse(entry: &str) -> Result<Self, &'static str> {
        let entry: Entry = serde_json::from_str(entry).map_err(|_| "an entry is malformed")?;
        if entry
            .purpose
            .as_deref()
            .is_some_and(|purpose| purpose != "sig")
        {
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
            _ => return Err("a key has an unsupported type or curve"),
        };
        let algorithm = match entry.alg.as_deref() {
            None => None,
            Some(name) => {
                Some(known_algorithm(name).ok_or("a key is for an unsupported algorithm")?)
            }
        };
        if algorithm.is_some_and(|algorithm| Kind::of(algorithm) != Some(kind)) {
            return Err("a key does not fit its algorithm");
        }
        Ok(Self {
            key: entry.key(kind)?,
            id: entry.kid,
            kind,
            algorithm,
        })
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        let is_allowed = self.algorithm.is_none_or(|only| only == algorithm);
        is_allowed && Kind::of(algorithm) == Some(self.kind)
    }
}

impl Entry {
    /// Builds the key and tries it once, so that a key which the library cannot use is found here.
    ///
    /// # Errors
    /// The reason why the key cannot be used.
    fn key(&self, kind: Kind) -> Result<DecodingKey, &'static str> {
        let part = |value: &Option<String>| value.clone().unwrap_or_default();
        let bytes = |value: &Option<String>| decoded_length(&part(value));
        let key = match kind {
            Kind::Rsa if !RSA_MODULUS_BYTES.contains(&bytes(&self.n)) => {
                return Err("an RSA key has fewer than 2048 or more than 4096 bits");
            }
            Kind::Rsa if !RSA_EXPONENT_BYTES.contains(&bytes(&self.e)) => {
                return Err("an RSA key has no usable exponent");
            }
            Kind::Rsa => DecodingKey::from_rsa_components(&part(&self.n), &part(&self.e)),
            // The library accepts more bytes than that, and panics if there are fewer.
            Kind::Ed25519 if bytes(&self.x) != ED25519_BYTES => {
                return Err("an Ed25519 key does not have 32 bytes");
            }
            Kind::Ed25519 => DecodingKey::from_ed_components(&part(&self.x)),
            Kind::P256 | Kind::P384 => {
                DecodingKey::from_ec_components(&part(&self.x), &part(&self.y))
            }
        };
        let key = key.map_err(|_| "a key is not base64url")?;
        // The signature does not match; an error says that the key cannot be used.
        let tried = crypto::verify("", b"", &key, kind.example());
        tried.map_err(|_| "a key is invalid")?;
        Ok(key)
    }
}

/// Returns the length of decoded base64url without padding, in bytes; leading zeros count.
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
    fn an_unusable_entry_is_skipped() {
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
            // Not on the curve, of another length, without coordinates.
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
            // Other members are ignored.
            ed25519(json!({ "alg": "Ed25519", "x5t": 7, "x5c": "x", "d": "secret", "ext": true })),
        ] {
            assert!(parse(std::slice::from_ref(&usable)).is_ok(), "{usable}");
        }
    }

    #[test]
    fn a_set_without_usable_keys_is_refused() {
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
        // The id is known, but has no key for this algorithm.
        assert_eq!(found(Some("b"), Algorithm::ES256), (0, true));
        assert_eq!(found(Some("c"), Algorithm::EdDSA), (0, false));
        // A token without a key id: any key that fits.
        assert_eq!(found(None, Algorithm::EdDSA), (2, false));
        assert_eq!(found(None, Algorithm::ES256), (1, false));
        assert_eq!(found(None, Algorithm::RS256), (0, false));
        // A key without an id fits any key id.
        let set = parse(&[ed25519(json!({}))]).expect("a set");
        let found = set.candidates(Some("c"), Algorithm::EdDSA);
        assert_eq!((found.keys.len(), found.is_by_id), (1, false));
        let many = vec![ed25519(json!({})); MAX_KEYS];
        let set = parse(&many).expect("a set");
        let found = set.candidates(None, Algorithm::EdDSA);
        assert_eq!(found.keys.len(), MAX_CANDIDATES);
    }
}
