//! Cache of the issuer's public keys, loaded from a file or a URL.
//!
//! Keys are loaded by a separate task, of which there is at most one: cancelling a request that
//! waits for it neither cancels nor repeats the load. A failed load does not replace a usable set.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use super::key_set::{KeySet, reasons};
use crate::response::problem::Problem;

/// Minimum interval between two loads. Without it, clients could cause any number of requests to
/// the issuer by naming unknown keys.
const MIN_INTERVAL: Duration = Duration::from_secs(2);
/// Maximum interval between attempts while loading fails; it doubles from [`MIN_INTERVAL`] on.
const MAX_BACKOFF: Duration = Duration::from_secs(16);
/// Timeout of one load, from the issuer or from a file.
const LOAD_TIMEOUT: Duration = Duration::from_secs(3);
/// Age at which keys from a file are loaded again, if `auth.jwks_cache_ttl` is not shorter.
const FILE_CACHE_TTL: Duration = Duration::from_secs(5);
/// Maximum length of a key set, in bytes.
const MAX_BYTES: usize = 1024 * 1024;

/// Metric that counts loads of the key set by outcome.
const METRIC: &str = "bakehouse_token_key_loads_total";

/// Location of a key set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// Path of a file.
    File(PathBuf),
    /// URL of the issuer's key set (`jwks_uri`).
    Url(Url),
}

/// Cache of a key set. Clones share it.
#[derive(Clone)]
pub(super) struct Keys(Arc<Shared>);

struct Shared {
    source: KeySource,
    ttl: Duration,
    set: RwLock<Option<Arc<KeySet>>>,
    loading: Mutex<Loading>,
}

/// State of loading.
#[derive(Default)]
struct Loading {
    /// Channel that the running load closes when it ends; `None` if none is running.
    running: Option<watch::Receiver<()>>,
    /// Earliest time of the next load.
    not_before: Option<Instant>,
    /// Time of the last successful load.
    loaded: Option<Instant>,
    /// Text of the current key set, to detect changes.
    text: Vec<u8>,
    /// Number of failed loads since the last successful one.
    failures: u32,
}

impl Keys {
    pub(super) fn new(source: KeySource, ttl: Duration) -> Self {
        let ttl = match &source {
            KeySource::File(_) => ttl.min(FILE_CACHE_TTL),
            KeySource::Url(_) => ttl,
        };
        Self(Arc::new(Shared {
            source,
            ttl,
            set: RwLock::default(),
            loading: Mutex::default(),
        }))
    }

    /// Returns the current keys. If they have expired, newer ones are loaded in the background.
    ///
    /// # Errors
    /// 503 if no keys are loaded yet and loading fails.
    pub(super) async fn current(&self) -> Result<Arc<KeySet>, Problem> {
        if let Some(set) = self.0.set() {
            if self.0.is_expired() {
                self.0.load();
            }
            return Ok(set);
        }
        self.0.wait_for_load().await;
        self.0
            .set()
            .ok_or_else(|| Problem::unavailable("the token issuer's keys are not available"))
    }

    /// Returns keys newer than these, if there are any.
    pub(super) async fn newer_than(&self, known: &Arc<KeySet>) -> Option<Arc<KeySet>> {
        let is_newer = |set: &Arc<KeySet>| !Arc::ptr_eq(set, known);
        if let Some(set) = self.0.set().filter(is_newer) {
            return Some(set);
        }
        self.0.wait_for_load().await;
        self.0.set().filter(is_newer)
    }
}

