//! The issuer's public keys, kept fresh from a file or a URL.
//!
//! They are loaded by a task of its own: requests that wait for it can be cancelled without
//! cancelling or repeating it, and there is never more than one. A set that cannot be had or
//! used does not replace a good one.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::sync::watch;
use tokio::time::Instant;
use url::Url;

use super::key_set::{KeySet, reasons};
use crate::response::problem::Problem;

/// Interval after a successful load before keys are loaded again. Without it, anybody could have
/// the issuer asked as often as they like, by naming keys that there are not.
const MIN_INTERVAL: Duration = Duration::from_secs(2);
/// Longest interval between attempts while loading fails; it doubles from [`MIN_INTERVAL`] on.
const MAX_BACKOFF: Duration = Duration::from_secs(16);
/// Time that the issuer may take to answer, and a file to be read.
const LOAD_TIMEOUT: Duration = Duration::from_secs(3);
/// Age at which keys of a file are read again, if `auth.keys_lifetime` is not shorter.
const FILE_LIFETIME: Duration = Duration::from_secs(5);
/// Bytes that a key set may have; far more than any.
const MAX_BYTES: usize = 1024 * 1024;

/// Metric that counts loads of the key set by outcome.
const METRIC: &str = "bakehouse_token_key_loads_total";

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
    set: RwLock<Option<Arc<KeySet>>>,
    loading: Mutex<Loading>,
}

/// State of loading.
#[derive(Default)]
struct Loading {
    /// Closed by the task that loads as soon as it is done.
    running: Option<watch::Receiver<()>>,
    /// Before this, no other load begins.
    not_before: Option<Instant>,
    /// When the keys were loaded last.
    loaded: Option<Instant>,
    /// Text of the keys in use, to tell whether another load brings anything new.
    text: Vec<u8>,
    /// Attempts that failed since.
    failures: u32,
}

impl Keys {
    pub(super) fn new(source: KeySource, lifetime: Duration) -> Self {
        let lifetime = match &source {
            KeySource::File(_) => lifetime.min(FILE_LIFETIME),
            KeySource::Url(_) => lifetime,
        };
        Self(Arc::new(Shared {
            source,
            lifetime,
            set: RwLock::default(),
            loading: Mutex::default(),
        }))
    }

    /// The keys in use. While they are old, newer ones are loaded beside.
    ///
    /// # Errors
    /// 503 when there are none yet and none can be had.
    pub(super) async fn current(&self) -> Result<Arc<KeySet>, Problem> {
        if let Some(set) = self.0.set() {
            if self.0.is_old() {
                // Nobody waits for newer ones as long as the old ones do.
                self.0.load();
            }
            return Ok(set);
        }
        self.0.wait_for_load().await;
        self.0
            .set()
            .ok_or_else(|| Problem::unavailable("the token issuer's keys cannot be had right now"))
    }

    /// Newer keys than these, if there are any.
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

    fn is_old(&self) -> bool {
        let loaded = self.loading().loaded;
        loaded.is_none_or(|loaded| loaded.elapsed() > self.lifetime)
    }

    /// Waits for the load that is under way, or for one that it begins, if that may be.
    async fn wait_for_load(self: &Arc<Self>) {
        if let Some(mut running) = self.load() {
            // Nothing is ever sent: it is closed at the end.
            while running.changed().await.is_ok() {}
        }
    }

    /// Begins to load, unless that is under way or too soon. The task belongs to nobody.
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

    fn take(&self, text: Vec<u8>) -> Result<(), String> {
        let mut loading = self.loading();
        if self.set().is_none() || text != loading.text {
            let set = KeySet::parse(&text)?;
            tracing::info!(
                usable = set.len(),
                unusable = set.unusable.len(),
                "the token issuer's keys are loaded{}",
                why(&set.unusable)
            );
            let mut current = self.set.write().unwrap_or_else(PoisonError::into_inner);
            *current = Some(Arc::new(set));
            loading.text = text;
        }
        loading.loaded = Some(Instant::now());
        Ok(())
    }
}

/// End of a line in the log that says which keys were left out.
fn why(unusable: &[&'static str]) -> String {
    let left_out = reasons(unusable).map(|reasons| format!("; left out: {reasons}"));
    left_out.unwrap_or_default()
}

/// One load. Whatever becomes of it, even a panic, it is over when this is dropped.
struct Load {
    shared: Arc<Shared>,
    _done: watch::Sender<()>,
}

impl Load {
    async fn run(self) {
        let read = self.shared.read().await;
        let taken = read.and_then(|text| self.shared.take(text));
        let outcome = if taken.is_ok() { "loaded" } else { "failed" };
        metrics::counter!(METRIC, "outcome" => outcome).increment(1);
        let mut loading = self.shared.loading();
        match taken {
            Ok(()) => loading.failures = 0,
            Err(error) => {
                loading.failures = loading.failures.saturating_add(1);
                let keeping = match self.shared.set() {
                    Some(_) => "the keys before stay in use",
                    None => "no token can be checked until they are",
                };
                tracing::warn!("auth.jwks: keys cannot be loaded; {keeping}: {error}");
            }
        }
        // Before this is dropped, which takes it again.
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
    // It may hold a secret.
    let told = |error: reqwest::Error| error.without_url().to_string();
    let mut answer = client.get(url.clone()).send().await.map_err(told)?;
    let status = answer.status();
    if status.is_redirection() {
        return Err(format!("{status}: redirects are not followed"));
    }
    if !status.is_success() {
        return Err(format!("the issuer answered {status}"));
    }
    let mut text = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(told)? {
        text.extend_from_slice(&chunk);
        if text.len() > MAX_BYTES {
            break;
        }
    }
    bounded_text(text)
}

fn bounded_text(text: Vec<u8>) -> Result<Vec<u8>, String> {
    match text.len() > MAX_BYTES {
        true => Err(format!("it has more than {MAX_BYTES} bytes")),
        false => Ok(text),
    }
}

fn client() -> reqwest::Result<reqwest::Client> {
    // The client brings no cryptography of its own. An error only says that
    // somebody has chosen already.
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

    /// A server that counts its callers and answers each of them after a while.
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
            let given_up = tokio::time::timeout(Duration::from_millis(10), waiting).await;
            assert!(given_up.is_err());
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
    async fn what_is_no_key_set_does_not_replace_one() {
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
    async fn failures_are_repeated_ever_more_slowly() {
        let keys = keys_of(Path::new("/nowhere/keys.json"));
        let mut attempts = 0;
        for _ in 0..100 {
            let before = keys.0.loading().failures;
            assert!(keys.current().await.is_err());
            attempts += keys.0.loading().failures - before;
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        // At 0, 2, 6, 14, 30 s, and each 16 s from there on.
        assert!((7..=10).contains(&attempts), "{attempts}");
    }
}
