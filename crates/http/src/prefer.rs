//! `Prefer: wait=SECONDS` (RFC 7240): how long an answer may wait for its subject to come
//! about, and that it waits no longer than its client does.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

use crate::access::{Caller, Principal};
use crate::hangup::Watch;
use crate::limits::{Exceeded, Permit};
use crate::problem::Problem;
use crate::server::Doors;

/// The longest wait, whatever the client prefers.
const LONGEST: u64 = 60;
const PREFER: &str = "prefer";
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A wait that was asked for. It ends when its client has closed the connection.
pub struct Wait {
    seconds: u64,
    until: Instant,
    client: Option<Watch>,
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
        doors: &Doors,
    ) -> Result<Option<Self>, Problem> {
        let Some(seconds) = preferred(request) else {
            return Ok(None);
        };
        Self::begin(request, principal, doors, seconds)
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
    pub fn of_write(request: &HttpRequest, principal: &Principal, doors: &Doors) -> Option<Self> {
        let seconds = preferred(request)?;
        Self::begin(request, principal, doors, seconds).ok()
    }

    fn begin(
        request: &HttpRequest,
        principal: &Principal,
        doors: &Doors,
        seconds: u64,
    ) -> Result<Self, Exceeded> {
        let caller = Caller::of_request(Some(principal), request);
        let permit = doors.limits.waits.take(caller)?;
        Ok(Self {
            client: Watch::of(request),
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
            _permit: None,
        }
    }

    /// Tells whether it has lasted long enough, or there is nobody left to wait for.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until || self.client.as_ref().is_some_and(Watch::is_closed)
    }

    /// Waits for it, or until time is up or the client is gone. `false`: it has not come.
    pub async fn wait_for(&self, event: impl Future<Output = ()>) -> bool {
        let closed = async {
            match &self.client {
                Some(client) => client.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = event => true,
            () = tokio::time::sleep_until(self.until) => false,
            () = closed => false,
        }
    }

    /// Tells the client that its wish was followed.
    #[must_use]
    pub fn applied(&self) -> (HeaderName, String) {
        (APPLIED, format!("wait={}", self.seconds))
    }
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
    use super::*;

    #[test]
    fn waits_are_found_among_other_preferences() {
        assert_eq!(seconds("wait=5"), Some(5));
        assert_eq!(seconds("respond-async, Wait = \"7\""), Some(7));
        assert_eq!(seconds("wait=soon"), None);
        assert_eq!(seconds("await=5"), None);
    }
}
