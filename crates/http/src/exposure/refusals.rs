//! A log line for each host and origin that was refused, and a count of all.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use metrics::counter;

/// Different hosts, and different origins, that are logged by one process.
const MAX_LOGGED: usize = 100;
/// Characters of each that are logged.
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
        if let Some(host) = first(&self.hosts, host) {
            tracing::warn!(
                host,
                "refused a request for a host that is not served (421); http.allowed_hosts names \
                 more"
            );
        }
    }

    /// Counts a request of a page of another origin, and logs the origin once.
    pub(super) fn origin(&self, origin: &str) {
        counter!("bakehouse_http_refused_total", "reason" => "origin").increment(1);
        if let Some(origin) = first(&self.origins, origin) {
            tracing::warn!(
                origin,
                "refused a page of another origin (403); http.cors_origins names those that may \
                 use the API"
            );
        }
    }
}

/// Text to be logged, if it has not been before.
fn first(logged: &Mutex<HashSet<String>>, text: &str) -> Option<String> {
    let text: String = text.chars().take(MAX_LENGTH).collect();
    let mut logged = logged.lock().unwrap_or_else(PoisonError::into_inner);
    let is_new = logged.len() < MAX_LOGGED && logged.insert(text.clone());
    is_new.then(|| text.escape_debug().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_logged_once_and_not_without_end() {
        let logged = Mutex::default();
        assert_eq!(first(&logged, "a\n").as_deref(), Some("a\\n"));
        assert_eq!(first(&logged, "a\n"), None);
        let count = (0..1_000)
            .filter(|n| first(&logged, &n.to_string()).is_some())
            .count();
        assert_eq!(count, MAX_LOGGED - 1);
        let long = "x".repeat(10_000);
        let logged = Mutex::default();
        assert_eq!(
            first(&logged, &long).map(|text| text.len()),
            Some(MAX_LENGTH)
        );
    }
}
