//! `Prefer: wait=SECONDS` (RFC 7240): how long an answer may wait for its
//! subject to come about.

use std::time::Duration;

use actix_web::HttpRequest;
use actix_web::http::header::{HeaderName, HeaderValue};
use tokio::time::Instant;

/// The longest wait, whatever the client prefers.
const LONGEST: u64 = 60;
const PREFER: &str = "prefer";
const APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// A wait that was asked for.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    seconds: u64,
    until: Instant,
}

impl Wait {
    /// What the request prefers; as the standard wants it, a preference that
    /// cannot be understood is none.
    pub fn of(request: &HttpRequest) -> Option<Self> {
        let mut lines = request.headers().get_all(PREFER);
        let seconds = lines.find_map(|line: &HeaderValue| seconds(line.to_str().ok()?))?;
        let seconds = seconds.min(LONGEST);
        let until = Instant::now() + Duration::from_secs(seconds);
        Some(Self { seconds, until })
    }

    /// One that the server decides on.
    pub fn lasting(time: Duration) -> Self {
        Self {
            seconds: time.as_secs(),
            until: Instant::now() + time,
        }
    }

    /// Whether it has lasted long enough.
    #[must_use]
    pub fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Waits for it, or until time is up. `false`: time is up.
    pub async fn wait_for(&self, event: impl Future<Output = ()>) -> bool {
        tokio::time::timeout_at(self.until, event).await.is_ok()
    }

    /// Tells the client that its wish was followed.
    pub fn applied(&self) -> (HeaderName, String) {
        (APPLIED, format!("wait={}", self.seconds))
    }
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
