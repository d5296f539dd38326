//! `Prefer: wait=SECONDS` (RFC 7240): time that a response may wait for its subject. A wait ends
//! early when the client disconnects or the server shuts down.

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

/// Maximum wait in seconds, whatever the client prefers.
const MAX_WAIT_SECONDS: u64 = 60;
const PREFER: &str = "prefer";
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// Wait of one response. It ends early when the client closes the connection and when the server
/// shuts down; the response then carries the current state.
pub struct Wait {
    seconds: u64,
    deadline: Instant,
    client: Option<Watch>,
    /// Shutdown of the server, if known.
    shutdown: Option<Shutdown>,
    _permit: Option<Permit>,
}

impl Wait {
    /// Starts the wait that a read prefers; `None` without a valid preference (RFC 7240 has
    /// invalid ones ignored).
    ///
    /// # Errors
    /// 429 when the limit of waits per client is reached, 503 when the total limit is.
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
                Exceeded::Total => Problem::unavailable(
                    "too many responses are waiting; repeat without Prefer: wait",
                ),
                Exceeded::PerClient(limit) => Problem::too_many_waits(limit),
            })
    }

    /// Starts the wait that a write prefers; `None` without a valid preference, or when a limit of
    /// waits is reached. A write is accepted in any case.
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
        let key = RateLimitKey::of_request(Some(principal), request);
        let permit = state.limits.waits.take(key)?;
        Ok(Self {
            client: Watch::of(request),
            shutdown: shutdown_of(request),
            _permit: Some(permit),
            ..Self::lasting(Duration::from_secs(seconds))
        })
    }

    /// Starts a wait that the server decides on, without a limit per client.
    #[must_use]
    pub fn lasting(time: Duration) -> Self {
        Self {
            seconds: time.as_secs(),
            deadline: Instant::now() + time,
            client: None,
            shutdown: None,
            _permit: None,
        }
    }

    /// Checks whether the deadline has passed, the client has disconnected, or the server shuts
    /// down.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.deadline
            || self.client.as_ref().is_some_and(Watch::is_closed)
            || self.shutdown.as_ref().is_some_and(Shutdown::is_cancelled)
    }

    /// Waits for a value; `None` if the wait is over first.
    pub async fn wait_for<T>(&self, value: impl Future<Output = T>) -> Option<T> {
        let disconnected = async {
            match &self.client {
                Some(client) => client.closed().await,
                None => std::future::pending().await,
            }
        };
        let shut_down = async {
            match &self.shutdown {
                Some(shutdown) => shutdown.cancelled().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            value = value => Some(value),
            () = tokio::time::sleep_until(self.deadline) => None,
            () = disconnected => None,
            () = shut_down => None,
        }
    }

    /// Header that confirms the preference to the client.
    #[must_use]
    pub fn applied(&self) -> (HeaderName, String) {
        (PREFERENCE_APPLIED, format!("wait={}", self.seconds))
    }
}

/// Shutdown of the server that handles a request.
fn shutdown_of(request: &HttpRequest) -> Option<Shutdown> {
    let shutdown = request.app_data::<web::Data<Shutdown>>()?;
    Some(shutdown.get_ref().clone())
}

/// Preferred wait of a request in seconds, at most the maximum.
fn preferred(request: &HttpRequest) -> Option<u64> {
    let mut lines = request.headers().get_all(PREFER);
    let seconds = lines.find_map(|line: &HeaderValue| seconds(line.to_str().ok()?))?;
    Some(seconds.min(MAX_WAIT_SECONDS))
}

/// Seconds of the preference `wait` in a header line.
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
        assert!(wait.is_over(), "the wait is over");
        // A value that is ready is still returned.
        assert_eq!(wait.wait_for(std::future::ready(7)).await, Some(7));
    }
}
