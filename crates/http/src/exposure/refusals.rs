//! Refused hosts and origins: one log line for each, and a count of all refusals.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use metrics::counter;

/// Maximum number of distinct hosts, and of distinct origins, that a process logs.
const MAX_LOGGED: usize = 100;
/// Maximum number of logged characters of a host or origin.
const MAX_LENGTH: usize = 200;

/// Hosts and origins whose refusal has been logged.
#[derive(Default)]
pub(super) struct Refusals {
    hosts: Mutex<HashSet<String>>,
    origins: Mutex<HashSet<String>>,
}

impl Refusals {
    /// Counts a request for a host that is not served, and logs the host once.
    pub(super) fn host(&self, host: &str) {
        counter!("bakehouse_http_refused_total", "reason" => "host").increment(1);
        if let Some(host) = not_yet_logged(&self.hosts, host) {
            tracing::warn!(
                host,
                "refused a request for a host that is not served (421); add the host to \
                 http.allowed_hosts to serve it"
            );
        }
    }

    /// Counts a request from a page of a disallowed origin, and logs the origin once.
    pub(super) fn origin(&self, origin: &str) {
        counter!("bakehouse_http_refused_total", "reason" => "origin").increment(1);
        if let Some(origin) = not_yet_logged(&self.origins, origin) {
            tracing::warn!(
                origin,
                "refused a page of another origin (403); add the origin to http.cors_origins to \
                 allow it"
            );
        }
    }
}

/// Returns the text to log, escaped and shortened, if it was not logged before.
fn not_yet_logged(logged: &Mutex<HashSet<String>>, text: &str) -> Option<String> {
    let text: String = text.chars().take(MAX_LENGTH).collect();
    let mut logged = logged.lock().unwrap_or_else(PoisonError::into_inner);
    let is_new = logged.len() < MAX_LOGGED && logged.insert(text.clone());
    is_new.then(|| text.escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_logged_once_up_to_a_maximum() {
        let logged = Mutex::default();
        assert_eq!(not_yet_logged(&logged, "a\n").as_deref(), Some("a\\n"));
        assert_eq!(not_yet_logged(&logged, "a\n"), None);
        let count = (0..1_000)
            .filter(|n| not_yet_logged(&logged, &n.to_string()).is_some())
            .count();
        assert_eq!(count, MAX_LOGGED - 1);
        let long = "x".repeat(10_000);
        let logged = Mutex::default();
        assert_eq!(
            not_yet_logged(&logged, &long).map(|text| text.len()),
            Some(MAX_LENGTH)
        );
    }
}
