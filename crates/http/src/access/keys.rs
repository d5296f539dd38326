//! The issuer's public keys: a JSON Web Key Set (RFC 7517) from a file or a URL.
//!
//! Kept for a while, and looked for anew when they have become old or a token
//! names one that is not among them, which is how keys are rotated. While the
//! new ones cannot be had, the old ones stay in use.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use jsonwebtoken::jwk::{Jwk, JwkSet, PublicKeyUse};
use tokio::sync::Mutex;
use tokio::time::Instant;
use url::Url;

use crate::problem::Problem;

/// How soon after a look another one makes sense. Without it, anybody could have
/// the issuer asked as often as they like, by naming keys that there are not.
const PAUSE: Duration = Duration::from_secs(2);
/// How long the issuer may take to answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// Key sets are small; this is far more than any.
const LARGEST: usize = 1024 * 1024;

/// Where a key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// In a file.
    File(PathBuf),
    /// At the issuer's `jwks_uri`.
    Url(Url),
}

/// Clones share the keys.
#[derive(Clone)]
pub(super) struct Keys(Arc<Shared>);

struct Shared {
    source: KeySource,
    lifetime: Duration,
    state: RwLock<State>,
    /// One look at a time.
    looking: Mutex<()>,
}

/// A key that tokens may be signed with, ready to check them.
struct Key {
    id: Option<String>,
    key: DecodingKey,
}

#[derive(Default)]
struct State {
    keys: Option<Vec<Key>>,
    /// When they were got.
    got: Option<Instant>,
    /// When they were last looked for.
    looked: Option<Instant>,
}

impl Keys {
    pub(super) fn new(source: KeySource, lifetime: Duration) -> Self {
        Self(Arc::new(Shared {
            source,
            lifetime,
            state: RwLock::default(),
            looking: Mutex::default(),
        }))
    }

    /// The key of an id; without one the only key there is.
    ///
    /// # Errors
    /// 503 when there are no keys yet and none can be had.
    pub(super) async fn find(&self, id: Option<&str>) -> Result<Option<DecodingKey>, Problem> {
        if let Some(key) = self.0.known(id) {
            if self.0.are_old() {
                // Nobody waits for newer ones as long as the old ones do.
                let shared = self.0.clone();
                tokio::spawn(async move { shared.look().await });
            }
            return Ok(Some(key));
        }
        self.0.look().await;
        let key = self.0.known(id);
        if key.is_none() && self.0.read().keys.is_none() {
            let detail = "the token issuer's keys cannot be had right now";
            return Err(Problem::unavailable(detail));
        }
        Ok(key)
    }
}

impl Shared {
    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self, id: Option<&str>) -> Option<DecodingKey> {
        let state = self.read();
        pick(state.keys.as_ref()?, id).cloned()
    }

    fn are_old(&self) -> bool {
        let state = self.read();
        state.got.is_none_or(|got| got.elapsed() > self.lifetime) && state.may_look()
    }

    /// Looks for newer keys, unless somebody just has.
    async fn look(&self) {
        let _turn = self.looking.lock().await;
        if !self.read().may_look() {
            return;
        }
        let found = self.load().await;
        let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        state.looked = Some(Instant::now());
        match found {
            Ok(keys) => {
                state.keys = Some(keys);
                state.got = Some(Instant::now());
            }
            Err(error) => tracing::warn!("the token issuer's keys cannot be had: {error}"),
        }
    }

    async fn load(&self) -> Result<Vec<Key>, String> {
        let text = match &self.source {
            KeySource::File(path) => tokio::fs::read(path).await.map_err(|e| e.to_string()),
            KeySource::Url(url) => fetch(url).await,
        };
        let keys: JwkSet = serde_json::from_slice(&text?).map_err(|error| error.to_string())?;
        let usable: Vec<Key> = keys.keys.iter().filter_map(usable).collect();
        if usable.is_empty() {
            tracing::warn!(
                "the token issuer has no key that can be used: no token will be believed"
            );
        }
        Ok(usable)
    }
}

impl State {
    fn may_look(&self) -> bool {
        self.looked.is_none_or(|looked| looked.elapsed() > PAUSE)
    }
}

/// For signing; keys of a kind not known here are in no one's way.
fn usable(key: &Jwk) -> Option<Key> {
    let common = &key.common;
    let is_for_signing = !matches!(common.public_key_use, Some(PublicKeyUse::Encryption));
    let id = common.key_id.clone();
    // A key need not say which algorithm it is for (RFC 7517, 4.4); the token does, and is
    // held against what is allowed.
    let is_known = common.key_algorithm.is_none() || key.is_supported();
    let is_usable = is_known && is_for_signing;
    is_usable
        .then(|| DecodingKey::from_jwk(key).ok())?
        .map(|key| Key { id, key })
}

/// The key of an id; without one the only key there is.
fn pick<'a>(keys: &'a [Key], id: Option<&str>) -> Option<&'a DecodingKey> {
    let found = match (id, keys) {
        (Some(id), keys) => keys.iter().find(|key| key.id.as_deref() == Some(id)),
        (None, [only]) => Some(only),
        (None, _) => None,
    };
    found.map(|key| &key.key)
}

async fn fetch(url: &Url) -> Result<Vec<u8>, String> {
    let client = client().map_err(|error| error.to_string())?;
    let answer = client.get(url.clone()).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status);
    // It may hold a secret.
    let told = |error: reqwest::Error| error.without_url().to_string();
    let mut answer = answer.map_err(told)?;
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(told)? {
        text.extend_from_slice(&chunk);
        if text.len() > LARGEST {
            return Err(format!("more than {LARGEST} bytes"));
        }
    }
    Ok(text)
}

fn client() -> reqwest::Result<reqwest::Client> {
    // The client brings no cryptography of its own. An error only says that
    // somebody has chosen already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(PATIENCE)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}