impl Shared {
    fn set(&self) -> Option<Arc<KeySet>> {
        let set = self.set.read();
        set.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn loading(&self) -> MutexGuard<'_, Loading> {
        self.loading.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_expired(&self) -> bool {
        let loaded = self.loading().loaded;
        loaded.is_none_or(|loaded| loaded.elapsed() > self.ttl)
    }

    /// Waits for the end of the running load, or of one that it starts unless it is too early.
    async fn wait_for_load(self: &Arc<Self>) {
        if let Some(mut running) = self.load() {
            // Nothing is sent: an error says that the load has ended.
            while running.changed().await.is_ok() {}
        }
    }

    /// Starts a load in a detached task, unless one is running or it is too early. Returns the
    /// channel of the running load.
    fn load(self: &Arc<Self>) -> Option<watch::Receiver<()>> {
        let mut loading = self.loading();
        if let Some(running) = &loading.running {
            return Some(running.clone());
        }
        if loading.not_before.is_some_and(|time| Instant::now() < time) {
            return None;
        }
        let (done, running) = watch::channel(());
        loading.running = Some(running.clone());
        let task = Load {
            shared: self.clone(),
            _done: done,
        };
        tokio::spawn(task.run());
        Some(running)
    }

    async fn read(&self) -> Result<Vec<u8>, String> {
        let reading = async {
            match &self.source {
                KeySource::File(path) => read(path).await,
                KeySource::Url(url) => fetch(url).await,
            }
        };
        let read = tokio::time::timeout(LOAD_TIMEOUT, reading).await;
        read.unwrap_or_else(|_| Err(format!("no answer within {LOAD_TIMEOUT:?}")))
    }

    fn install(&self, text: Vec<u8>) -> Result<(), String> {
        let mut loading = self.loading();
        if self.set().is_none() || text != loading.text {
            let set = KeySet::parse(&text)?;
            tracing::info!(
                usable = set.len(),
                unusable = set.unusable.len(),
                "the token issuer's keys are loaded{}",
                skipped(&set.unusable)
            );
            let mut current = self.set.write().unwrap_or_else(PoisonError::into_inner);
            *current = Some(Arc::new(set));
            loading.text = text;
        }
        loading.loaded = Some(Instant::now());
        Ok(())
    }
}

/// Returns the end of a log line with the reasons for which keys were skipped.
fn skipped(unusable: &[&'static str]) -> String {
    let skipped = reasons(unusable).map(|reasons| format!("; skipped: {reasons}"));
    skipped.unwrap_or_default()
}

/// One load. It ends when it is dropped, even after a panic.
struct Load {
    shared: Arc<Shared>,
    _done: watch::Sender<()>,
}

impl Load {
    async fn run(self) {
        let read = self.shared.read().await;
        let installed = read.and_then(|text| self.shared.install(text));
        let outcome = if installed.is_ok() {
            "loaded"
        } else {
            "failed"
        };
        metrics::counter!(METRIC, "outcome" => outcome).increment(1);
        let mut loading = self.shared.loading();
        match installed {
            Ok(()) => loading.failures = 0,
            Err(error) => {
                loading.failures = loading.failures.saturating_add(1);
                let effect = match self.shared.set() {
                    Some(_) => "the previous keys stay in use",
                    None => "tokens cannot be verified until a load succeeds",
                };
                tracing::warn!("auth.jwks: loading keys failed; {effect}: {error}");
            }
        }
        // Unlocks the state before `self` is dropped, which locks it again.
        drop(loading);
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        let mut loading = self.shared.loading();
        loading.running = None;
        let doubled = loading.failures.saturating_sub(1).min(10);
        let pause = MIN_INTERVAL.saturating_mul(1 << doubled).min(MAX_BACKOFF);
        loading.not_before = Some(Instant::now() + pause);
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = tokio::fs::File::open(path);
    let file = file.await.map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    let mut bounded = file.take(MAX_BYTES as u64 + 1);
    let read = bounded.read_to_end(&mut text).await;
    read.map_err(|error| error.to_string())?;
    bounded_text(text)
}

async fn fetch(url: &Url) -> Result<Vec<u8>, String> {
    let client = client().map_err(|error| error.to_string())?;
    // The URL may contain a secret.
    let redacted = |error: reqwest::Error| error.without_url().to_string();
    let mut response = client.get(url.clone()).send().await.map_err(redacted)?;
    let status = response.status();
    if status.is_redirection() {
        return Err(format!("{status}: redirects are not followed"));
    }
    if !status.is_success() {
        return Err(format!("the issuer answered {status}"));
    }
    let mut text = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(redacted)? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_BYTES {
            break;
        }
    }
    bounded_text(text)
}

fn bounded_text(text: Vec<u8>) -> Result<Vec<u8>, String> {
    match text.len() > MAX_BYTES {
        true => Err(format!("the key set has more than {MAX_BYTES} bytes")),
        false => Ok(text),
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    // The client has no default cryptography provider. An error says that one is installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(LOAD_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    const GOOD: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

    fn keys_of(file: &Path) -> Keys {
        Keys::new(KeySource::File(file.to_owned()), Duration::from_secs(300))
    }

    /// Starts a server that counts its requests and answers each of them after a delay.
    async fn server(answer: &'static str, after: Duration) -> (Url, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let url = format!("http://{}/", listener.local_addr().expect("an address"));
        let calls = Arc::<AtomicUsize>::default();
        let counted = calls.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let _ = socket.read(&mut [0; 4096]).await;
                    tokio::time::sleep(after).await;
                    let _ = socket.write_all(answer.as_bytes()).await;
                });
            }
        });
        (url.parse().expect("a URL"), calls)
    }

    #[tokio::test]
    async fn a_cancelled_request_neither_cancels_nor_repeats_the_load() {
        let answer = Box::leak(
            format!("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n{GOOD}").into_boxed_str(),
        );
        let (url, calls) = server(answer, Duration::from_millis(800)).await;
        let keys = Keys::new(KeySource::Url(url), Duration::from_secs(300));
        for _ in 0..20 {
            let waiting = keys.current();
            let cancelled = tokio::time::timeout(Duration::from_millis(10), waiting).await;
            assert!(cancelled.is_err());
        }
        let (one, other) = tokio::join!(keys.current(), keys.current());
        assert!(one.is_ok() && other.is_ok());
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn redirects_are_not_followed() {
        let (elsewhere, calls) = server("", Duration::ZERO).await;
        let answer = Box::leak(
            format!("HTTP/1.1 302 Found\r\nlocation: {elsewhere}\r\ncontent-length: 0\r\n\r\n")
                .into_boxed_str(),
        );
        let (url, _) = server(answer, Duration::ZERO).await;
        let error = fetch(&url).await.expect_err("refused");
        assert!(error.contains("redirects are not followed"), "{error}");
        assert_eq!(calls.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn an_invalid_key_set_does_not_replace_a_valid_one() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), GOOD).expect("written");
        let keys = keys_of(file.path());
        let good = keys.current().await.expect("keys");
        for bad in ["", "{", r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct"}]}"#] {
            std::fs::write(file.path(), bad).expect("written");
            tokio::time::advance(2 * MAX_BACKOFF).await;
            assert!(keys.newer_than(&good).await.is_none(), "{bad}");
            let kept = keys.current().await.expect("keys");
            assert!(Arc::ptr_eq(&kept, &good), "{bad}");
        }
        std::fs::remove_file(file.path()).expect("removed");
        tokio::time::advance(2 * MAX_BACKOFF).await;
        assert!(keys.newer_than(&good).await.is_none());
        std::fs::write(file.path(), GOOD.replace("\"a\"", "\"b\"")).expect("written");
        tokio::time::advance(2 * MAX_BACKOFF).await;
        assert!(keys.newer_than(&good).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn failed_loads_are_retried_with_backoff() {
        let keys = keys_of(Path::new("/nowhere/keys.json"));
        let mut attempts = 0;
        for _ in 0..100 {
            let before = keys.0.loading().failures;
            assert!(keys.current().await.is_err());
            attempts += keys.0.loading().failures - before;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // At 0, 2, 6, 14 and 30 s, then every 16 s.
        assert!((7..=10).contains(&attempts), "{attempts}");
    }
}
