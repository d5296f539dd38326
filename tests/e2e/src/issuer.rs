//! Token issuer: generates keys, publishes them as a file and at a URL, and signs arbitrary
//! claims.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use bakehouse_dev_servers::tls::Authority;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{Jwk, JwkSet};
use jsonwebtoken::{Algorithm, EncodingKey, Header, crypto, encode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// Default audience (`aud`) of the tokens.
pub const AUDIENCE: &str = "orders-api";
/// Issuer (`iss`) of the tokens.
pub const NAME: &str = "https://issuer.example";
/// Prefix of the 32 bytes of an Ed25519 key in PKCS #8 (RFC 8410).
const PKCS8_PREFIX: &[u8] = b"\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x70\x04\x22\x04\x20";

/// Issuer with one key at a time.
pub struct Issuer {
    folder: TempDir,
    key: EncodingKey,
    id: String,
    published: Arc<Mutex<String>>,
}

impl Issuer {
    /// Creates an issuer with a published key.
    pub fn new() -> Result<Self> {
        let mut issuer = Self {
            folder: TempDir::with_prefix("bakehouse-issuer-")?,
            key: EncodingKey::from_secret(b""),
            id: String::new(),
            published: Arc::default(),
        };
        issuer.rotate()?;
        Ok(issuer)
    }

    /// Generates a new key and publishes it in place of the previous one. The algorithm (`alg`) of
    /// a published key is optional: the first key has one, the others do not.
    pub fn rotate(&mut self) -> Result<()> {
        let id = uuid::Uuid::now_v7();
        // Random enough for tests: two version 4 identifiers.
        let seed = [uuid::Uuid::new_v4(), uuid::Uuid::new_v4()].map(uuid::Uuid::into_bytes);
        self.key = EncodingKey::from_ed_der(&[PKCS8_PREFIX, &seed.concat()].concat());
        let is_first = self.id.is_empty();
        self.id = id.to_string();
        let mut key = Jwk::from_encoding_key(&self.key, Algorithm::EdDSA)?;
        key.common.key_id = Some(self.id.clone());
        key.common.key_algorithm = key.common.key_algorithm.filter(|_| is_first);
        let keys = serde_json::to_string(&JwkSet { keys: vec![key] })?;
        std::fs::write(self.file(), &keys)?;
        *self.published.lock().expect("no test has panicked") = keys;
        Ok(())
    }

    /// Returns the path of the file with the published keys.
    #[must_use]
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("keys.json")
    }

    /// Serves the keys over HTTP as long as the runtime lives. Returns their URL.
    pub async fn serve(&self) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/keys", listener.local_addr()?);
        let published = self.published.clone();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                answer(socket, &published).await;
            }
        });
        Ok(url)
    }

    /// Serves the keys over TLS, with a certificate of the authority. Returns their URL.
    pub async fn serve_tls(&self, authority: &Authority) -> Result<String> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("https://{}/keys", listener.local_addr()?);
        let (published, acceptor) = (self.published.clone(), authority.acceptor());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                if let Ok(socket) = acceptor.accept(socket).await {
                    answer(socket, &published).await;
                }
            }
        });
        Ok(url)
    }

    /// Returns the settings of a system that trusts this issuer, with its keys at `keys` (file or
    /// URL).
    #[must_use]
    pub fn settings(&self, keys: &str) -> Vec<(&'static str, String)> {
        vec![
            ("BAKEHOUSE_AUTH__JWKS", keys.to_owned()),
            ("BAKEHOUSE_AUTH__ISSUER", NAME.to_owned()),
            ("BAKEHOUSE_AUTH__AUDIENCE", AUDIENCE.to_owned()),
        ]
    }

    /// Returns a valid token of a subject with scopes; it expires in one hour.
    pub fn token(&self, subject: &str, scope: &str) -> Result<String> {
        self.sign(&claims(subject, scope))
    }

    /// Returns a signed token with the given claims.
    pub fn sign(&self, claims: &Value) -> Result<String> {
        let mut header = Header::new(Algorithm::EdDSA);
        header.kid = Some(self.id.clone());
        Ok(encode(&header, claims, &self.key)?)
    }

    /// Returns a signed token with the given header and claims, unparsed; `{kid}` in the header is
    /// replaced by the id of the key.
    pub fn sign_text(&self, header: &str, claims: &str) -> Result<String> {
        let header = header.replace("{kid}", &self.id);
        let signed = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header),
            URL_SAFE_NO_PAD.encode(claims)
        );
        let signature = crypto::sign(signed.as_bytes(), &self.key, Algorithm::EdDSA)?;
        Ok(format!("{signed}.{signature}"))
    }

    /// Returns the published keys as text.
    #[must_use]
    pub fn published(&self) -> String {
        self.published.lock().expect("no test has panicked").clone()
    }

    /// Publishes a text in place of the keys.
    pub fn publish(&self, text: &str) -> Result<()> {
        std::fs::write(self.file(), text)?;
        *self.published.lock().expect("no test has panicked") = text.to_owned();
        Ok(())
    }

    /// Returns a token signed with the *public* key as a shared secret, which a verifier must
    /// refuse.
    pub fn sign_with_public_key(&self, claims: &Value) -> Result<String> {
        let published = self.published.lock().expect("no test has panicked").clone();
        let keys: Value = serde_json::from_str(&published)?;
        let public = keys["keys"][0]["x"].as_str().context("a public key")?;
        let mut header = Header::new(Algorithm::HS256);
        header.kid = Some(self.id.clone());
        Ok(encode(
            &header,
            claims,
            &EncodingKey::from_urlsafe_base64_secret(&padded(public))?,
        )?)
    }
}

/// Responds to one request with the keys.
async fn answer(mut socket: impl AsyncRead + AsyncWrite + Unpin, published: &Mutex<String>) {
    let mut request = [0; 4096];
    let _ = socket.read(&mut request).await;
    let keys = published.lock().expect("no test has panicked").clone();
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/json";
    let answer = format!("{head}\r\ncontent-length: {}\r\n\r\n{keys}", keys.len());
    let _ = socket.write_all(answer.as_bytes()).await;
    let _ = socket.shutdown().await;
}

fn padded(base64url: &str) -> String {
    let missing = (4 - base64url.len() % 4) % 4;
    format!("{base64url}{}", "=".repeat(missing))
}

/// Returns the claims of a valid token, which expires in one hour.
#[must_use]
pub fn claims(subject: &str, scope: &str) -> Value {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = now.map_or(0, |time| time.as_secs());
    json!({
        "iss": NAME, "aud": AUDIENCE, "sub": subject, "scope": scope,
        "iat": now, "exp": now + 3_600,
    })
}

/// Returns the value of an `Authorization` header.
#[must_use]
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}
