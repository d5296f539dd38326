//! `Prefer: wait=SECONDS` (RFC 7240): how long an answer may wait for its subject to come
//! about, and that it waits no longer than its client does, nor beyond the server's shutdown.

use std::time::Duration;

use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::{HttpRequest, web};
use bakehouse_engine::Shutdown;
use tokio::time::Instant;

use crate::auth::{Principal, RateLimitKey};
use crate::connections::disconnect::Watch;
use crate::limits::{Exceeded, Permit};
use crate::response::problem::Problem;
use crate::state::AppState;

/// The longest wait, whatever the client prefers.
const LONGEST: u64 = 60;
const PREFER: &str = "prefer";
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A wait that was asked for. It ends early when its client has closed the connection, and when
/// the server shuts down: the answer then says what there is.
pub struct Wait {
    seconds: u64,
    until: Instant,
    client: Option<Watch>,
    /// Shutdown of the server, where it is known.
    shutdown: Option<Shutdown>,
    _permit: Option<Permit>,
}

impl Wait {
    /// The wait that the request prefers; as the standard wants it, a preference that
    /// cannot be understood is none.
    ///
    /// # Errors
    /// 429 when as many answers to this client wait as may, 503 when as many do in all.
    pub fn of(
        request: &HttpRequest,
        principal: &Principal,
        state: &AppState,
    ) -> Result<Option<Self>, Problem> {
        let Some(seconds) = preferred(request) else {
            return Ok(None);
        };
        Self::begin(request, principal, state, seconds)
            .map(Some)
            .map_err(|exceeded| match exceeded {
                Exceeded::All => {
                    Problem::unavailable("as many answers wait as can; ask again without waiting")
                }
                Exceeded::Each(most) => Problem::too_many_waits(most),
            })
    }

    /// Wait for a write, which is accepted in any case: where no more answers may wait,
    /// it is answered without waiting.
    pub fn of_write(
        request: &HttpRequest,
        principal: &Principal,
        state: &AppState,
    ) -> Option<Self> {
        let seconds = preferred(request)?;
        Self::begin(request, principal, state, seconds).ok()
    }

    fn begin(
        request: &HttpRequest,
        principal: &Principal,
        state: &AppState,
        seconds: u64,
    ) -> Result<Self, Exceeded> {
        let caller = RateLimitKey::of_request(Some(principal), request);
        let permit = state.limits.waits.take(caller)?;
        Ok(Self {
            client: Watch::of(request),
            shutdown: shutdown_of(request),
            _permit: Some(permit),
            ..Self::lasting(Duration::from_secs(seconds))
        })
    }

    /// One that the server decides on.
    #[must_use]
    pub fn lasting(time: Duration) -> Self {
        Self {
            seconds: time.as_secs(),
            until: Instant::now() + time,
            client: None,
            shutdown: None,
            _permit: None,
        }
    }

    /// Tells whether time is up, the client is gone, or the server shuts down.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until
            || self.client.as_ref().is_some_and(Watch::is_closed)
            || self.shutdown.as_ref().is_some_and(Shutdown::is_cancelled)
    }

    /// Waits for a value; `None` if the wait is over before it has come.
    pub async fn wait_for<T>(&self, value: impl Future<Output = T>) -> Option<T> {
        let closed = async {
            match &self.client {
                Some(client) => client.closed().await,
                None => std::future::pending().await,
            }
        };
        let stopped = async {
            match &self.shutdown {
                Some(shutdown) => shutdown.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            value = value => Some(value),
            () = tokio::time::sleep_until(self.until) => None,
            () = closed => None,
            () = stopped => None,
        }
    }

    /// Tells the client that its wish was followed.
    #[must_use]
    pub fn applied(&self) -> (HeaderName, String) {
        (APPLIED, format!("wait={}", self.seconds))
    }
}

/// Shutdown of the server that answers a request.
fn shutdown_of(request: &HttpRequest) -> Option<Shutdown> {
    let shutdown = request.app_data::<web::Data<Shutdown>>()?;
    Some(shutdown.get_ref().clone())
}

fn preferred(request: &HttpRequest) -> Option<u64> {
    let mut lines = request.headers().get_all(PREFER);
    let seconds = lines.find_map(|line: &HeaderValue| seconds(line.to_str().ok()?))?;
    Some(seconds.min(LONGEST))
}

fn seconds(line: &str) -> Option<u64> {
    line.split([',', ';']).find_map(|preference| {
        let (name, value) = preference.split_once('=')?;
        let is_wait = name.trim().eq_ignore_ascii_case("wait");
        is_wait.then(|| value.trim().trim_matches('"').parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn waits_are_found_among_other_preferences() {
        assert_eq!(seconds("wait=5"), Some(5));
        assert_eq!(seconds("respond-async, Wait = \"7\""), Some(7));
        assert_eq!(seconds("wait=soon"), None);
        assert_eq!(seconds("await=5"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shutdown_ends_a_wait() {
        let shutdown = Shutdown::new();
        let request = TestRequest::default()
            .app_data(web::Data::new(shutdown.clone()))
            .to_http_request();
        let wait = Wait {
            shutdown: shutdown_of(&request),
            ..Wait::lasting(Duration::from_secs(60))
        };
        let start = Instant::now();
        let stop = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            shutdown.cancel();
        };
        let (found, ()) = tokio::join!(wait.wait_for(std::future::pending::<()>()), stop);
        assert_eq!(found, None);
        assert_eq!(start.elapsed(), Duration::from_secs(1));
        assert!(wait.is_over(), "nothing more is waited for");
        // What is there already is still taken.
        assert_eq!(wait.wait_for(std::future::ready(7)).await, Some(7));
    }
}
